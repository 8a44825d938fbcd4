//! Two databases change names.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::restore::Options;
use super::{BackupError, server};
use crate::program::Program;
use pg_catalog::quote_ident;

/// How long sessions that were told to end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session of somebody.
struct Session {
    pid: i32,
    /// Program, login and pid, for people.
    who: String,
    /// Whether this login may end it.
    endable: bool,
}

/// Who is connected to any of these databases, but for ourselves and `but`. Of sessions of others, a login without privileges sees neither
/// the program nor what kind of process it is: the server's own have no role.
async fn sessions(client: &Client, databases: &[&str], but: i32) -> Result<Vec<Session>, BackupError> {
    let rows = client
        .query(
            "SELECT a.pid, format('%s as %s (pid %s)', coalesce(nullif(a.application_name, ''), 'a program'), a.usename, a.pid),
                    m.rolsuper OR (NOT coalesce(r.rolsuper, true)
                                   AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
               FROM pg_stat_activity a JOIN pg_roles m ON m.rolname = current_user LEFT JOIN pg_roles r ON r.oid = a.usesysid
              WHERE a.datname = ANY ($1) AND a.pid NOT IN (pg_backend_pid(), $2) AND a.usesysid IS NOT NULL
                AND coalesce(a.backend_type, 'client backend') = 'client backend'
              ORDER BY a.pid",
            &[&databases, &but],
        )
        .await?;
    let session = |row: &tokio_postgres::Row| Session {
        pid: row.get(0),
        who: row.get(1),
        endable: row.get(2),
    };
    Ok(rows.iter().map(session).collect())
}

fn named(sessions: &[Session]) -> String {
    let mut who: Vec<String> = sessions.iter().take(10).map(|one| one.who.clone()).collect();
    if sessions.len() > who.len() {
        who.push(format!("{} more", sessions.len() - who.len()));
    }
    who.join(", ")
}

/// Whoever is connected would lose the ground: they are named, and nothing is done.
pub(super) async fn require_nobody(client: &Client, database: &str) -> Result<(), BackupError> {
    let sessions = sessions(client, &[database], 0).await?;
    if sessions.is_empty() {
        return Ok(());
    }
    Err(BackupError::Busy(format!(
        "somebody is connected to the database {database}: {}; stop them first, or end their sessions with --force",
        named(&sessions)
    )))
}

/// Nobody's session is ended where there is one that cannot be: it would be for nothing.
pub(super) async fn require_endable(client: &Client, database: &str) -> Result<(), BackupError> {
    all_endable(&sessions(client, &[database], 0).await?)
}

fn all_endable(sessions: &[Session]) -> Result<(), BackupError> {
    let (_, not): (Vec<&Session>, Vec<&Session>) = sessions.iter().partition(|one| one.endable);
    if not.is_empty() {
        return Ok(());
    }
    let who: Vec<&str> = not.iter().map(|one| one.who.as_str()).collect();
    Err(BackupError::Busy(format!(
        "this login may not end {}: stop them first, or as an administrator GRANT pg_signal_backend to the login; sessions of a \
         superuser only a superuser ends",
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
        let mut refused = None;
        let renamed = {
            let mut renaming = std::pin::pin!(client.batch_execute(sql));
            loop {
                match tokio::time::timeout(Duration::from_millis(100), &mut renaming).await {
                    Ok(renamed) => break renamed,
                    // The rename gives up by itself after five seconds: it is awaited, whatever happens here.
                    Err(_elapsed) if force && refused.is_none() => {
                        refused = end(&ending, databases, own).await.err();
                    }
                    Err(_elapsed) => {}
                }
            }
        };
        let Err(error) = renamed else { return Ok(()) };
        let _ = client.batch_execute("ROLLBACK").await;
        if let Some(refused) = refused {
            return Err(refused);
        }
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

/// Ends the sessions, where every one of them can be ended. One that is gone meanwhile is none.
async fn end(client: &Client, databases: &[&str], but: i32) -> Result<(), BackupError> {
    let sessions = sessions(client, databases, but).await?;
    all_endable(&sessions)?;
    for session in sessions {
        client
            .query_one("SELECT pg_terminate_backend($1)", &[&session.pid])
            .await
            .map_err(|error| {
                BackupError::Busy(format!(
                    "the session of {} could not be ended: {}",
                    session.who,
                    BackupError::from(error)
                ))
            })?;
    }
    Ok(())
}

async fn current(client: &Client) -> Result<String, BackupError> {
    Ok(client
        .query_one("SELECT current_database()::text", &[])
        .await?
        .get(0))
}
