//! `plinth-ops migrate verify`

use std::collections::BTreeSet;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use db_migrate::{FolderError, MigrateError, Migration, Verified, verify};

use super::lint::merged_migrations;
use super::{cli, plan};
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on};

pub fn run(directory: &Path, options: &cli::Verify, settings: Vec<String>) -> Result<(), Failure> {
    let migrations = Migration::read_directory(directory).map_err(MigrateError::from)?;
    let chosen = choose(directory, &migrations, options)?;
    let verified = if chosen.is_empty() {
        Vec::new()
    } else {
        let program = Program::open(settings)?;
        let rows = usize::try_from(options.rows).unwrap_or(usize::MAX);
        block_on(async {
            Ok::<_, Failure>(
                verify(
                    program.owner.connector(),
                    &migrations,
                    &chosen,
                    rows,
                    options.server.into(),
                )
                .await?,
            )
        })?
    };
    if options.json.json {
        output::json(&verified)?;
    } else {
        output::text(&report(&verified))?;
    }
    let bad = verified.iter().filter(|one| !one.problems.is_empty()).count();
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::Verify(output::count(bad, "migration")))
}

/// The versions that were asked for.
fn choose(
    directory: &Path,
    migrations: &[Migration],
    options: &cli::Verify,
) -> Result<BTreeSet<String>, Failure> {
    let all = migrations.iter().map(|migration| migration.version.to_string());
    if options.all {
        return Ok(all.collect());
    }
    if options.versions.is_empty() {
        let old = merged_migrations(directory, options.base.as_deref())?;
        let old: BTreeSet<String> = old
            .iter()
            .filter_map(|name| Some(name.split_once('_')?.0.replace('-', "")))
            .collect();
        return Ok(all.filter(|version| !old.contains(version)).collect());
    }
    let mut chosen = BTreeSet::new();
    for asked in &options.versions {
        // With or without the hyphens, and the name behind.
        let version = asked
            .split_once('_')
            .map_or(asked.as_str(), |(version, _)| version)
            .replace('-', "");
        if !migrations.iter().any(|migration| migration.version == version) {
            return Err(MigrateError::from(FolderError::Name {
                path: directory.join(asked),
                problem: "there is no migration of that version",
            })
            .into());
        }
        chosen.insert(version);
    }
    Ok(chosen)
}

fn report(verified: &[Verified]) -> String {
    if verified.is_empty() {
        return "nothing to verify: no migration is new; --all takes all\n".to_owned();
    }
    let mut text = String::new();
    for one in verified {
        let (word, colour) = if one.problems.is_empty() {
            ("good", AnsiColor::Green)
        } else {
            ("bad", AnsiColor::Red)
        };
        let style = Style::new().fg_color(Some(colour.into()));
        text.push_str(&format!(
            "\n{style}{word}{style:#} {}_{}: up, down, up with {} in {}\n",
            one.version,
            one.name,
            output::count(one.seeded.rows, "row"),
            output::count(one.seeded.tables, "table"),
        ));
        for empty in &one.seeded.empty {
            text.push_str(&format!("  no rows in {}: {}\n", empty.table, empty.reason));
        }
        for problem in &one.problems {
            text.push_str(&format!("  {}\n", problem.replace('\n', "\n    ")));
        }
        for note in &one.notes {
            text.push_str(&format!("  note: {}\n", note.replace('\n', "\n    ")));
        }
        for migration in &one.locks {
            text.push_str(&plan::locks(migration));
        }
        for unknown in &one.unknown_locks {
            text.push_str(&format!("  locks unknown: {unknown}\n"));
        }
    }
    text.trim_start().to_owned()
}
