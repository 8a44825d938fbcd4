//! From settings to the owner of a database, and work that ends in good order.

use std::io::Write as _;

use app_config::{Config, ConfigError, Loaded, Source, TelemetryConfig};
use db_core::Owner;
use local_postgres::LocalPostgres;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::ProgramError;

/// Reads the configuration; `settings` are the `--set` of the command line.
///
/// # Errors
/// Something in it is not valid.
pub fn load(settings: Vec<String>) -> Result<Loaded, ConfigError> {
    app_config::Loader::from_process().flags(settings).load()
}

/// A database to work on.
pub struct Program {
    /// The effective configuration, with the private PostgreSQL's address where that stands in.
    pub config: Config,
    /// The owner of the database.
    pub owner: Owner,
    /// The private PostgreSQL, where it stands in for a configured database: held until the command is over.
    local: Option<LocalPostgres>,
    telemetry: telemetry::Guard,
}

impl Program {
    /// The owner of the configured database, or of the private one, and a log. Connects to nothing yet. `name` is the
    /// program's, for messages, the log and `pg_stat_activity`.
    ///
    /// # Errors
    /// The configuration is not valid, or there is no database.
    pub fn open(name: &str, settings: Vec<String>) -> Result<Self, ProgramError> {
        Self::begin(name, settings, log)
    }

    /// The same for what runs until it is told to stop: it logs and traces as the configuration has it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_service(name: &str, settings: Vec<String>) -> Result<Self, ProgramError> {
        Self::begin(name, settings, |loaded| loaded.config.telemetry.clone())
    }

    fn begin(
        name: &str,
        settings: Vec<String>,
        log: fn(&Loaded) -> TelemetryConfig,
    ) -> Result<Self, ProgramError> {
        let loaded = load(settings)?;
        for warning in &loaded.warnings {
            let _ = writeln!(anstream::stderr(), "{name}: warning: {warning}");
        }
        let telemetry = telemetry::init(name, &log(&loaded))?;
        let mut config = loaded.config;
        let local = local_postgres::stand_in(&mut config)?;
        let owner = Owner::from_config(&config.database, name)?;
        Ok(Self {
            config,
            owner,
            local,
            telemetry,
        })
    }

    /// Whether no database is configured, and the working directory's private PostgreSQL stands in: a developer's own.
    pub fn is_private(&self) -> bool {
        self.local.is_some()
    }

    /// What this process counts and measures.
    pub fn metrics(&self) -> telemetry::MetricsHandle {
        self.telemetry.metrics()
    }
}

/// Programs say themselves what they did: they log warnings, and more only when somebody asked for it. They trace nothing.
fn log(loaded: &Loaded) -> TelemetryConfig {
    let mut config = loaded.config.telemetry.clone();
    let asked = loaded
        .entries
        .iter()
        .any(|entry| entry.key == "telemetry.log_filter" && entry.origin.source != Source::Default);
    if !asked {
        "warn".clone_into(&mut config.log_filter);
    }
    config.otlp_endpoint = None;
    config
}

/// A log for a command that opens no database, until what comes back is dropped.
///
/// # Errors
/// The filter cannot be read.
pub fn start_log(name: &str, loaded: &Loaded) -> Result<telemetry::Guard, ProgramError> {
    Ok(telemetry::init(name, &log(loaded))?)
}

/// A runtime for one command.
///
/// # Errors
/// [`ProgramError::Runtime`].
pub fn runtime() -> Result<Runtime, ProgramError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProgramError::Runtime)
}

/// Runs until the work is done or the process is told to stop; the database then rolls back what was begun, and a private
/// PostgreSQL is stopped in good order.
///
/// # Errors
/// The work's own, [`ProgramError::Interrupted`], or [`ProgramError::Runtime`].
pub fn block_on<T, E: From<ProgramError>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    runtime()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ProgramError::Runtime)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ProgramError::Runtime)?;
        tokio::select! {
            result = work => result,
            _ = interrupt.recv() => Err(ProgramError::Interrupted.into()),
            _ = terminate.recv() => Err(ProgramError::Interrupted.into()),
        }
    })
}
