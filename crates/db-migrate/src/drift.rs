//! Whether a database still is what its applied migrations make.

use pg_catalog::{Catalog, Difference, quote_ident, quote_literal};
use pg_connect::{connection_lost, describe};
use serde::Serialize;
use tokio_postgres::Client;

use super::fingerprint::{self, Standing, drift_options, own};
use super::history::{self, State};
use super::progress::Log;
use super::requirements::EXTENSIONS;
use super::scratch::Scratch;
use super::session::Session;
use super::surroundings::{self, Deviation};
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
    /// Roles, memberships, settings and the database itself, where they are not as they have to be. Looked at either way.
    pub surroundings: Vec<Deviation>,
}

impl Drift {
    /// How many differences are named.
    #[must_use]
    pub fn len(&self) -> usize {
        self.difference.len() + self.surroundings.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The differences for people; a line for each object.
    #[must_use]
    pub fn named(&self) -> String {
        format!("{}{}", self.difference, surroundings::lines(&self.surroundings))
    }
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
        let session = Session::begin(self.connect().await?, self.owner, &log, self.patience).await?;
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
        let surroundings = if applied.is_empty() {
            Vec::new()
        } else {
            surroundings::deviations(client).await?
        };
        if cheap || !may_make_databases(client).await? {
            let drifted = match fingerprint::standing(client).await? {
                Standing::Clean => false,
                Standing::Drifted => true,
                Standing::Unknown(why) => return Err(MigrateError::NoFingerprint(why)),
            };
            session.end().await?;
            return Ok(Drift {
                drifted: drifted || !surroundings.is_empty(),
                compared_with: ComparedWith::Fingerprint,
                up_to,
                difference: Difference::default(),
                surroundings,
            });
        }
        let difference = self.compare_with_scratch(client, &applied).await?;
        if difference.is_empty() && !applied.is_empty() {
            fingerprint::record(client, false).await?;
        }
        session.end().await?;
        Ok(Drift {
            drifted: !difference.is_empty() || !surroundings.is_empty(),
            compared_with: ComparedWith::Scratch,
            up_to,
            difference,
            surroundings,
        })
    }

    async fn compare_with_scratch(
        &self,
        client: &Client,
        applied: &[Migration],
    ) -> Result<Difference, MigrateError> {
        let symbolic_owner = owned_by_the_database_owner(client).await?;
        let options = drift_options(symbolic_owner);
        let scratch = Scratch::create(self.owner).await?;
        let wanted = scratch.owner().client().await?;
        let have = Catalog::read(client, &options).await?;
        let needed = |name: &str| EXTENSIONS.contains(&name);
        make_extensions(&wanted, &have, needed).await?;
        Migrator::on_scratch(&scratch).with(applied).run().await?;
        // Behind the migrations, which are to find what they found there.
        make_extensions(&wanted, &have, |name| !needed(name)).await?;
        let want = Catalog::read(&wanted, &options).await?;
        let (have, want) = (
            own(have.clone(), symbolic_owner, Some(&want)),
            own(want, symbolic_owner, Some(&have)),
        );
        Ok(have.diff(&want))
    }
}

/// Makes the extensions of the live database in the scratch database, in the same versions, so that what they have can be compared. One
/// that the login may not make, or the server no longer can, is left out.
async fn make_extensions(
    scratch: &Client,
    live: &Catalog,
    which: impl Fn(&str) -> bool,
) -> Result<(), MigrateError> {
    for (name, extension) in live.extensions.iter().filter(|(name, _)| which(name)) {
        let sql = format!(
            "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS {} SCHEMA {} VERSION {} CASCADE",
            quote_ident(name),
            quote_ident(&extension.schema),
            quote_literal(&extension.version),
        );
        if let Err(error) = scratch.batch_execute(&sql).await {
            if connection_lost(&error) {
                return Err(error.into());
            }
            tracing::debug!(
                extension = name,
                reason = describe(&error),
                "not made for the comparison"
            );
        }
    }
    Ok(())
}

impl Migrator<'_> {
    /// What the fingerprint of the last run says, and whether roles and settings are as they have to be; takes no lock and
    /// changes nothing.
    ///
    /// # Errors
    /// The owner cannot connect or read.
    pub async fn standing(&self) -> Result<Standing, MigrateError> {
        let client = self.connect().await?;
        let standing = fingerprint::standing(&client).await?;
        if standing == Standing::Clean && !surroundings::deviations(&client).await?.is_empty() {
            return Ok(Standing::Drifted);
        }
        Ok(standing)
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
