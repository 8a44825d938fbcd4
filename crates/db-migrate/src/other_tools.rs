//! The histories of other tools, and which of our migrations they speak of.

use serde::Serialize;
use tokio_postgres::Client;

use super::{MigrateError, Migration, Status};

/// golang-migrate's table: one row, `version bigint, dirty boolean`.
pub(super) const GOLANG_MIGRATE: &str = "schema_migrations";

/// The schema that drizzle's migrator keeps `__drizzle_migrations (id, hash, created_at)` in.
pub(super) const DRIZZLE_SCHEMA: &str = "drizzle";

/// A tool that migrates databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// The `diesel` command line, with our own migrations.
    Diesel,
    /// golang-migrate.
    GolangMigrate,
    /// drizzle-kit, or drizzle's migrator.
    Drizzle,
}

impl Tool {
    /// As it is written down.
    pub fn name(self) -> &'static str {
        match self {
            Self::Diesel => "diesel",
            Self::GolangMigrate => "golang-migrate",
            Self::Drizzle => "drizzle",
        }
    }
}

fn refuse<T>(message: String) -> Result<T, MigrateError> {
    Err(MigrateError::Baseline(message))
}

/// Whose history there is.
pub(super) async fn find(
    client: &Client,
    status: &Status,
    asked: Option<Tool>,
) -> Result<Tool, MigrateError> {
    let row = client
        .query_one(
            "SELECT (SELECT count(*) = 2 FROM pg_attribute
                      WHERE attrelid = to_regclass('schema_migrations') AND attname IN ('version', 'dirty') AND NOT attisdropped),
                    to_regclass('drizzle.__drizzle_migrations') IS NOT NULL",
            &[],
        )
        .await?;
    // What we apply ourselves has a checksum.
    let diesel = status
        .migrations
        .iter()
        .any(|entry| !entry.is_due() && entry.checksum.is_none());
    let found: Vec<Tool> = [
        (Tool::Diesel, diesel),
        (Tool::GolangMigrate, row.get(0)),
        (Tool::Drizzle, row.get(1)),
    ]
    .into_iter()
    .filter_map(|(tool, there)| there.then_some(tool))
    .collect();
    let names = || {
        found
            .iter()
            .map(|tool| tool.name())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (asked, found.as_slice()) {
        (Some(tool), _) if found.contains(&tool) => Ok(tool),
        (None, [tool]) => Ok(*tool),
        (Some(tool), []) => refuse(format!("the database has no history of {} to take over", tool.name())),
        (Some(tool), _) => refuse(format!(
            "the database has no history of {} to take over, but one of {}",
            tool.name(),
            names()
        )),
        (None, []) => refuse(
            "there is nothing to take over: no migration without a row in the ledger, no schema_migrations with version and \
             dirty, no drizzle.__drizzle_migrations"
                .to_owned(),
        ),
        (None, _) => refuse(format!(
            "the database has histories of {}: say with --from which one to take over",
            names()
        )),
    }
}

/// The last of our migrations that the database has.
pub(super) async fn last<'a>(
    client: &Client,
    status: &Status,
    migrations: &'a [Migration],
    tool: Tool,
    asked: Option<&str>,
) -> Result<&'a Migration, MigrateError> {
    let asked = asked.map(|version| ours(migrations, version)).transpose()?;
    let said = match tool {
        Tool::Diesel => diesel(status, migrations)?,
        Tool::GolangMigrate => golang_migrate(client, migrations, asked).await?,
        Tool::Drizzle => drizzle(client, asked).await?,
    };
    match (asked, said) {
        (Some(asked), Some(said)) if asked.version != said.version => refuse(format!(
            "{} says that the database is at {}_{}, and --up-to says {}",
            tool.name(),
            said.version,
            said.name,
            asked.version
        )),
        (Some(migration), _) | (None, Some(migration)) => Ok(migration),
        (None, None) => refuse(format!(
            "say with --up-to which version {} has reached",
            tool.name()
        )),
    }
}

fn ours<'a>(migrations: &'a [Migration], version: &str) -> Result<&'a Migration, MigrateError> {
    // As in the directory's name, or as in the history.
    let digits = version.replace('-', "");
    let found = migrations.iter().find(|migration| migration.version == digits);
    found.map_or_else(
        || {
            refuse(format!(
                "--up-to {version}: there is no migration of that version"
            ))
        },
        Ok,
    )
}

/// Our own migrations; [`Status::check`] has seen that none is left out.
fn diesel<'a>(status: &Status, migrations: &'a [Migration]) -> Result<Option<&'a Migration>, MigrateError> {
    let applied = |migration: &&Migration| {
        status
            .entry(&migration.version)
            .is_some_and(|entry| !entry.is_due())
    };
    Ok(migrations.iter().rev().find(applied))
}

async fn golang_migrate<'a>(
    client: &Client,
    migrations: &'a [Migration],
    asked: Option<&Migration>,
) -> Result<Option<&'a Migration>, MigrateError> {
    let Some(row) = client
        .query_opt("SELECT version::text, dirty FROM schema_migrations", &[])
        .await?
    else {
        return refuse("golang-migrate's schema_migrations is empty: it has applied nothing".to_owned());
    };
    let version: String = row.get(0);
    if row.get(1) {
        return refuse(format!(
            "golang-migrate's version {version} is dirty: it was broken off, and nobody knows how far it came; mend the schema \
             and run `migrate force`, then take over"
        ));
    }
    let number = |text: &str| text.parse::<u64>().ok();
    let said = migrations
        .iter()
        .find(|migration| number(&migration.version) == number(&version));
    if said.is_none() && asked.is_none() {
        return refuse(format!(
            "golang-migrate's version {version} is none of ours: say with --up-to which of ours that is"
        ));
    }
    Ok(said)
}

/// drizzle's history has hashes of its own files and the times at which they were generated, neither of which is ours.
async fn drizzle<'a>(
    client: &Client,
    asked: Option<&Migration>,
) -> Result<Option<&'a Migration>, MigrateError> {
    let row = client
        .query_one(
            "SELECT count(*), coalesce(to_char(to_timestamp(max(created_at) / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD-HH24MISS'), '')
               FROM drizzle.__drizzle_migrations",
            &[],
        )
        .await?;
    let (count, newest): (i64, String) = (row.get(0), row.get(1));
    if count == 0 {
        return refuse("drizzle.__drizzle_migrations is empty: drizzle has applied nothing".to_owned());
    }
    if asked.is_none() {
        return refuse(format!(
            "drizzle has applied {count} migrations, the last one generated at {newest} UTC; its history does not name them: \
             say with --up-to which of ours that is"
        ));
    }
    Ok(None)
}
