//! Before much is lost: a question. After an interruption: what is half done.

use std::time::Duration;

use command_line::ProgramError;
use db_migrate::{Migrator, State, Task};

use crate::commands::confirm::confirm;
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on, runtime};

/// How long an interrupted command may take to find out what is half done: the server needs half a second to notice.
const LOOK: Duration = Duration::from_secs(8);

/// Names the migrations that are reverted, and asks for the database's name. Not through [`block_on`]: from then on Ctrl-C would be
/// heard by nobody who waits for an answer.
pub fn ask(program: &Program, migrator: &Migrator<'_>, task: Task) -> Result<(), Failure> {
    let (Task::Revert(count) | Task::Redo(count)) = task else {
        return Ok(());
    };
    let status = runtime()?.block_on(async {
        program.owner.reachable(Duration::ZERO).await?;
        Ok::<_, Failure>(migrator.status().await?)
    })?;
    // Something is wrong with the history, and the command says so.
    if status.check().is_err() {
        return Ok(());
    }
    let going: Vec<String> = status
        .migrations
        .iter()
        .rev()
        .filter(|entry| matches!(entry.state, State::Applied | State::HalfDone))
        .take(count)
        .map(|entry| format!("{}_{}", entry.version, entry.name))
        .collect();
    let (Some(newest), Some(oldest)) = (going.first(), going.last()) else {
        return Ok(());
    };
    let span = if going.len() == 1 {
        newest.clone()
    } else {
        format!("{newest} back to {oldest}")
    };
    let again = if matches!(task, Task::Redo(_)) {
        ", and made again without that data"
    } else {
        ""
    };
    let address = program.owner.address();
    let what = format!(
        "{} of the database {} on {} would be reverted, {span}: what they made is dropped, with the data in it{again}",
        output::count(going.len(), "migration"),
        address.database,
        address.host,
    );
    confirm(&what, "name", &address.database, false).map_err(Failure::Usage)
}

/// An interruption that leaves a migration half done says which, and how to go on.
pub fn halfway(migrator: &Migrator<'_>, failure: Failure) -> Failure {
    if !matches!(failure, Failure::Program(ProgramError::Interrupted)) {
        return failure;
    }
    // Whoever interrupts this too wants to wait for nothing.
    let half = block_on(async { Ok::<_, Failure>(tokio::time::timeout(LOOK, migrator.half_done()).await) });
    match half {
        Ok(Ok(Ok(Some(error)))) => Failure::InterruptedHalfway(error),
        _ => failure,
    }
}
