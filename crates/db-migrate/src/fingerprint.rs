//! Whether the schema is still what the last run left, told by a fingerprint in the ledger: cheap, and without a second database.

use std::collections::BTreeMap;

use pg_catalog::{Catalog, Extension, OWNER, Options, OtherObject, QualifiedName, Table};
use tokio_postgres::Client;

use super::MigrateError;
use super::history::BOOKKEEPING;
use super::requirements::EXTENSIONS;

/// Rises when another fingerprint comes of the same schema: with the number in pg-catalog's, or when [`own`] leaves out
/// something else. Then nothing can be said until the next run, instead of something wrong.
const FORMAT: &str = "2";

/// Partitioned tables to which maintenance adds partitions, and from which it drops them.
const MAINTAINED: [&str; 1] = ["activity_stream"];

/// Stands for the fingerprint when the schema had drifted before the run that would have written it.
pub(super) const DRIFTED: &str = "drifted";

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

/// The same for whether it has drifted: what is the runner's own counts too, as far as [`own`] says.
pub(super) fn drift_options(symbolic_owner: bool) -> Options {
    Options {
        symbolic_owner,
        ..Options::default()
    }
}

/// What counts of a catalogue that was read with [`drift_options`]. Left out is what others may add to a database without it having
/// drifted: extensions of theirs, and partitions that are closed, as maintenance makes them. What extensions have counts as far as it can
/// be known: all of those that the schema needs, and of all that are in `other`, the catalogue that it is compared with, in the same
/// version; of the rest, what may lead to rows.
pub(super) fn own(mut catalog: Catalog, symbolic_owner: bool, other: Option<&Catalog>) -> Catalog {
    members(&mut catalog, other);
    bookkeeping(&mut catalog, symbolic_owner);
    catalog
        .extensions
        .retain(|name, _: &mut Extension| EXTENSIONS.contains(&name.as_str()));
    let owners: BTreeMap<QualifiedName, String> = catalog
        .tables
        .iter()
        .filter(|(_, table)| table.partition_key.is_some())
        .map(|(name, table)| (name.clone(), table.owner.clone()))
        .collect();
    catalog.tables.retain(|name, table| {
        let maintained = table.partition_of.as_ref().is_some_and(|parent| {
            parent.schema == "public"
                && MAINTAINED.contains(&parent.name.as_str())
                && parent.schema == name.schema
                && owners.get(parent) == Some(&table.owner)
        });
        !(maintained && table.partition_bound.as_deref() != Some("DEFAULT") && closed(table))
    });
    catalog
}

/// Nobody but the parent leads to its rows.
fn closed(table: &Table) -> bool {
    table.row_security
        && table.force_row_security
        && table.partition_key.is_none()
        && table.inherits.is_empty()
        && table.out_of_order.is_empty()
        && table.policies.is_empty()
        && table.grants.is_empty()
        && table.triggers.is_empty()
        && table.columns.iter().all(|column| column.grants.is_empty())
}

/// Makes objects of what extensions have.
fn members(catalog: &mut Catalog, other: Option<&Catalog>) {
    for (name, extension) in &catalog.extensions {
        let needed = EXTENSIONS.contains(&name.as_str());
        let known = match other {
            Some(other) => other
                .extensions
                .get(name)
                .is_some_and(|theirs| theirs.version == extension.version),
            None => needed,
        };
        let mut counted = extension.clone();
        counted.members.retain(|member| known || member.exposed);
        if !needed {
            // Who may use it is the affair of whoever has added it.
            for member in &mut counted.members {
                member.grants.clear();
            }
        }
        catalog.others.extend(counted.members_as_objects(name));
    }
}

/// Of the runner's own tables only what opens them to others counts: they come, go and grow columns by themselves.
fn bookkeeping(catalog: &mut Catalog, symbolic_owner: bool) {
    let mut tables = Vec::new();
    catalog.tables.retain(|name, table| {
        let is = BOOKKEEPING.contains(&name.name.as_str());
        if is {
            tables.push((name.to_string(), table.clone()));
        }
        !is
    });
    let mut found = |what: String, table: &str, definition: String| {
        catalog.others.push(OtherObject {
            class: what,
            identity: table.to_owned(),
            definition: Some(definition),
            comment: None,
        });
    };
    let usual = tables.first().map(|(_, table)| table.owner.clone());
    for (name, table) in &tables {
        if usual.as_ref() != Some(&table.owner) || (symbolic_owner && table.owner != OWNER) {
            found("owner of table".to_owned(), name, table.owner.clone());
        }
        for (role, privileges) in &table.grants {
            found(format!("grant to {role} on table"), name, privileges.to_string());
        }
        for column in &table.columns {
            for (role, privileges) in &column.grants {
                let column = format!("{name}.{}", column.name);
                found(
                    format!("grant to {role} on column"),
                    &column,
                    privileges.to_string(),
                );
            }
        }
        for (trigger, it) in &table.triggers {
            found(
                format!("trigger {trigger} on table"),
                name,
                format!("{} {}", it.definition, it.enabled),
            );
        }
        if table.row_security || !table.policies.is_empty() {
            found("row level security on table".to_owned(), name, String::new());
        }
    }
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
    let catalog = Catalog::read(client, &drift_options(true)).await?;
    Ok(own(catalog, true, None))
}

fn major(catalog: &Catalog) -> String {
    (catalog.server_version / 10_000).to_string()
}
