//! `plinth-ops migrate show`

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use db_migrate::{Entry, Migration, Migrator, State, Status};

use crate::cli::Json;
use crate::failure::Failure;
use crate::output::{self, Cell};
use crate::program::{Program, block_on};

pub fn run(migrations: &[Migration], Json { json }: Json, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let status = block_on(async {
        let migrator = Migrator::new(program.owner.connector(), Duration::ZERO).with(migrations);
        Ok::<_, Failure>(migrator.status().await?)
    })?;
    if json {
        output::json(&status)?;
    } else {
        output::text(&table(&status))?;
    }
    Ok(status.require_current()?)
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
        State::HalfDone => ("half done", AnsiColor::Yellow),
        State::OutOfOrder => ("out of order", AnsiColor::Red),
        State::Edited => ("edited", AnsiColor::Red),
        State::Unknown => ("unknown", AnsiColor::Red),
    };
    let state = match &entry.half_done {
        Some(half) => format!("half {} (statement {} of {})", half.way(), half.finished, half.of),
        None => state.to_owned(),
    };
    let by = match (&entry.applied_by, &entry.baselined_from) {
        (Some(by), Some(tool)) => Some(format!("{by}, from {tool}")),
        (by, _) => by.clone(),
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
        or_dash(by),
        // Enough to tell two apart; --json has all of it.
        or_dash(
            entry
                .checksum
                .as_ref()
                .map(|checksum| checksum.chars().take(12).collect()),
        ),
    ]
}
