//! How far a migration without a transaction has come: rows while it is under way, none before and after.

use serde::Serialize;
use tokio_postgres::Client;

use super::fingerprint::DRIFTED;
use super::history::Entry;
use super::migration::checksum;
use super::split::Statement;
use super::{Direction, MigrateError, Migration};

/// Where a migration was broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HalfDone {
    /// On the way there, or back.
    pub direction: Direction,
    /// The last statement that is done; 0 when none is.
    pub finished: usize,
    /// How many statements there are.
    pub of: usize,
}

impl HalfDone {
    /// `applied` or `reverted`.
    pub fn way(&self) -> &'static str {
        match self.direction {
            Direction::Up => "applied",
            Direction::Down => "reverted",
        }
    }

    pub(super) fn error(&self, entry: &Entry) -> MigrateError {
        MigrateError::HalfDone {
            version: entry.version.clone(),
            name: entry.name.clone(),
            way: self.way(),
            finished: self.finished,
            of: self.of,
        }
    }
}

/// One statement that was begun.
pub(super) struct Row {
    pub statement: usize,
    pub checksum: String,
    pub finished: bool,
}

/// Makes the table. Only when the first migration needs it: most installations never do.
pub(super) async fn prepare(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS plinth_migration_statements (
                 version text NOT NULL,
                 direction text NOT NULL CHECK (direction IN ('up', 'down')),
                 statement integer NOT NULL,
                 checksum text NOT NULL,
                 started_at timestamptz NOT NULL DEFAULT now(),
                 finished_at timestamptz,
                 PRIMARY KEY (version, direction, statement));
             COMMENT ON TABLE plinth_migration_statements IS
                 'How far a migration without a transaction has come, by statement; 0 says that it was begun. Empty while none is under way.';",
        )
        .await
}

/// Whether the schema had drifted before the migration that is under way was begun.
pub(super) async fn had_drifted(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT EXISTS (SELECT FROM plinth_migration_statements WHERE statement = 0 AND checksum = $1)";
    Ok(client.query_one(sql, &[&DRIFTED]).await?.get(0))
}

/// The migrations that are under way.
pub(super) async fn read(
    client: &Client,
    migrations: &[Migration],
) -> Result<Vec<(String, HalfDone)>, MigrateError> {
    if !there(client).await? {
        return Ok(Vec::new());
    }
    let rows = client
        .query(
            "SELECT version, direction, max(statement) FILTER (WHERE finished_at IS NOT NULL)
               FROM plinth_migration_statements GROUP BY version, direction",
            &[],
        )
        .await?;
    let half = rows.iter().map(|row| {
        let version: String = row.get(0);
        let direction = if row.get::<_, &str>(1) == "up" {
            Direction::Up
        } else {
            Direction::Down
        };
        let migration = migrations.iter().find(|migration| migration.version == version);
        let statements = migration.and_then(|migration| migration.statements(direction).ok());
        let finished = row.get::<_, Option<i32>>(2).unwrap_or_default();
        let half = HalfDone {
            direction,
            finished: usize::try_from(finished).unwrap_or_default(),
            of: statements.map_or(0, |statements| statements.len()),
        };
        (version, half)
    });
    Ok(half.collect())
}

async fn there(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let sql = "SELECT to_regclass('plinth_migration_statements') IS NOT NULL";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Marks the migration as begun in this direction, and what was done in the other one as past; then what is done already.
pub(super) async fn begin(
    client: &Client,
    version: &str,
    direction: Direction,
    drifted: bool,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    // One statement, so that there is no moment without a row.
    client
        .execute(
            "WITH past AS (DELETE FROM plinth_migration_statements WHERE version = $1 AND direction <> $2)
             INSERT INTO plinth_migration_statements (version, direction, statement, checksum, finished_at)
             VALUES ($1, $2, 0, $3, now()) ON CONFLICT DO NOTHING",
            &[
                &version,
                &direction.as_str(),
                &(if drifted { DRIFTED } else { "" }),
            ],
        )
        .await?;
    let rows = client
        .query(
            "SELECT statement, checksum, finished_at IS NOT NULL FROM plinth_migration_statements
              WHERE version = $1 AND direction = $2 AND statement > 0",
            &[&version, &direction.as_str()],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Row {
            statement: usize::try_from(row.get::<_, i32>(0)).unwrap_or_default(),
            checksum: row.get(1),
            finished: row.get(2),
        })
        .collect())
}

/// Writes down that a statement begins, or that it is done.
pub(super) async fn write(
    client: &Client,
    version: &str,
    direction: Direction,
    number: usize,
    statement: &Statement<'_>,
    finished: bool,
) -> Result<(), tokio_postgres::Error> {
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    client
        .execute(
            "INSERT INTO plinth_migration_statements AS s (version, direction, statement, checksum, finished_at)
             VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN clock_timestamp() END)
             ON CONFLICT (version, direction, statement) DO UPDATE
                SET checksum = excluded.checksum, finished_at = excluded.finished_at",
            &[&version, &direction.as_str(), &number, &checksum(statement.sql), &finished],
        )
        .await?;
    Ok(())
}

/// Forgets a migration that is through.
pub(super) async fn clear(client: &Client, version: &str) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "DELETE FROM plinth_migration_statements WHERE version = $1",
            &[&version],
        )
        .await?;
    Ok(())
}
