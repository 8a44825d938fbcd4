//! From a configuration without a database to one with the private cluster's address.

use std::path::Path;

use app_config::{Config, DatabaseAddress, LocalPostgres as WhenLocal, Ssl, SslMode};

use crate::error::{Error, Result};
use crate::paths::default_state_dir;
use crate::server::{Address, Durability, LocalPostgres, Options};

/// Stands in for the database that nobody configured: starts the working directory's private cluster, or attaches to it,
/// and enters its address into the configuration. Does nothing where a database is configured.
///
/// The cluster runs at least until the handle is dropped. Blocks; call it before an async runtime starts.
///
/// # Errors
/// [`Error::NotAllowed`] under `PLINTH_DATABASE_LOCAL=never`, and as [`LocalPostgres::start`].
pub fn stand_in(config: &mut Config) -> Result<Option<LocalPostgres>> {
    if config.database.address.is_some() {
        return Ok(None);
    }
    if config.database.local == WhenLocal::Never {
        return Err(Error::NotAllowed);
    }
    let state_dir = match &config.paths.state_dir {
        Some(directory) => directory.clone(),
        None => default_state_dir(Path::new("."))?,
    };
    let mut options = Options::new(state_dir.join("postgres"), Durability::Durable);
    options.binaries.clone_from(&config.paths.postgres_bin);
    let server = LocalPostgres::start(options)?;
    config.database.address = Some(DatabaseAddress::from(server.address()));
    Ok(Some(server))
}

impl From<&Address> for DatabaseAddress {
    fn from(address: &Address) -> Self {
        Self {
            host: address.socket_dir.to_string_lossy().into_owned(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
            password: None,
            ssl: Ssl {
                mode: SslMode::Disable,
                ..Ssl::default()
            },
        }
    }
}
