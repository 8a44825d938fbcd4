//! From settings to the owner of a database.

use std::io::Write as _;

use app_config::{Config, Loaded, LogFormat, Source};
use db_core::Owner;
use local_postgres::LocalPostgres;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Reads the configuration; `settings` are the `--set` of the command line.
pub fn load(settings: Vec<String>) -> Result<Loaded, Failure> {
    Ok(app_config::Loader::from_process().flags(settings).load()?)
}

/// A database to work on.
pub struct Program {
    pub config: Config,
    pub owner: Owner,
    /// The private PostgreSQL, where it stands in for a configured database: held until the command is over.
    _local: Option<LocalPostgres>,
    _telemetry: telemetry::Guard,
}

impl Program {
    /// The owner of the configured database, or of the private one. Connects to nothing yet.
    pub fn open(settings: Vec<String>) -> Result<Self, Failure> {
        let loaded = load(settings)?;
        for warning in &loaded.warnings {
            let _ = writeln!(anstream::stderr(), "plinth-ops: warning: {warning}");
        }
        let telemetry = telemetry::init(&log(&loaded))?;
        let mut config = loaded.config;
        let local = local_postgres::stand_in(&mut config)?;
        let owner = Owner::from_config(&config.database, "plinth-ops")?;
        Ok(Self {
            config,
            owner,
            _local: local,
            _telemetry: telemetry,
        })
    }
}

/// Commands say themselves what they did: they log warnings, and more only when somebody asked for it.
fn log(loaded: &Loaded) -> telemetry::TelemetryConfig {
    let config = &loaded.config.telemetry;
    let asked = loaded
        .entries
        .iter()
        .any(|entry| entry.key == "telemetry.log_filter" && entry.origin.source != Source::Default);
    telemetry::TelemetryConfig {
        service_name: "plinth-ops".to_owned(),
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

/// A runtime for one command.
pub fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Runtime)
}

/// Runs until the work is done or the process is told to stop; the database then rolls back what was begun, and a
/// private PostgreSQL is stopped in good order.
pub fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
        tokio::select! {
            result = work => result,
            _ = interrupt.recv() => Err(Failure::Interrupted),
            _ = terminate.recv() => Err(Failure::Interrupted),
        }
    })
}
