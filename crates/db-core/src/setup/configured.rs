//! Setup as a configuration asks for it: the road of the server's start, of `POST /api/db/setup` and of `plinth-ops setup`.

use std::path::Path;

use app_config::Config;
use secrecy::SecretString;

use super::{FirstDomain, KeySource, SetupError, SetupOutcome, SetupRequest};
use crate::clock::Clock;
use crate::owner::Owner;

/// Password of all demo accounts, when no other is configured; the README says it.
pub const DEMO_PASSWORD: &str = "plinth-demo-password";

/// The demo's password is no secret: a server that makes such accounts listens on loopback only.
///
/// # Errors
/// [`SetupError::DemoExposed`].
pub fn check_demo(config: &Config) -> Result<(), SetupError> {
    if config.setup.demo && !config.server.bind.ip().is_loopback() {
        return Err(SetupError::DemoExposed(config.server.bind));
    }
    Ok(())
}

impl SetupRequest {
    /// What section `setup` of the configuration asks for. `via` says which road it is: `ops` or `environment`.
    pub fn from_config(config: &Config, via: &'static str) -> Self {
        let (setup, defaults) = (&config.setup, Self::default());
        let named = |slug: &str, name: &str| FirstDomain {
            slug: slug.to_owned(),
            name: name.to_owned(),
        };
        let domain = match &setup.domain_slug {
            None if setup.demo => named("acme", "Acme"),
            None => FirstDomain {
                name: setup.domain_name.clone().unwrap_or(defaults.domain.name),
                slug: defaults.domain.slug,
            },
            Some(slug) => named(slug, setup.domain_name.as_deref().unwrap_or(slug)),
        };
        let demo_password = || setup.demo.then(|| SecretString::from(DEMO_PASSWORD));
        Self {
            domain,
            operator_email: setup.operator_email.clone().unwrap_or(defaults.operator_email),
            operator_password: setup.operator_password.clone().or_else(demo_password),
            more_domains: if setup.demo {
                vec![named("globex", "Globex")]
            } else {
                Vec::new()
            },
            via,
        }
    }
}

/// Sets up with the keys, the hashing cost and the directories of the configuration, and leaves `db.selection.json`.
///
/// # Errors
/// See [`SetupError`].
pub async fn set_up(
    owner: &Owner,
    config: &Config,
    clock: &Clock,
    request: &SetupRequest,
) -> Result<SetupOutcome, SetupError> {
    let security = &config.security;
    let keys = KeySource::from_config(config);
    let pepper = security.password_pepper.as_ref();
    let outcome = super::run(owner, &keys, clock, security.bcrypt_cost, pepper, request).await?;
    write_selection(&config.paths.persistent_dir, clock);
    Ok(outcome)
}

/// A courtesy to those who look for it; the truth is the row, so that a failure is only logged.
fn write_selection(directory: &Path, clock: &Clock) {
    let selection = serde_json::json!({
        "type": "postgresql",
        "selectedAt": clock.now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "version": "1.0",
    });
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(directory.join("db.selection.json"), format!("{selection:#}\n")));
    if let Err(error) = written {
        tracing::warn!(%error, directory = %directory.display(), "db.selection.json was not written");
    }
}
