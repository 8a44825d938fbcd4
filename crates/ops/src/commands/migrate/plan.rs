//! What `--dry-run` prints: SQL, with what there is to say in comments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use db_migrate::{Direction, LockMode, Plan, PlannedMigration, PlannedStatement};

use crate::failure::Failure;
use crate::output;

pub fn report(plan: &Plan, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(plan);
    }
    if plan.migrations.is_empty() {
        return output::text("-- nothing to do\n");
    }
    let mut text =
        String::from("-- A dry run: everything below was tried where it could be, and rolled back.\n");
    for migration in &plan.migrations {
        text.push_str(&heading(migration));
        for statement in &migration.statements {
            text.push_str(&one(statement));
        }
    }
    output::text(&text)
}

fn heading(migration: &PlannedMigration) -> String {
    let verb = match migration.direction {
        Direction::Up => "apply",
        Direction::Down => "revert",
    };
    let how = if migration.transactional {
        "in one transaction: each lock is held to its end"
    } else {
        "without a transaction: each lock is held for its statement"
    };
    format!("\n-- {verb} {}_{}, {how}\n", migration.version, migration.name)
}

fn one(statement: &PlannedStatement) -> String {
    let mut text = format!("\n-- statement {}, line {}", statement.number, statement.line);
    if let Some(duration) = statement.duration_ms {
        text.push_str(&format!(", {duration} ms"));
    }
    text.push('\n');
    if let Some(note) = statement.note {
        text.push_str(&format!("--   {note}\n"));
    }
    for lock in &statement.locks {
        text.push_str(&format!(
            "--   {} on {} {}: {}\n",
            lock.mode.name(),
            lock.kind,
            lock.relation,
            lock.blocks
        ));
    }
    text.push_str(statement.sql.trim_end());
    text.push_str(";\n");
    text
}

/// The locks alone, a line for each statement that takes some. Those on indexes are left out where there are others: they come
/// with their table's.
pub fn locks(migration: &PlannedMigration) -> String {
    let file = match migration.direction {
        Direction::Up => "up.sql",
        Direction::Down => "down.sql",
    };
    let mut text = String::new();
    for statement in &migration.statements {
        let mut modes: BTreeMap<Reverse<LockMode>, Vec<&str>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let only_indexes = statement.locks.iter().all(|lock| lock.kind == "index");
        for lock in &statement.locks {
            // Strongest first, and of several on one relation that one counts.
            if (only_indexes || lock.kind != "index") && seen.insert(lock.relation.as_str()) {
                modes.entry(Reverse(lock.mode)).or_default().push(&lock.relation);
            }
        }
        let mut said: Vec<String> = modes
            .iter()
            .map(|(Reverse(mode), relations)| format!("{} on {}", mode.name(), relations.join(", ")))
            .collect();
        said.extend(statement.note.map(ToOwned::to_owned));
        if !said.is_empty() {
            text.push_str(&format!("  {file}:{} {}\n", statement.line, said.join("; ")));
        }
    }
    text
}
