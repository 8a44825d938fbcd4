//! What the server must have before the first migration: a version, and two extensions.

use tokio_postgres::Client;

use super::{MigrateError, privileges};

/// Oldest server that the schema works on, as `server_version_num`.
const OLDEST_SERVER: i32 = 140_000;

/// Those that the schema needs.
pub(super) const EXTENSIONS: [&str; 2] = ["pgcrypto", "uuid-ossp"];

/// Checks the version, and makes the extensions when they are missing.
///
/// Which of them it made; where one cannot be made, none stays.
pub(super) async fn ensure(client: &Client) -> Result<Vec<&'static str>, MigrateError> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
            &[],
        )
        .await?;
    if row.get::<_, i32>(0) < OLDEST_SERVER {
        return Err(MigrateError::Requirement(format!(
            "PostgreSQL {} is too old: Plinth needs 14 or newer",
            row.get::<_, String>(1)
        )));
    }
    let mut made = Vec::new();
    for extension in EXTENSIONS {
        let there = "SELECT FROM pg_extension WHERE extname = $1";
        if client.query_opt(there, &[&extension]).await?.is_some() {
            continue;
        }
        let sql =
            format!("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS \"{extension}\"");
        let Err(error) = client.batch_execute(&sql).await else {
            made.push(extension);
            continue;
        };
        // Two processes may make it at once; the loser finds it made.
        if client.query_opt(there, &[&extension]).await?.is_none() {
            take_back(client, &made).await;
            return Err(MigrateError::Requirement(format!(
                "the extension {extension} is missing and could not be made: {}; or let an administrator run \
                 CREATE EXTENSION \"{extension}\" in this database (package postgresql-contrib)",
                privileges::described(client, &error).await
            )));
        }
    }
    Ok(made)
}

/// Drops those that were made, where nothing comes after them.
pub(super) async fn take_back(client: &Client, made: &[&str]) {
    for extension in made {
        if let Err(error) = client
            .batch_execute(&format!("DROP EXTENSION \"{extension}\""))
            .await
        {
            tracing::warn!(%error, extension, "an extension that was made for migrations stays");
        }
    }
}
