//! `plinth-ops keys`

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

use clap::Subcommand;
use db_core::Clock;
use db_core::secrets::encrypted::ENCRYPTED;
use db_core::secrets::keys::{KeyStanding, key_retire, keys_list};
use db_core::secrets::rotation::{RotationStep, keys_rotate};
use db_core::setup::KeySource;
use serde_json::json;

use crate::cli::Json;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::program::{Program, block_on};

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Lists the encryption keys, and what each still protects
    List(Json),
    /// Encrypts everything anew under the newest key, the first of POSTGRES_ENCRYPTION_KEY
    ///
    /// In short transactions, while everybody goes on working. Where it was broken off, the next run goes on.
    Rotate(Json),
    /// Forgets a key that protects nothing any more; then it may be taken out of POSTGRES_ENCRYPTION_KEY
    ///
    /// Exits 12 while a value needs it, and for the newest key.
    Retire {
        /// Id of the key, or at least eight digits of its fingerprint
        key: String,
        #[command(flatten)]
        json: Json,
    },
}

pub fn run(command: Keys, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let keyring = KeySource::from_config(&program.config).load()?;
    match command {
        Keys::List(Json { json }) => {
            let keys = block_on(async { Ok(keys_list(&program.owner, &keyring).await?) })?;
            if json {
                return output::json(&json!({ "keys": keys }));
            }
            output::text(&table(&keys))
        }
        Keys::Rotate(Json { json }) => {
            let mut progress = Progress::new();
            let rotate = keys_rotate(&program.owner, &keyring, &Clock::System, ENCRYPTED, |step| {
                progress.tell(&step);
            });
            let rotated = block_on(async { Ok(rotate.await?) });
            progress.end();
            let rotated = rotated?;
            if json {
                return output::json(&json!({ "rotated": rotated }));
            }
            output::text(&format!(
                "everything is under the key {}; {} encrypted anew\n",
                rotated.newest,
                output::count(usize::try_from(rotated.values).unwrap_or(usize::MAX), "value")
            ))
        }
        Keys::Retire { key, json } => {
            let retire = key_retire(&program.owner, &keyring, &Clock::System, ENCRYPTED, &key);
            let (id, remembered) = block_on(async { Ok(retire.await?) })?;
            if json.json {
                return output::json(&json!({ "retired": id, "was_remembered": remembered }));
            }
            let done = if remembered {
                format!("forgot the key {id}")
            } else {
                format!("the key {id} was forgotten already")
            };
            output::text(&format!(
                "{done}: take it out of POSTGRES_ENCRYPTION_KEY, and keep a copy for as long as there are backups that need it\n"
            ))
        }
    }
}

fn table(keys: &[KeyStanding]) -> String {
    let rows = keys.iter().map(|key| {
        let role = match key {
            KeyStanding { newest: true, .. } => "newest: encrypts",
            KeyStanding { in_keyring: true, .. } => "decrypts",
            _ => "not in POSTGRES_ENCRYPTION_KEY",
        };
        let protects: Vec<String> = key
            .protects
            .iter()
            .map(|protected| format!("{} ({})", protected.column, protected.values))
            .collect();
        [
            key.id.clone(),
            key.fingerprint.clone().unwrap_or_else(|| "unknown".to_owned()),
            role.to_owned(),
            if key.remembered { "yes" } else { "no" }.to_owned(),
            if protects.is_empty() {
                "nothing".to_owned()
            } else {
                protects.join(", ")
            },
        ]
        .map(Cell::from)
        .into()
    });
    output::table(
        &["key", "fingerprint", "role", "remembered", "protects"],
        rows.collect(),
    )
}

/// On stderr: a line that is written over on a terminal, else one for each column and one every ten seconds.
struct Progress {
    terminal: bool,
    column: String,
    told: Instant,
}

impl Progress {
    fn new() -> Self {
        Self {
            terminal: stderr().is_terminal(),
            column: String::new(),
            told: Instant::now(),
        }
    }

    fn tell(&mut self, step: &RotationStep<'_>) {
        let pause = Duration::from_millis(if self.terminal { 250 } else { 10_000 });
        let begins = self.column != step.column;
        if !begins && self.told.elapsed() < pause {
            return;
        }
        step.column.clone_into(&mut self.column);
        self.told = Instant::now();
        let line = format!("{}: {} of {} values", step.column, step.done, step.of);
        let mut stderr = stderr().lock();
        let _ = if self.terminal {
            write!(stderr, "\r{line}\x1b[K")
        } else {
            writeln!(stderr, "{line}")
        };
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(stderr().lock(), "\r\x1b[K");
        }
    }
}
