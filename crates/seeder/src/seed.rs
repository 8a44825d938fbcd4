//! The commands.

use std::io::Write as _;
use std::time::Duration;

use app_config::{Loaded, LogFormat, Source};
use db_core::migrate::Migrator;
use db_core::rbac::seed::{self, Change};
use db_core::{Owner, SystemError};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command};
use crate::failure::Failure;

/// Runs the command.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let loaded = app_config::Loader::from_process()
        .flags(cli.settings.iter().cloned())
        .load()?;
    for warning in &loaded.warnings {
        let _ = writeln!(anstream::stderr(), "plinth-seeder: warning: {warning}");
    }
    let _telemetry = telemetry::init(&log(&loaded))?;
    let mut config = loaded.config;
    // Held to the end of the command: the private PostgreSQL, where it stands in for a configured database.
    let _local = local_postgres::stand_in(&mut config)?;
    let owner = Owner::from_config(&config.database, "plinth-seeder")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)?;
    let changes = runtime.block_on(until_interrupted(changes(&owner, cli)))?;
    print(cli, &changes)?;
    match cli.command {
        Command::Check if !changes.is_empty() => Err(Failure::OutOfSync(changes.len())),
        _ => Ok(()),
    }
}

/// What was changed, or would have to change.
async fn changes(owner: &Owner, cli: &Cli) -> Result<Vec<Change>, Failure> {
    owner.reachable(cli.patience()).await?;
    // Of another version's schema this one's catalogue would make a mess.
    Migrator::new(owner, Duration::ZERO)
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

/// A process that is told to stop leaves nothing half done: the transaction is rolled back.
async fn until_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    tokio::select! {
        result = work => result,
        _ = interrupt.recv() => Err(Failure::Interrupted),
        _ = terminate.recv() => Err(Failure::Interrupted),
    }
}

fn print(cli: &Cli, changes: &[Change]) -> Result<(), Failure> {
    let text = if cli.json {
        json(cli.command, changes)?
    } else {
        text(cli.command, changes)
    };
    let mut stdout = anstream::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(Failure::Output)
}

fn json(command: Command, changes: &[Change]) -> Result<String, Failure> {
    let applied = command == Command::Apply;
    let answer = serde_json::json!({ "in_sync": applied || changes.is_empty(), "changes": changes });
    let rendered = serde_json::to_string_pretty(&answer).map_err(|error| Failure::Output(error.into()))?;
    Ok(rendered + "\n")
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

/// The program says itself what it did: it logs warnings, and more only when somebody asked for it.
fn log(loaded: &Loaded) -> telemetry::TelemetryConfig {
    let config = &loaded.config.telemetry;
    let asked = loaded
        .entries
        .iter()
        .any(|entry| entry.key == "telemetry.log_filter" && entry.origin.source != Source::Default);
    telemetry::TelemetryConfig {
        service_name: "plinth-seeder".to_owned(),
        filter: if asked {
            config.log_filter.clone()
        } else {
            "warn".to_owned()
        },
        format: match config.log_format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
        otlp_endpoint: None,
        sample_ratio: config.sample_ratio,
    }
}
