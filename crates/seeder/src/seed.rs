//! The commands.

use std::time::Duration;

use command_line::{Program, ProgramError, block_on};
use db_core::rbac::seed::{self, Change};
use db_core::{Owner, SystemError};
use db_migrate::Migrator;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

/// In messages, the log and `pg_stat_activity`.
pub const NAME: &str = "plinth-seeder";

/// Runs the command.
pub fn run(mut cli: Cli) -> Result<(), Failure> {
    let program = Program::open(NAME, std::mem::take(&mut cli.settings))?;
    let changes = block_on(changes(&program.owner, &cli))?;
    print(&cli, &changes)?;
    match cli.command {
        Command::Check if !changes.is_empty() => Err(Failure::OutOfSync(changes.len())),
        _ => Ok(()),
    }
}

/// What was changed, or would have to change.
async fn changes(owner: &Owner, cli: &Cli) -> Result<Vec<Change>, Failure> {
    owner
        .reachable(cli.patience())
        .await
        .map_err(ProgramError::from)?;
    // Of another version's schema this one's catalogue would make a mess.
    Migrator::new(owner.connector(), Duration::ZERO)
        .status()
        .await?
        .require_current()?;
    let changes = owner.system(async |tx| {
        Ok::<_, SystemError>(match cli.command {
            Command::Apply => seed::apply(tx).await?,
            Command::Check | Command::Diff => seed::plan(tx).await?,
        })
    });
    Ok(changes.await?)
}

fn print(cli: &Cli, changes: &[Change]) -> Result<(), ProgramError> {
    if cli.json {
        let in_sync = cli.command == Command::Apply || changes.is_empty();
        command_line::json(&serde_json::json!({ "in_sync": in_sync, "changes": changes }))
    } else {
        command_line::text(&text(cli.command, changes))
    }
}

fn text(command: Command, changes: &[Change]) -> String {
    let mut text: String = changes.iter().map(|change| format!("{change}\n")).collect();
    match (command, changes.len()) {
        (_, 0) => text.push_str("in sync: permissions and system roles are as this version has them\n"),
        (Command::Apply, changes) => text.push_str(&format!("changed: {changes}; in sync now\n")),
        (Command::Check | Command::Diff, _) => {}
    }
    text
}
