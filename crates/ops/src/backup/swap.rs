//! Two databases change names.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::restore::Options;
use super::{BackupError, server};
use crate::program::Program;
use pg_catalog::quote_ident;

/// How long sessions that were told to end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever is connected would lose the ground: they are named, and nothing is done.
pub(super) async fn require_nobody(client: &Client, database: &str) -> Result<(), BackupError> {
    let rows = client
        .query(
            "SELECT format('%s as %s (pid %s)', coalesce(nullif(application_name, ''), 'a program'), usename, pid)
               FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid",
            &[&database],
        )
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut who: Vec<String> = rows.iter().take(10).map(|row| row.get(0)).collect();
    if rows.len() > who.len() {
        who.push(format!("{} more", rows.len() - who.len()));
    }
    Err(BackupError::Busy(format!(
        "somebody is connected to the database {database}: {}; stop them first, or end their sessions with --force",
        who.join(", ")
    )))
}

/// Gives the restored database its name, and the one that has it another: both or neither. Returns the name that the replaced
/// one stays under.
pub(super) async fn swap(
    program: &Program,
    client: &Client,
    restored: &str,
    target: &str,
    options: &Options,
) -> Result<Option<String>, BackupError> {
    let (from, to) = (quote_ident(restored), quote_ident(target));
    let there: bool = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
            &[&target],
        )
        .await?
        .get(0);
    if !there {
        alone(
            program,
            client,
            &[restored],
            false,
            &format!("ALTER DATABASE {from} RENAME TO {to}"),
        )
        .await?;
        return Ok(None);
    }
    let aside = aside(target);
    let sql = format!(
        "BEGIN; ALTER DATABASE {to} RENAME TO {}; ALTER DATABASE {from} RENAME TO {to}; COMMIT",
        quote_ident(&aside)
    );
    alone(program, client, &[target, restored], options.force, &sql).await?;
    if options.drop_replaced {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quote_ident(&aside));
        match client.batch_execute(&sql).await {
            Ok(()) => return Ok(None),
            Err(error) => {
                let error = BackupError::from(error);
                tracing::warn!(database = aside, %error, "the replaced database was not dropped");
            }
        }
    }
    Ok(Some(aside))
}

/// `plinth_replaced_5f0a1c2b`, of at most 63 bytes.
fn aside(target: &str) -> String {
    let tail = format!("_replaced_{}", hex::encode(db_core::random_bytes::<4>()));
    let mut end = target.len().min(63 - tail.len());
    while !target.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", target.get(..end).unwrap_or_default())
}

/// Renames where nobody is connected. A rename locks the database first, so that nobody new gets in, and waits five seconds
/// for those who are: in that time their sessions are ended, where that is wanted.
async fn alone(
    program: &Program,
    client: &Client,
    databases: &[&str],
    force: bool,
    sql: &str,
) -> Result<(), BackupError> {
    let ending = server::connect(
        program,
        &super::server::beside(program.owner.address(), &current(client).await?),
    )
    .await?;
    let own: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    let started = Instant::now();
    loop {
        let renaming = client.batch_execute(sql);
        let mut renaming = std::pin::pin!(renaming);
        let error = loop {
            match tokio::time::timeout(Duration::from_millis(100), &mut renaming).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => break error,
                Err(_elapsed) if force => {
                    ending
                        .query(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                              WHERE datname = ANY ($1) AND pid NOT IN (pg_backend_pid(), $2)",
                            &[&databases, &own],
                        )
                        .await?;
                }
                Err(_elapsed) => {}
            }
        };
        let _ = client.batch_execute("ROLLBACK").await;
        let in_use = error.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE);
        if !in_use || (started.elapsed() > PATIENCE) {
            return Err(error.into());
        }
        if !force {
            for database in databases {
                require_nobody(&ending, database).await?;
            }
        }
    }
}

async fn current(client: &Client) -> Result<String, BackupError> {
    Ok(client
        .query_one("SELECT current_database()::text", &[])
        .await?
        .get(0))
}
