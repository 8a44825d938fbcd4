//! From a configuration to a server that listens: setup, migrations, keys.

use std::sync::{Arc, Weak};
use std::time::Instant;

use app_config::Config;
use db_core::setup::{self, DEMO_PASSWORD, SetupError, SetupRequest};
use db_core::{Clock, Owner};
use secrecy::ExposeSecret as _;

use crate::state::{AppState, PAUSE, Phase, Seen, StartError};

/// Looks at the database once, sets up when the environment says so, and says in the log how things stand.
///
/// Call it on an actix runtime: where the server has to wait for its database or for setup, a task there does.
///
/// # Errors
/// What a person must mend. A database that is away is no error: the server starts, answers 503, and looks again.
pub async fn app_state(config: Config, clock: Clock) -> anyhow::Result<Arc<AppState>> {
    let owner = Owner::from_config(&config.database, "plinth-owner")?;
    setup::check_demo(&config)?;
    let state = Arc::new(AppState::new(config, owner, clock));
    let phase = match state.bring_up().await {
        Ok(Phase::Ready) => return Ok(state),
        Ok(Phase::AwaitingSetup) => begin_setup(&state).await?,
        Err(error) if error.is_transient() => {
            tracing::error!(%error, "the database is away; the server answers 503 until it is back");
            wait(Arc::downgrade(&state), false);
            return Ok(state);
        }
        Err(error) => return Err(error.into()),
    };
    if phase == Phase::AwaitingSetup {
        wait(Arc::downgrade(&state), true);
    }
    Ok(state)
}

/// How to sign in to the demo, in one line for the log; `None` without it. The README says the same.
pub fn demo_accounts(config: &Config) -> Option<String> {
    if !config.setup.demo {
        return None;
    }
    let request = SetupRequest::from_config(config, "environment");
    let (domain, operator) = (&request.domain.slug, &request.operator_email);
    let others: Vec<String> = request
        .more_domains
        .iter()
        .map(|domain| format!(", {} as {}", domain.slug, domain.admin_email()))
        .collect();
    let password = match &config.setup.operator_password {
        None => DEMO_PASSWORD,
        Some(_) => "the one of PLINTH_SETUP_OPERATOR_PASSWORD",
    };
    Some(format!(
        "the demo's accounts (POST /api/v1/sessions): domain {domain} as {operator}{}, operators' domain platform as {operator}; password: {password}",
        others.concat()
    ))
}

/// Sets up when the environment says so; else says what setup asks for.
async fn begin_setup(state: &Arc<AppState>) -> Result<Phase, StartError> {
    if state.config.setup.at_start() {
        let request = SetupRequest::from_config(&state.config, "environment");
        return match state.set_up(request).await {
            // Another replica was faster; what it made is served.
            Err(StartError::Setup(SetupError::AlreadySetUp)) => state.bring_up().await,
            result => result.map(|()| Phase::Ready),
        };
    }
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
    Ok(Phase::AwaitingSetup)
}

/// Until requests are served: looks again and again whether the database is back, or another has set it up.
fn wait(state: Weak<AppState>, mut begun: bool) {
    actix_web::rt::spawn(async move {
        loop {
            tokio::time::sleep(PAUSE).await;
            let Some(state) = state.upgrade() else { return };
            match state.look_once(Instant::now()).await {
                Seen::Ready => return,
                Seen::AwaitingSetup if !begun => {
                    begun = true;
                    if let Err(error) = begin_setup(&state).await {
                        tracing::error!(%error, "setup did not happen");
                        // The database may have gone again; anything else would only fail again.
                        begun = !error.is_transient();
                    }
                }
                Seen::AwaitingSetup | Seen::Away | Seen::Unfit => {}
            }
        }
    });
}
