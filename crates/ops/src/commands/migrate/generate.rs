//! `plinth-ops migrate generate`

use std::path::{Path, PathBuf};

use db_core::Clock;
use db_migrate::{Direction, Generate, Generated, MigrateError, generate};
use pg_catalog::PlanError;

use super::{allow, cli};
use crate::failure::Failure;
use crate::output;
use crate::program::{Program, block_on};

pub fn run(migrations: &Path, options: &cli::Generate, settings: Vec<String>) -> Result<(), Failure> {
    let program = Program::open(settings)?;
    let finish = |text: String, direction: Direction, transactional: bool| {
        allow::deliberate(&text, direction, transactional, !options.rename.is_empty())
    };
    let asked = Generate {
        name: &options.name,
        now: Clock::System.now(),
        renames: &options.rename,
        allow_destructive: options.allow_destructive,
        schema: &options.schema,
        migrations,
        keep: options.keep,
        schema_rs: options.schema_rs.is_some(),
        finish: &finish,
        server_wide: options.server.into(),
    };
    let mut generated = block_on(async {
        Ok::<_, Failure>(
            generate(program.owner.connector(), &asked)
                .await
                .map_err(say_the_flag)?,
        )
    })?;
    let schema_rs = match (&options.schema_rs, generated.schema_rs.take()) {
        (Some(path), Some(text)) => Some(write_schema_rs(path, text)),
        _ => None,
    };
    if options.json.json {
        output::json(&generated)?;
    } else {
        output::text(&report(
            &generated,
            schema_rs.as_ref().and_then(|done| done.as_ref().ok()),
        ))?;
    }
    schema_rs.transpose()?;
    Ok(())
}

/// Who is told of a loss is told how it is allowed.
fn say_the_flag(error: MigrateError) -> MigrateError {
    match error {
        MigrateError::Plan(error @ PlanError::Destructive(_)) => MigrateError::Desired(format!(
            "{error}\nwith --allow-destructive it is written all the same, and marked (make: args=--allow-destructive)"
        )),
        error => error,
    }
}

fn write_schema_rs(path: &PathBuf, text: Result<String, String>) -> Result<&PathBuf, Failure> {
    let failed = |problem: String| {
        Failure::from(MigrateError::Desired(format!(
            "the migration is written, and {} is not: {problem}",
            path.display()
        )))
    };
    std::fs::write(path, text.map_err(failed)?).map_err(|error| failed(error.to_string()))?;
    Ok(path)
}

fn report(generated: &Generated, schema_rs: Option<&&PathBuf>) -> String {
    if generated.migrations.is_empty() {
        return "nothing to generate: the migrations make the desired schema\n".to_owned();
    }
    let mut text = String::new();
    for migration in &generated.migrations {
        text.push_str(&format!("{}", migration.directory.display()));
        text.push_str(if migration.transactional {
            "\n"
        } else {
            " (without a transaction)\n"
        });
        for what in &migration.loses {
            text.push_str(&format!("  LOSES {what}\n"));
        }
        for note in &migration.notes {
            text.push_str(&format!("  {note}\n"));
        }
    }
    if let Some(path) = schema_rs {
        text.push_str(&format!("{}\n", path.display()));
    }
    text.push_str(&format!(
        "proved on {} in {}: applied, no difference to the desired schema; reverted, none to before; no row harmed\n",
        output::count(generated.seeded.rows, "row"),
        output::count(generated.seeded.tables, "table"),
    ));
    text
}
