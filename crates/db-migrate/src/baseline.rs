//! Takes over a database that another tool has migrated: our history is written, and no migration is run on it.

use pg_catalog::{Catalog, Difference, ObjectId, Options};
use serde::Serialize;
use tokio_postgres::Client;

use super::history::{self, BOOKKEEPING};
use super::other_tools::{self, Tool};
use super::progress::Log;
use super::scratch::Scratch;
use super::session::Session;
use super::{MigrateError, Migration, Migrator, Status, fingerprint};

/// How many differences are named.
const NAMED: usize = 40;

/// What to take over.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// Whose history the database has; the one that is found when `None`.
    pub from: Option<Tool>,
    /// Version of the last of our migrations that the database has; what the other tool's history says when `None`.
    pub up_to: Option<String>,
    /// Whether to believe it without comparing the schema.
    pub trust: bool,
}

/// What was taken over.
#[derive(Clone, Debug, Serialize)]
pub struct Baselined {
    /// From which tool.
    pub from: Tool,
    /// Version of the last of our migrations that the database has.
    pub up_to: String,
    /// Versions that were written down as applied and were not before.
    pub migrations: Vec<String>,
    /// Whether the schema was compared with what the migrations make.
    pub compared: bool,
}

impl Migrator<'_> {
    /// Writes down what another tool has applied as applied, with the checksums of today.
    ///
    /// Unless told to trust, it makes a scratch database, applies the same migrations there, and wants no difference. The
    /// other tool's history is left alone.
    ///
    /// # Errors
    /// [`MigrateError::Baseline`] says what does not fit. Nothing was written then.
    pub async fn baseline(&self, asked: &Baseline) -> Result<Baselined, MigrateError> {
        let log = Log::default();
        let session = Session::begin(self.connect().await?, self.owner, &log, self.patience).await?;
        let status = history::read(&session.client, self.migrations).await?;
        status.check()?;
        let from = other_tools::find(&session.client, &status, asked.from).await?;
        let up_to = other_tools::last(
            &session.client,
            &status,
            self.migrations,
            from,
            asked.up_to.as_deref(),
        )
        .await?;
        let taken: Vec<&Migration> = self
            .migrations
            .iter()
            .filter(|migration| migration.version <= up_to.version)
            .collect();
        if !asked.trust {
            self.compare(&session.client, &up_to.version).await?;
        }
        let migrations = write(&session.client, &status, &taken, from).await?;
        if !asked.trust {
            fingerprint::record(&session.client, false).await?;
        }
        session.end().await?;
        Ok(Baselined {
            from,
            up_to: up_to.version.to_string(),
            migrations,
            compared: !asked.trust,
        })
    }

    /// Whether the database's schema is what the migrations up to there make.
    async fn compare(&self, client: &Client, up_to: &str) -> Result<(), MigrateError> {
        let scratch = Scratch::create(self.owner).await?;
        let migrations: Vec<Migration> = self
            .migrations
            .iter()
            .filter(|migration| *migration.version <= *up_to)
            .cloned()
            .collect();
        Migrator::on_scratch(&scratch).with(&migrations).run().await?;
        let mut skip_tables: Vec<String> = BOOKKEEPING.iter().map(|name| (*name).to_owned()).collect();
        skip_tables.push(other_tools::GOLANG_MIGRATE.to_owned());
        let options = Options {
            skip_tables,
            skip_schemas: vec![other_tools::DRIZZLE_SCHEMA.to_owned()],
            symbolic_owner: true,
        };
        let unreadable = |error: pg_catalog::Error| MigrateError::Baseline(error.to_string());
        let have = Catalog::read(client, &options).await.map_err(unreadable)?;
        let want = Catalog::read(&scratch.owner().client().await?, &options)
            .await
            .map_err(unreadable)?;
        let mut difference = have.diff(&want);
        // Whoever runs the server may have added some, for monitoring say.
        difference
            .removed
            .retain(|object| !matches!(object, ObjectId::Extension { .. }));
        if difference.is_empty() {
            return Ok(());
        }
        Err(MigrateError::Baseline(format!(
            "the database is not as the migrations up to {up_to} make it (+ is missing in it, - is there besides, ~ is other):\n\
             {}\n{} differences. Mend the schema, name another version with --up-to, or say --trust",
            named(&difference),
            difference.len()
        )))
    }
}

fn named(difference: &Difference) -> String {
    let text = difference.to_string();
    let mut lines: Vec<&str> = text.lines().take(NAMED).collect();
    if text.lines().count() > NAMED {
        lines.push("…");
    }
    lines.join("\n")
}

async fn write(
    client: &Client,
    status: &Status,
    taken: &[&Migration],
    from: Tool,
) -> Result<Vec<String>, MigrateError> {
    client.batch_execute("BEGIN").await?;
    history::prepare(client).await?;
    client
        .batch_execute("ALTER TABLE plinth_migrations ADD COLUMN IF NOT EXISTS baselined_from text")
        .await?;
    let mut written = Vec::new();
    for migration in taken {
        let entry = status.entry(&migration.version);
        if entry.is_some_and(|entry| entry.checksum.is_some()) {
            continue;
        }
        client
            .execute(
                "INSERT INTO __diesel_schema_migrations (version) VALUES ($1) ON CONFLICT DO NOTHING",
                &[&migration.version],
            )
            .await?;
        client
            .execute(
                "INSERT INTO plinth_migrations
                     (version, name, checksum, applied_at, duration_ms, applied_by, plinth_version, baselined_from)
                 VALUES ($1, $2, $3, coalesce($4, now()), 0, session_user, $5, $6)",
                &[
                    &migration.version,
                    &migration.name,
                    &migration.checksum(),
                    &entry.and_then(|entry| entry.applied_at),
                    &env!("CARGO_PKG_VERSION"),
                    &from.name(),
                ],
            )
            .await?;
        written.push(migration.version.to_string());
    }
    client.batch_execute("COMMIT").await?;
    Ok(written)
}
