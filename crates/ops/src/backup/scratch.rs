//! Databases that a drill or a restore makes beside the others, and that go again.

use std::time::Duration;

use app_config::DatabaseAddress;
use tokio_postgres::Client;

use super::BackupError;
use super::frame::Frame;
use super::locks;
use super::server::{self, KEEPER};
use crate::program::Program;

/// Names: what it is for, and sixteen random digits.
const PREFIXES: [&str; 2] = ["plinth_drill_", "plinth_restore_"];

/// So often is asked whether sessions of a killed process have ended, every quarter of a second. The server notices within half a second.
const LINGERING: u32 = 12;

/// A database of one's own. Dropped by [`Self::drop_database`]; what a killed process leaves, the next one sweeps away: it has
/// no keeper any more.
pub(super) struct Scratch {
    /// Connected to another database of the server.
    pub maintenance: Client,
    pub address: DatabaseAddress,
    /// Is connected for as long as the database is in use.
    keeper: Option<Client>,
}

/// Connects to a database that is there whatever happens to the others, and is not `target`, which cannot be given another
/// name from inside.
pub(super) async fn maintenance(program: &Program, target: &str) -> Result<Client, BackupError> {
    let address = program.owner.address();
    let mut refusal = None;
    for database in ["postgres", "template1"]
        .into_iter()
        .filter(|name| *name != target)
    {
        match server::connect(program, &server::beside(address, database)).await {
            Ok(client) => return Ok(client),
            // Either may be missing, or closed to the login. The first refusal says more.
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| BackupError::Failed("there is no database to work from".to_owned())))
}

/// Whether the login may make databases; if not, a message that says what to do.
pub(super) async fn may_make(client: &Client) -> Result<(), BackupError> {
    let row = client
        .query_one(
            "SELECT rolcreatedb OR rolsuper, rolname::text FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    if row.get(0) {
        return Ok(());
    }
    let login: String = row.get(1);
    Err(BackupError::Failed(format!(
        "the login {login} may not make databases, and backups are restored into one of their own: as an administrator, \
         ALTER ROLE {login} CREATEDB; or set DATABASE_DIRECT_URL to a login that may"
    )))
}

impl Scratch {
    /// Sweeps up, then makes an empty database like `frame`, called `prefix`, which is one of those above, and digits. `target`
    /// is the database that it will replace, if any.
    pub async fn make(
        program: &Program,
        prefix: &str,
        frame: &Frame,
        target: &str,
    ) -> Result<Self, BackupError> {
        let maintenance = maintenance(program, target).await?;
        may_make(&maintenance).await?;
        let major = server::Server::of(&maintenance).await?.major();
        let name = format!("{prefix}{}", hex::encode(db_core::random_bytes::<8>()));
        let address = server::beside(program.owner.address(), &name);
        lock(&maintenance).await?;
        sweep(&maintenance).await?;
        let made = async {
            frame.create(&maintenance, &name, major).await?;
            server::connect_as(program, &address, KEEPER).await
        };
        let keeper = match made.await {
            Ok(keeper) => keeper,
            Err(error) => {
                drop_named(&maintenance, &name).await;
                return Err(error);
            }
        };
        unlock(&maintenance).await?;
        Ok(Self {
            maintenance,
            address,
            keeper: Some(keeper),
        })
    }

    /// Drops it. Nothing that fails here undoes what was shown; the next drill sweeps up.
    pub async fn drop_database(self) {
        drop(self.keeper);
        drop_named(&self.maintenance, &self.address.database).await;
    }

    /// Ends all own connections to it and keeps others from sweeping, so that it can be given its name. The lock goes with the
    /// maintenance connection.
    pub async fn release(&mut self) -> Result<(), BackupError> {
        lock(&self.maintenance).await?;
        self.keeper = None;
        Ok(())
    }
}

/// With a try-lock loop: a waiter in `pg_advisory_lock` holds a snapshot that others may have to wait for.
async fn lock(client: &Client) -> Result<(), BackupError> {
    for _ in 0..600 {
        let got: bool = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&locks::SCRATCH])
            .await?
            .get(0);
        if got {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(BackupError::Busy(
        "another drill or restore has been making a database for a minute".to_owned(),
    ))
}

async fn unlock(client: &Client) -> Result<(), BackupError> {
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&locks::SCRATCH])
        .await?;
    Ok(())
}

/// Drops the databases that nobody is connected to any more, keeper or not: a keeper has nothing to do for hours, and a firewall may have
/// forgotten its connection while others are at work. Those of a process that was just killed end by themselves, and are waited for.
async fn sweep(client: &Client) -> Result<(), BackupError> {
    for attempt in 0..LINGERING {
        let mut left = false;
        for prefix in PREFIXES {
            let rows = client
                .query(
                    "SELECT d.datname::text, EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND a.usesysid IS NOT NULL)
                       FROM pg_database d
                      WHERE d.datname ~ ('^' || $1 || '[0-9a-f]{16}$') AND pg_has_role(d.datdba, 'USAGE')
                        AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND a.application_name = $2)",
                    &[&prefix, &KEEPER],
                )
                .await?;
            for row in rows {
                let name: String = row.get(0);
                if row.get(1) {
                    left = true;
                    continue;
                }
                tracing::info!(database = name, "dropping what a killed drill or restore left");
                // Without FORCE: whoever has come meanwhile keeps it.
                let sql = format!("DROP DATABASE IF EXISTS {}", pg_catalog::quote_ident(&name));
                if let Err(error) = client.batch_execute(&sql).await {
                    let error = BackupError::from(error);
                    tracing::warn!(database = name, %error, "a scratch database was not dropped");
                }
            }
        }
        if !left {
            break;
        }
        if attempt + 1 < LINGERING {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    Ok(())
}

async fn drop_named(client: &Client, name: &str) {
    // A statement that failed may have left a transaction behind.
    let _ = client.batch_execute("ROLLBACK").await;
    let sql = format!(
        "DROP DATABASE IF EXISTS {} WITH (FORCE)",
        pg_catalog::quote_ident(name)
    );
    if let Err(error) = client.batch_execute(&sql).await {
        let error = BackupError::from(error);
        tracing::warn!(database = name, %error, "a scratch database was not dropped");
    }
}
