//! `plinth-ops provision`

use std::io::Write as _;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use app_config::{DatabaseAddress, Environment};
use clap::{ArgGroup, Args};
use secrecy::{ExposeSecret as _, SecretString};

use crate::cli::Json;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::program::{NAME, Program, block_on};
use crate::provision::{self, Done, Outcome, ProvisionError, Provisioned, Wanted};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["database", "file"]))]
pub struct Provision {
    /// A database, and its owner where that is not of the same name; as often as needed
    #[arg(long, value_name = "NAME[=OWNER]", value_parser = provision::parse)]
    pub database: Vec<Wanted>,
    /// A TOML file: [[database]] with name, owner, extensions, c_collation, connection_limit, create_roles, create_databases,
    /// password_file
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    pub file: Option<PathBuf>,
    /// Reads an owner's password from the first line of a file. PROVISION_<OWNER>_PASSWORD and …_FILE do so too; without
    /// any, a password is made and printed once
    #[arg(long, value_name = "OWNER=FILE", value_parser = owner_and_file)]
    pub password_file: Vec<(String, PathBuf)>,
    /// The database to connect to as the configured login, which has to be an administrator
    #[arg(long, value_name = "NAME", default_value = "postgres")]
    pub through: String,
    /// Changes nothing, and says what is missing
    #[arg(long)]
    pub dry_run: bool,
    /// Connects to nothing, and prints the statements for psql
    #[arg(long, conflicts_with_all = ["dry_run", "through", "password_file"])]
    pub print: bool,
    #[command(flatten)]
    pub json: Json,
}

fn owner_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((owner, file)) if !owner.is_empty() && !file.is_empty() => Ok((owner.to_owned(), file.into())),
        // What was typed may be a password in the wrong place.
        _ => Err("it has to be OWNER=FILE".to_owned()),
    }
}

pub fn run(options: Provision, settings: Vec<String>) -> Result<(), Failure> {
    let mut all = match &options.file {
        Some(file) => provision::read(file)?,
        None => options.database.clone(),
    };
    provision::check_all(&all)?;
    if options.print {
        let script = provision::script(&all);
        return if options.json.json {
            output::json(&serde_json::json!({ "script": script }))
        } else {
            output::text(&script)
        };
    }
    for (owner, file) in &options.password_file {
        let mut of = all.iter_mut().filter(|wanted| wanted.owner == *owner).peekable();
        if of.peek().is_none() {
            let problem = format!("--password-file {owner}=…: no database has the owner {owner}");
            return Err(ProvisionError::Invalid(problem).into());
        }
        of.for_each(|wanted| wanted.password_file = Some(file.clone()));
    }
    let program = Program::open(settings)?;
    let address = DatabaseAddress {
        database: options.through.clone(),
        ..program.owner.address().clone()
    };
    let connect = db_core::connect_options(&program.config.database, NAME);
    let environment = Environment::from_process();
    let mut provisioned = Provisioned::default();
    let applied = block_on(async {
        let dry_run = options.dry_run;
        let mut tell = |role: &str, password: &SecretString| {
            let line = format!(
                "Password of {role}, shown this once: {}\n",
                password.expose_secret()
            );
            // stdout is for one JSON value, which comes at the end; until then there has to be somebody who knows it.
            if options.json.json {
                std::io::stderr()
                    .lock()
                    .write_all(line.as_bytes())
                    .map_err(|error| ProvisionError::Invalid(format!("a password cannot be shown: {error}")))
            } else {
                Ok(command_line::text(&line)?)
            }
        };
        provision::apply(
            &address,
            &connect,
            &all,
            &environment,
            dry_run,
            &mut tell,
            &mut provisioned,
        )
        .await?;
        Ok::<_, Failure>(())
    });
    let different = count(&provisioned, Outcome::Different);
    if options.json.json {
        output::json(&json(&provisioned))?;
    } else {
        output::text(&text(&provisioned, options.dry_run))?;
    }
    applied?;
    if different > 0 {
        return Err(ProvisionError::Different(output::count(different, "thing")).into());
    }
    Ok(())
}

fn count(provisioned: &Provisioned, outcome: Outcome) -> usize {
    provisioned
        .steps
        .iter()
        .filter(|done| done.outcome == outcome)
        .count()
}

fn json(provisioned: &Provisioned) -> serde_json::Value {
    let passwords: serde_json::Map<_, _> = provisioned
        .generated
        .iter()
        .map(|(role, password)| (role.clone(), password.expose_secret().into()))
        .collect();
    serde_json::json!({
        "changed": count(provisioned, Outcome::Done),
        "missing": count(provisioned, Outcome::Missing),
        "different": count(provisioned, Outcome::Different),
        "steps": provisioned.steps,
        "generated_passwords": passwords,
    })
}

fn text(provisioned: &Provisioned, dry_run: bool) -> String {
    let mut text = output::table(&["", "what", ""], provisioned.steps.iter().map(row).collect());
    // The table's titles say nothing that is not plain.
    text = text
        .split_once('\n')
        .map_or_else(String::new, |(_, rest)| rest.to_owned());
    for done in &provisioned.steps {
        if let Some(cure) = &done.cure {
            text.push_str(&format!("\n{}: {}\n  cure: {cure}\n", done.subject, done.what));
        }
    }
    let changed = count(
        provisioned,
        if dry_run { Outcome::Missing } else { Outcome::Done },
    );
    text.push_str(&match (changed, dry_run) {
        (0, _) => format!(
            "\nnothing to do: {} as wanted\n",
            count(provisioned, Outcome::Kept)
        ),
        (changed, true) => format!(
            "\n{changed} missing, {} there; nothing was changed\n",
            count(provisioned, Outcome::Kept)
        ),
        (changed, false) => format!("\n{changed} done, {} kept\n", count(provisioned, Outcome::Kept)),
    });
    text
}

fn row(done: &Done) -> Vec<Cell> {
    let (word, colour) = match done.outcome {
        Outcome::Done => ("done", AnsiColor::Green),
        Outcome::Missing => ("missing", AnsiColor::Yellow),
        Outcome::Kept => ("kept", AnsiColor::BrightBlack),
        Outcome::Different => ("DIFFERENT", AnsiColor::Red),
        Outcome::NotAllowed => ("not allowed", AnsiColor::Yellow),
    };
    vec![
        Cell::styled(word, Style::new().fg_color(Some(colour.into()))),
        done.subject.clone().into(),
        done.what.clone().into(),
    ]
}
