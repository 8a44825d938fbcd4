//! Whether a database still is what its applied migrations make.

use pg_catalog::{Catalog, Difference};
use serde::Serialize;
use tokio_postgres::Client;

use super::fingerprint::{self, Standing, options, own};
use super::history::{self, State};
use super::progress::Log;
use super::scratch::Scratch;
use super::session::Session;
use super::{MigrateError, Migration, Migrator};

/// What the database was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedWith {
    /// A scratch database with the same migrations: every difference is named.
    Scratch,
    /// The fingerprint that the last run wrote down: only whether there is a difference.
    Fingerprint,
}

/// How a database stands to its migrations.
#[derive(Clone, Debug, Serialize)]
pub struct Drift {
    /// Whether its schema is another than its migrations make.
    pub drifted: bool,
    /// How that was found out.
    pub compared_with: ComparedWith,
    /// Version of the last migration that it has, if any.
    pub up_to: Option<String>,
    /// What is missing in it (`added`), is there besides (`removed`), and is other than it should be (`changed`: what it has
    /// and what it should have). Empty when only the fingerprint was compared.
    #[serde(flatten)]
    pub difference: Difference,
}

impl Migrator<'_> {
    /// Compares the database with a scratch database that has the same migrations applied; where the login may not make one, or
    /// `cheap` is set, with the fingerprint of the last run. A clean comparison renews the fingerprint.
    ///
    /// # Errors
    /// [`MigrateError`]: also an edited, unknown or half done migration, for then nobody knows what should be there; and
    /// [`MigrateError::NoFingerprint`].
    pub async fn drift(&self, cheap: bool) -> Result<Drift, MigrateError> {
        let log = Log::default();
        // Under the lock: what a migration is just making is no drift.
        let session = Session::begin(self.owner.connect().await?, self.owner, &log, self.patience).await?;
        let client = &session.client;
        let status = history::read(client, self.migrations).await?;
        // One that was merged late is not in the database, and all that counts is what is.
        let mut there = status.clone();
        there.migrations.retain(|entry| entry.state != State::OutOfOrder);
        there.check()?;
        if let Some((entry, half)) = status
            .migrations
            .iter()
            .find_map(|entry| Some((entry, entry.half_done.as_ref()?)))
        {
            return Err(half.error(entry));
        }
        let applied: Vec<Migration> = self
            .migrations
            .iter()
            .filter(|migration| {
                status
                    .entry(&migration.version)
                    .is_some_and(|entry| entry.state == State::Applied)
            })
            .cloned()
            .collect();
        let up_to = applied.last().map(|migration| migration.version.to_string());
        if cheap || !may_make_databases(client).await? {
            let drifted = match fingerprint::standing(client).await? {
                Standing::Clean => false,
                Standing::Drifted => true,
                Standing::Unknown(why) => return Err(MigrateError::NoFingerprint(why)),
            };
            session.end().await?;
            return Ok(Drift {
                drifted,
                compared_with: ComparedWith::Fingerprint,
                up_to,
                difference: Difference::default(),
            });
        }
        let difference = self.compare_with_scratch(client, &applied).await?;
        if difference.is_empty() && !applied.is_empty() {
            fingerprint::record(client, false).await?;
        }
        session.end().await?;
        Ok(Drift {
            drifted: !difference.is_empty(),
            compared_with: ComparedWith::Scratch,
            up_to,
            difference,
        })
    }

    async fn compare_with_scratch(
        &self,
        client: &Client,
        applied: &[Migration],
    ) -> Result<Difference, MigrateError> {
        let scratch = Scratch::create(self.owner).await?;
        Migrator::new(scratch.owner(), self.patience)
            .with(applied)
            .run()
            .await?;
        let options = options(owned_by_the_database_owner(client).await?);
        let have = own(Catalog::read(client, &options).await?);
        let want = own(Catalog::read(&scratch.owner().connect().await?, &options).await?);
        Ok(have.diff(&want))
    }
}

impl Migrator<'_> {
    /// What the fingerprint of the last run says; takes no lock and changes nothing.
    ///
    /// # Errors
    /// The owner cannot connect or read.
    pub async fn standing(&self) -> Result<Standing, MigrateError> {
        fingerprint::standing(&self.owner.connect().await?).await
    }
}

async fn may_make_databases(client: &Client) -> Result<bool, MigrateError> {
    let row = client
        .query_one(
            "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// A scratch database belongs to the login, and so does all in it. Whoever owns the live one, what the migrations made there
/// belongs to the login that ran them: where that is the database's owner, both are compared as "the owner", else by name.
async fn owned_by_the_database_owner(client: &Client) -> Result<bool, MigrateError> {
    let row = client
        .query_one(
            "SELECT coalesce((SELECT relowner FROM pg_class WHERE oid = to_regclass('__diesel_schema_migrations')) = datdba, true)
               FROM pg_database WHERE datname = current_database()",
            &[],
        )
        .await?;
    Ok(row.get(0))
}
