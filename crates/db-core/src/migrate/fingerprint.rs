//! Whether the schema is still what the last run left, told by a fingerprint in the ledger: cheap, and without a second database.

use pg_catalog::{Catalog, Extension, Options, Table};
use tokio_postgres::Client;

use super::MigrateError;
use super::history::BOOKKEEPING;
use super::requirements::EXTENSIONS;

/// Rises when another fingerprint comes of the same schema: with the number in pg-catalog's, or when [`own`] leaves out
/// something else. Then nothing can be said until the next run, instead of something wrong.
const FORMAT: &str = "1";

/// Partitioned tables to which maintenance adds partitions, and from which it drops them.
const MAINTAINED: [&str; 1] = ["activity_stream"];

/// Stands for the fingerprint when the schema had drifted before the run that would have written it.
const DRIFTED: &str = "drifted";

/// What the fingerprint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The schema is what the last run left.
    Clean,
    /// It is another.
    Drifted,
    /// There is nothing to compare with; the reason.
    Unknown(String),
}

/// How to look at a database: without what the runner keeps for itself.
pub(super) fn options(symbolic_owner: bool) -> Options {
    Options {
        skip_tables: BOOKKEEPING.iter().map(|name| (*name).to_owned()).collect(),
        symbolic_owner,
        ..Options::default()
    }
}

/// Leaves out what others may add to a database without it having drifted: extensions of theirs, and partitions that are
/// closed, as maintenance makes them.
pub(super) fn own(mut catalog: Catalog) -> Catalog {
    catalog
        .extensions
        .retain(|name, _: &mut Extension| EXTENSIONS.contains(&name.as_str()));
    catalog.tables.retain(|name, table| {
        let maintained = table.partition_of.as_ref().is_some_and(|parent| {
            parent.schema == "public"
                && MAINTAINED.contains(&parent.name.as_str())
                && parent.schema == name.schema
        });
        !(maintained && table.partition_bound.as_deref() != Some("DEFAULT") && closed(table))
    });
    catalog
}

/// Nobody but the parent leads to its rows.
fn closed(table: &Table) -> bool {
    table.row_security
        && table.force_row_security
        && table.policies.is_empty()
        && table.grants.is_empty()
        && table.triggers.is_empty()
        && table.columns.iter().all(|column| column.grants.is_empty())
}

/// Compares with what the last run wrote down.
pub(super) async fn standing(client: &Client) -> Result<Standing, MigrateError> {
    let unknown = |why: &str| Ok(Standing::Unknown(why.to_owned()));
    let there: bool = client
        .query_one(
            "SELECT to_regclass('plinth_migrations') IS NOT NULL AND to_regclass('__diesel_schema_migrations') IS NOT NULL",
            &[],
        )
        .await?
        .get(0);
    if !there {
        return unknown("no migration was applied by plinth-ops or a server");
    }
    // By to_jsonb: a ledger that an older version made has no such column.
    let row = client
        .query_opt(
            "SELECT to_jsonb(l) ->> 'schema_fingerprint'
               FROM __diesel_schema_migrations h LEFT JOIN plinth_migrations l ON l.version = h.version
              ORDER BY h.version DESC LIMIT 1",
            &[],
        )
        .await?;
    let Some(recorded) = row.and_then(|row| row.get::<_, Option<String>>(0)) else {
        return unknown("no fingerprint was written after the last migration");
    };
    let [format, major, fingerprint] = recorded.splitn(3, ':').collect::<Vec<_>>()[..] else {
        return unknown("the fingerprint is not of a form that this version knows");
    };
    let catalog = read(client).await?;
    if format != FORMAT {
        return unknown("another version of Plinth wrote the fingerprint");
    }
    if major != self::major(&catalog) {
        return unknown(&format!(
            "the fingerprint is from PostgreSQL {major}, and the server is {}",
            self::major(&catalog)
        ));
    }
    Ok(if fingerprint == catalog.fingerprint().as_str() {
        Standing::Clean
    } else {
        Standing::Drifted
    })
}

/// Writes down the fingerprint of the schema as it is, at the newest applied migration.
///
/// `drifted`: what was there before was not what the migrations had made, so nothing that is there now can be a measure.
pub(super) async fn record(client: &Client, drifted: bool) -> Result<(), MigrateError> {
    let catalog = read(client).await?;
    let fingerprint = catalog.fingerprint();
    let fingerprint = if drifted { DRIFTED } else { fingerprint.as_str() };
    let line = format!("{FORMAT}:{}:{fingerprint}", major(&catalog));
    // No table: the diesel command line keeps no ledger. No column: an older version made the ledger.
    let row = client
        .query_one(
            "SELECT to_regclass('plinth_migrations') IS NOT NULL,
                    EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('plinth_migrations')
                               AND attname = 'schema_fingerprint' AND NOT attisdropped)",
            &[],
        )
        .await?;
    if !row.get::<_, bool>(0) {
        return Ok(());
    }
    if !row.get::<_, bool>(1) {
        client
            .batch_execute("ALTER TABLE plinth_migrations ADD COLUMN IF NOT EXISTS schema_fingerprint text")
            .await?;
    }
    client
        .execute(
            "UPDATE plinth_migrations SET schema_fingerprint = $1
              WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
            &[&line],
        )
        .await?;
    Ok(())
}

async fn read(client: &Client) -> Result<Catalog, MigrateError> {
    Ok(own(Catalog::read(client, &options(true)).await?))
}

fn major(catalog: &Catalog) -> String {
    (catalog.server_version / 10_000).to_string()
}
