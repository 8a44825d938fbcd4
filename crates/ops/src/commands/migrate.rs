//! `plinth-ops migrate`

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use db_core::migrate::{Applied, Entry, MIGRATIONS, Migrator, State, Status};

use crate::cli::{Json, Migrate};
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::program::{Program, block_on};

/// How long another migration may take when `--wait` does not say.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(command: Migrate, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    match command {
        Migrate::Run { wait, json } => {
            let wait = wait.map(Duration::from_secs);
            let applied = block_on(async {
                program.owner.reachable(wait.unwrap_or_default()).await?;
                Ok(Migrator::new(&program.owner, wait.unwrap_or(PATIENCE))
                    .run()
                    .await?)
            })?;
            report("applied", &applied, json)
        }
        Migrate::Revert { count, all, json } => {
            let count = if all {
                MIGRATIONS.len()
            } else {
                usize::try_from(count).unwrap_or(usize::MAX)
            };
            let reverted =
                block_on(async { Ok(Migrator::new(&program.owner, PATIENCE).revert(count).await?) })?;
            report("reverted", &reverted, json)
        }
        Migrate::Show(Json { json }) => {
            let status = block_on(async { Ok(Migrator::new(&program.owner, PATIENCE).status().await?) })?;
            if json {
                output::json(&status)?;
            } else {
                output::text(&table(&status))?;
            }
            Ok(status.require_current()?)
        }
    }
}

fn report(verb: &str, migrations: &[Applied], Json { json }: Json) -> Result<(), Failure> {
    if json {
        return output::json(&serde_json::json!({ verb: migrations }));
    }
    let mut text = String::new();
    for migration in migrations {
        text.push_str(&format!(
            "{verb} {}_{} ({} ms)\n",
            migration.version, migration.name, migration.duration_ms
        ));
    }
    match migrations.len() {
        0 if verb == "applied" => text.push_str("nothing to apply: the schema is up to date\n"),
        0 => text.push_str("nothing to revert: no migration is applied\n"),
        some => text.push_str(&format!("{} {verb}\n", output::count(some, "migration"))),
    }
    output::text(&text)
}

fn table(status: &Status) -> String {
    let rows = status.migrations.iter().map(row).collect();
    output::table(
        &["state", "version", "name", "applied at", "took", "by", "checksum"],
        rows,
    )
}

fn row(entry: &Entry) -> Vec<Cell> {
    let (state, colour) = match entry.state {
        State::Applied => ("applied", AnsiColor::Green),
        State::Pending => ("pending", AnsiColor::Yellow),
        State::OutOfOrder => ("out of order", AnsiColor::Red),
        State::Edited => ("edited", AnsiColor::Red),
        State::Unknown => ("unknown", AnsiColor::Red),
    };
    let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    vec![
        Cell::styled(state, Style::new().fg_color(Some(colour.into()))),
        entry.version.clone().into(),
        if entry.name.is_empty() {
            "-".into()
        } else {
            entry.name.clone().into()
        },
        or_dash(entry.applied_at.map(output::time)),
        or_dash(entry.duration_ms.map(|duration| format!("{duration} ms"))),
        or_dash(entry.applied_by.clone()),
        // Enough to tell two apart; --json has all of it.
        or_dash(
            entry
                .checksum
                .as_ref()
                .map(|checksum| checksum.chars().take(12).collect()),
        ),
    ]
}
