//! From a configuration to a server that listens: private PostgreSQL, setup, migrations, keys.

use std::path::Path;
use std::sync::Arc;

use app_config::{Config, DatabaseAddress, LocalPostgres as WhenLocal, Ssl, SslMode};
use db_core::setup::SetupError;
use db_core::{Clock, Owner, connect_options};
use local_postgres::{Durability, LocalPostgres, Options, default_state_dir};
use secrecy::ExposeSecret as _;

use crate::state::{AppState, Phase, StartError};

/// Starts the private PostgreSQL when no database is configured, and enters its address into the configuration.
///
/// Blocks; call it before a runtime starts.
///
/// # Errors
/// It cannot be started, or is needed and not allowed.
pub fn local_database(config: &mut Config) -> anyhow::Result<Option<LocalPostgres>> {
    if config.database.address.is_some() {
        return Ok(None);
    }
    anyhow::ensure!(
        config.database.local == WhenLocal::Auto,
        "no database is configured: set DATABASE_URL (a private PostgreSQL is not allowed: PLINTH_DATABASE_LOCAL=never)"
    );
    let state_dir = match &config.paths.state_dir {
        Some(directory) => directory.clone(),
        None => default_state_dir(Path::new("."))?,
    };
    let mut options = Options::new(state_dir.join("postgres"), Durability::Durable);
    options.binaries = config.paths.postgres_bin.clone();
    let server = LocalPostgres::start(options)?;
    let address = server.address();
    config.database.address = Some(DatabaseAddress {
        host: address.socket_dir.to_string_lossy().into_owned(),
        port: address.port,
        database: address.database.clone(),
        user: address.user.clone(),
        password: None,
        ssl: Ssl { mode: SslMode::Disable, ..Ssl::default() },
    });
    tracing::info!(data = %server.data_dir().display(), "a private PostgreSQL serves, since no database is configured");
    Ok(Some(server))
}

/// Looks at the database once, sets up when the environment says so, and says in the log how things stand.
///
/// # Errors
/// What a person must mend. A database that is away is no error: the server starts, answers 503, and looks again.
pub async fn app_state(config: Config, clock: Clock) -> anyhow::Result<Arc<AppState>> {
    let address = config
        .database
        .owner_address()
        .ok_or_else(|| anyhow::anyhow!("no database is configured: set DATABASE_URL"))?;
    let owner = Owner::new(address, connect_options(&config.database, "plinth-owner"))?;
    anyhow::ensure!(
        !config.setup.demo || config.server.bind.ip().is_loopback(),
        "PLINTH_SETUP_DEMO makes accounts with a password that everybody knows: it is for loopback addresses only, \
         and PLINTH_SERVER_BIND is {}",
        config.server.bind
    );
    let state = Arc::new(AppState::new(config, owner, clock));
    let phase = match state.bring_up().await {
        Ok(Phase::AwaitingSetup) if state.config.setup.at_start() => {
            set_up_from_environment(&state).await?;
            Phase::Ready
        }
        Ok(phase) => phase,
        Err(error) if error.is_transient() => {
            tracing::error!(%error, "the database is away; the server answers 503 until it is back");
            return Ok(state);
        }
        Err(error) => return Err(error.into()),
    };
    if phase == Phase::AwaitingSetup {
        let given = state.config.setup.token.is_some();
        let token = if given { "the value of PLINTH_SETUP_TOKEN" } else { state.setup_token().expose_secret() };
        tracing::warn!(
            token,
            "not set up yet: POST /api/db/setup with this token as Authorization: Bearer, or run `plinth-ops setup`"
        );
    }
    Ok(state)
}

async fn set_up_from_environment(state: &AppState) -> Result<(), StartError> {
    let mut request = state.setup_from_config();
    if state.config.setup.demo && request.operator_password.is_none() {
        request.operator_password = Some(DEMO_PASSWORD.into());
    }
    match state.set_up(&request).await {
        Ok(outcome) => {
            if let Some(password) = outcome.generated_password {
                tracing::warn!(
                    email = request.operator_email,
                    password = password.expose_secret(),
                    "the platform operator's password, shown only here: keep it, and change it"
                );
            }
            if outcome.key_file_written {
                tracing::warn!(
                    file = %state.key_file().display(),
                    "a new encryption key was written: keep it safe, apart from the database and its backups; \
                     without it everything encrypted is lost"
                );
            }
            Ok(())
        }
        // Another replica was faster; what it made is served.
        Err(StartError::Setup(SetupError::AlreadySetUp)) => state.bring_up().await.map(|_| ()),
        Err(error) => Err(error),
    }
}

/// Password of all demo accounts; the README says it.
pub const DEMO_PASSWORD: &str = "plinth-demo-password";
