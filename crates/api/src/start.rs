//! From a configuration to a server that listens: setup, migrations, keys.

use std::sync::Arc;

use app_config::Config;
use db_core::setup::{self, SetupError, SetupRequest};
use db_core::{Clock, Owner};
use secrecy::ExposeSecret as _;

use crate::state::{AppState, Phase, StartError};

/// Looks at the database once, sets up when the environment says so, and says in the log how things stand.
///
/// # Errors
/// What a person must mend. A database that is away is no error: the server starts, answers 503, and looks again.
pub async fn app_state(config: Config, clock: Clock) -> anyhow::Result<Arc<AppState>> {
    let owner = Owner::from_config(&config.database, "plinth-owner")?;
    setup::check_demo(&config)?;
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
        let token = if given {
            "the value of PLINTH_SETUP_TOKEN"
        } else {
            state.setup_token().expose_secret()
        };
        tracing::warn!(
            token,
            "not set up yet: POST /api/db/setup with this token as Authorization: Bearer, or run `plinth-ops setup`"
        );
    }
    Ok(state)
}

async fn set_up_from_environment(state: &AppState) -> Result<(), StartError> {
    let request = SetupRequest::from_config(&state.config, "environment");
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
