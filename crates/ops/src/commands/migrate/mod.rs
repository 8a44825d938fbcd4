//! `plinth-ops migrate`

mod allow;
mod baseline;
mod caution;
pub mod cli;
mod drift;
mod generate;
pub mod lint;
mod plan;
mod progress;
mod show;
mod verify;

use std::path::Path;
use std::time::Duration;

use db_migrate::{Applied, Direction, MIGRATIONS, Migration, Migrator, Task};

use self::cli::{Command, DryRun, Migrate};
use self::progress::Stderr;
use crate::cli::Json;
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on};

/// How long another migration may take when `--wait` does not say.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one of the commands that change something was asked for.
struct Asked {
    task: Task,
    /// How long to wait for a database that is away, and for another migration.
    wait: Option<Duration>,
    /// Whether more than one migration is to be reverted, and nobody said that no question is needed.
    asks: bool,
    dry_run: bool,
    json: bool,
}

pub fn run(options: Migrate, settings: Vec<String>) -> Result<(), Failure> {
    let read;
    let migrations = match &options.migrations {
        // Lint looks at what the reader would refuse, too; verify and generate read by themselves.
        Some(directory)
            if !matches!(
                options.command,
                Command::Lint(_) | Command::Verify(_) | Command::Generate(_)
            ) =>
        {
            read = Migration::read_directory(directory).map_err(db_migrate::MigrateError::from)?;
            &read
        }
        _ => MIGRATIONS,
    };
    let number = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let asked = |task, DryRun { dry_run }, Json { json }| Asked {
        task,
        wait: None,
        asks: false,
        dry_run,
        json,
    };
    match options.command {
        Command::Run { wait, dry_run, json } => {
            let wait = wait.wait.map(Duration::from_secs);
            perform(
                migrations,
                &Asked {
                    wait,
                    ..asked(Task::Run, dry_run, json)
                },
                settings,
            )
        }
        Command::Revert {
            count,
            all,
            yes,
            dry_run,
            json,
        } => {
            let asks = (all || count.count > 1) && !yes.yes;
            let count = if all {
                migrations.len()
            } else {
                number(count.count)
            };
            perform(
                migrations,
                &Asked {
                    asks,
                    ..asked(Task::Revert(count), dry_run, json)
                },
                settings,
            )
        }
        Command::Redo {
            count,
            yes,
            dry_run,
            json,
        } => {
            let asks = count.count > 1 && !yes.yes;
            let task = Task::Redo(number(count.count));
            perform(
                migrations,
                &Asked {
                    asks,
                    ..asked(task, dry_run, json)
                },
                settings,
            )
        }
        Command::Show(json) => show::run(migrations, json, settings),
        Command::Baseline(options) => baseline::run(migrations, options, settings),
        Command::Generate(asked) => {
            let directory = options.migrations.as_deref().unwrap_or(Path::new("migrations"));
            generate::run(directory, &asked, settings)
        }
        Command::Drift(options) => drift::run(migrations, options, settings),
        Command::Verify(asked) => {
            let directory = options.migrations.as_deref().unwrap_or(Path::new("migrations"));
            verify::run(directory, &asked, settings)
        }
        Command::Lint(lint) => lint::run(lint, options.migrations, settings),
    }
}

fn perform(migrations: &[Migration], asked: &Asked, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let stderr = Stderr::new();
    // A dry run is somebody who looks, not somebody who waits.
    let patience = asked
        .wait
        .unwrap_or(if asked.dry_run { Duration::ZERO } else { PATIENCE });
    let migrator = Migrator::new(program.owner.connector(), patience)
        .with(migrations)
        .watched_by(&stderr);
    if asked.asks && !asked.dry_run && !program.is_private() {
        caution::ask(&program, &migrator, asked.task)?;
    }
    let worked = block_on(async {
        program.owner.reachable(asked.wait.unwrap_or_default()).await?;
        if asked.dry_run {
            return plan::report(&migrator.plan(asked.task).await?, asked.json);
        }
        migrator.perform(asked.task).await?;
        report(asked, &stderr.done())
    });
    let worked = worked.map_err(|failure| caution::halfway(&migrator, failure));
    // What was done before the failure stays done.
    let done = stderr.done();
    if worked.is_err() && !asked.dry_run && (asked.json || !done.is_empty()) {
        report(asked, &done)?;
    }
    worked
}

fn report(asked: &Asked, done: &[Applied]) -> Result<(), Failure> {
    let (mut applied, mut reverted) = (Vec::new(), Vec::new());
    let mut text = String::new();
    for one in done {
        let verb = match one.direction {
            Direction::Up => {
                applied.push(one);
                "applied"
            }
            Direction::Down => {
                reverted.push(one);
                "reverted"
            }
        };
        let by = if one.down_changed {
            ", by another down.sql than was there when it was applied"
        } else {
            ""
        };
        text.push_str(&format!(
            "{verb} {}_{} ({} ms){by}\n",
            one.version, one.name, one.duration_ms
        ));
    }
    let reverts = matches!(asked.task, Task::Revert(_) | Task::Redo(_));
    let applies = matches!(asked.task, Task::Run | Task::Redo(_));
    if asked.json {
        let mut value = serde_json::Map::new();
        for (key, wanted, list) in [("reverted", reverts, reverted), ("applied", applies, applied)] {
            if wanted || !list.is_empty() {
                value.insert(key.to_owned(), serde_json::json!(list));
            }
        }
        return output::json(&value);
    }
    if done.is_empty() {
        text.push_str(if reverts {
            "nothing to revert: no migration is applied\n"
        } else {
            "nothing to apply: the schema is up to date\n"
        });
    }
    for (verb, list) in [("reverted", reverted), ("applied", applied)] {
        if !list.is_empty() {
            text.push_str(&format!("{} {verb}\n", output::count(list.len(), "migration")));
        }
    }
    output::text(&text)
}
