//! A database made for a comparison, and dropped again.

use app_config::DatabaseAddress;
use pg_connect::ConnectOptions;

use super::random::suffix;
use super::{MigrateError, ServerWide};
use pg_connect::Connector;
use pg_connect::describe;

/// A database beside the owner's, on the same server. It is dropped with its handle, also when the work is interrupted; only
/// a kill leaves it behind, under a name that begins with `plinth_scratch_`.
#[derive(Debug)]
pub struct Scratch {
    owner: Connector,
    /// Where it was made from.
    beside: DatabaseAddress,
    server_wide: ServerWide,
}

impl Scratch {
    /// Makes an empty one. Migrations that are tried on it must leave alone what the server's databases share.
    ///
    /// # Errors
    /// The login may not make databases.
    pub async fn create(owner: &Connector) -> Result<Self, MigrateError> {
        Self::create_on(owner, ServerWide::Kept).await
    }

    /// The same on a server of which may be known that it is disposable.
    ///
    /// # Errors
    /// The login may not make databases.
    pub async fn create_on(owner: &Connector, server_wide: ServerWide) -> Result<Self, MigrateError> {
        let beside = owner.address().clone();
        let database = format!("plinth_scratch_{}", suffix());
        // From template0, which nobody is connected to and nobody has put anything into.
        let sql = format!("CREATE DATABASE {database} TEMPLATE template0");
        owner.client().await?.batch_execute(&sql).await.map_err(|error| {
            MigrateError::Requirement(format!(
                "cannot make a database to compare with: {}; the login needs CREATEDB for it",
                describe(&error)
            ))
        })?;
        let address = DatabaseAddress {
            database,
            ..beside.clone()
        };
        let owner = connector(&address)?;
        Ok(Self {
            owner,
            beside,
            server_wide,
        })
    }

    /// What a migration may do to what the server's databases share.
    pub fn server_wide(&self) -> ServerWide {
        self.server_wide
    }

    /// Its owner, the same login.
    pub fn owner(&self) -> &Connector {
        &self.owner
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (name, beside) = (self.owner.address().database.clone(), self.beside.clone());
        let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // A runtime of its own: this one may be at its end, and must not be blocked on from inside.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime.block_on(async {
                let owner = connector(&beside).map_err(|error| error.to_string())?;
                let client = owner.client().await.map_err(|error| error.to_string())?;
                client.batch_execute(&sql).await.map_err(|error| describe(&error))
            })
        });
        match dropping.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(database = name, error, "a scratch database was not dropped"),
            Err(_) => tracing::warn!(database = name, "a scratch database was not dropped"),
        }
    }
}

fn connector(address: &DatabaseAddress) -> Result<Connector, MigrateError> {
    let options = ConnectOptions {
        application_name: Some("plinth-scratch".to_owned()),
        ..ConnectOptions::default()
    };
    Ok(Connector::new(address, options)?)
}
