//! A database made for a comparison, and dropped again.

use app_config::DatabaseAddress;
use pg_connect::{ConnectOptions, Connector, describe};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::random::suffix;
use super::{MigrateError, ServerWide};

/// For how long one that nobody is connected to is left alone: whoever has just made it may be about to connect.
const SWEEP_AFTER: &str = "10 minutes";

/// A database beside the owner's, on the same server. It is dropped with its handle, also when the work is interrupted; only
/// a kill leaves it behind, as `plinth_scratch_<when it was made>_<sixteen digits>`. The next one that is made sweeps those away that
/// are old, the login's to drop, and have nobody connected to them.
#[derive(Debug)]
pub struct Scratch {
    /// Stays connected, so that nobody takes the database for one that was left behind.
    _keeper: Client,
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
        let client = owner.client().await?;
        let now = sweep(&client).await?;
        let database = format!("plinth_scratch_{now}_{}", suffix());
        // From template0, which nobody is connected to and nobody has put anything into.
        let sql = format!("CREATE DATABASE {database} TEMPLATE template0");
        if let Err(error) = client.batch_execute(&sql).await {
            return Err(refused(&client, &error).await);
        }
        let address = DatabaseAddress {
            database,
            ..beside.clone()
        };
        let owner = connector(&address)?;
        let keeper = async {
            let keeper = owner.client().await?;
            keeper.batch_execute("SET idle_session_timeout = 0").await?;
            Ok::<_, MigrateError>(keeper)
        };
        let keeper = match keeper.await {
            Ok(keeper) => keeper,
            Err(error) => {
                drop_named(&client, &address.database).await;
                return Err(error);
            }
        };
        Ok(Self {
            _keeper: keeper,
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

/// What the server says of a database that may not be made, and what to do.
async fn refused(client: &Client, error: &tokio_postgres::Error) -> MigrateError {
    let mut message = format!("cannot make a database to try migrations on: {}", describe(error));
    if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        && let Ok(row) = client.query_one("SELECT quote_ident(session_user)", &[]).await
    {
        let login: &str = row.get(0);
        message.push_str(&format!(
            "; as an administrator, ALTER ROLE {login} CREATEDB; or configure a server on which the login may, such as the private \
             PostgreSQL that stands in where none is configured"
        ));
    }
    MigrateError::Requirement(message)
}

/// Drops what killed processes have left; the server's time, as it stands in names. A database that somebody connects to in this very
/// moment is not dropped: the server sees to that.
async fn sweep(client: &Client) -> Result<String, MigrateError> {
    let row = client
        .query_one(
            &format!(
                "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS'),
                        ARRAY(SELECT d.datname::text FROM pg_database d
                               WHERE d.datname ~ '^plinth_scratch_[0-9]{{14}}_[0-9a-f]{{16}}$' AND pg_has_role(d.datdba, 'USAGE')
                                 AND split_part(d.datname, '_', 3)
                                     < to_char((clock_timestamp() - interval '{SWEEP_AFTER}') AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS')
                                 AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid))"
            ),
            &[],
        )
        .await?;
    for name in row.get::<_, Vec<&str>>(1) {
        tracing::info!(database = name, "dropping what a killed process left");
        drop_named(client, name).await;
    }
    Ok(row.get(0))
}

/// Drops it where nobody is connected to it; of two who do that at once, one finds it gone.
async fn drop_named(client: &Client, name: &str) {
    let sql = format!("DROP DATABASE IF EXISTS {name}");
    if let Err(error) = client.batch_execute(&sql).await {
        tracing::debug!(
            database = name,
            error = describe(&error),
            "a scratch database was not dropped"
        );
    }
}

fn connector(address: &DatabaseAddress) -> Result<Connector, MigrateError> {
    let options = ConnectOptions {
        application_name: Some("plinth-scratch".to_owned()),
        ..ConnectOptions::default()
    };
    Ok(Connector::new(address, options)?)
}
