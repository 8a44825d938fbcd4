//! Whether what was restored is what was backed up: cells, schema, secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use app_config::DatabaseAddress;
use db_core::Owner;
use db_core::secrets::encrypted::{ENCRYPTED, decrypt_sample};
use db_core::secrets::keyring::Keyring;
use db_core::setup::{KeyError, KeySource};
use tokio_postgres::Client;
use uuid::Uuid;

use super::census::{Cell, Census};
use super::manifest::Manifest;
use super::progress::Counter;
use super::restore_rows::is_wanted;
use super::scan::Readers;
use super::{BackupError, Context, cells, schema, server, shape};

/// So many differences are listed; the rest is counted.
const LISTED: usize = 50;

/// So many values of each encrypted column are decrypted for each key.
const SAMPLE: i64 = 100;

/// What was looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    pub tables: u64,
    pub cells: u64,
    pub rows: u64,
    /// Secrets that were decrypted; `None` where there is no key.
    pub secrets: Option<u64>,
    /// Why the schema's fingerprint was not compared; `None` where it was.
    pub schema_not_compared: Option<&'static str>,
}

/// Compares a restored database, at `address`, which `client` is connected to, with what its backup says.
///
/// # Errors
/// [`BackupError::Differs`] with each difference, up to fifty.
pub(super) async fn check(
    context: &Context<'_>,
    address: &DatabaseAddress,
    client: &Client,
    owner: &Owner,
    manifest: &Manifest,
    was: &Census,
) -> Result<Checked, BackupError> {
    let done = context
        .progress
        .step(format!("{}: comparing rows", manifest.backup), 0);
    // An owner that is held by row level security must not take what it cannot see for what is not there.
    server::sight(client).await?;
    let is = census(context, address, client, manifest, &done).await?;
    let domains = domains(client).await?;
    context
        .progress
        .step(format!("{}: comparing the schema", manifest.backup), 0);
    let mut differences = compare(was, &is, &domains);
    let major = server::Server::of(client).await?.major();
    let (of_the_schema, schema_not_compared) =
        schema::differences(context.program, client, owner, manifest, major).await?;
    differences.extend(of_the_schema);
    let secrets = match keyring(context)? {
        Some(keyring) => match decrypt(client, &keyring).await? {
            Ok(count) => Some(count),
            Err(problems) => {
                differences.extend(problems);
                None
            }
        },
        None => None,
    };
    none(manifest, differences)?;
    Ok(Checked {
        tables: is.tables.len() as u64,
        cells: is.cells(),
        rows: is.rows(),
        secrets,
        schema_not_compared,
    })
}

/// Compares what was restored of one domain, and of those that it needs, with what the backup says of them.
///
/// # Errors
/// As [`check`].
pub(super) async fn check_domain(
    context: &Context<'_>,
    address: &DatabaseAddress,
    client: &Client,
    manifest: &Manifest,
    was: &Census,
    only: Uuid,
) -> Result<(), BackupError> {
    let done = context
        .progress
        .step(format!("{}: comparing rows", manifest.backup), 0);
    server::sight(client).await?;
    let is = census(context, address, client, manifest, &done).await?;
    let mut was = was.clone();
    for cells in was.tables.values_mut() {
        cells.retain(|domain, _| is_wanted(*domain, only));
    }
    none(manifest, compare(&was, &is, &domains(client).await?))
}

/// Counts and hashes every row that is there, in the form that the manifest says.
async fn census(
    context: &Context<'_>,
    address: &DatabaseAddress,
    client: &Client,
    manifest: &Manifest,
    done: &Counter,
) -> Result<Census, BackupError> {
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .await?;
    let snapshot: String = client.query_one("SELECT pg_export_snapshot()", &[]).await?.get(0);
    let mut tables = shape::read(client).await?;
    for table in &mut tables {
        if let Some(listed) = manifest.tables.iter().find(|listed| listed.name == table.name) {
            table.shape = listed.shape.clone();
        }
    }
    let readers = Readers::connect(context, address, &snapshot, &tables).await?;
    let census = readers.read(&Arc::new(tables), None, done).await?;
    client.batch_execute("COMMIT").await?;
    Ok(census)
}

/// No difference, or an error with each of them.
fn none(manifest: &Manifest, mut differences: Vec<String>) -> Result<(), BackupError> {
    if differences.is_empty() {
        return Ok(());
    }
    let more = differences.len().saturating_sub(LISTED);
    differences.truncate(LISTED);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Err(BackupError::Differs {
        backup: manifest.backup.to_string(),
        differences,
    })
}

/// The cells file has to say what the manifest says.
pub(super) fn agrees(manifest: &Manifest, census: &Census) -> Result<(), BackupError> {
    let shapes = manifest.tables.iter().map(|table| (&table.name, &table.shape));
    if cells::totals(census, shapes) == manifest.tables
        && census.tables.len() == manifest.tables.len()
        && census.rows() == manifest.rows
        && census.cells() == manifest.cells
    {
        Ok(())
    } else {
        Err(BackupError::damaged(
            &manifest.backup,
            "the cells are not those that the manifest sums up",
        ))
    }
}

/// One line for each cell that differs, with table and domain by name.
fn compare(was: &Census, is: &Census, domains: &BTreeMap<Uuid, String>) -> Vec<String> {
    let mut differences = Vec::new();
    for table in is.tables.keys().filter(|table| !was.tables.contains_key(*table)) {
        differences.push(format!("table {table} is there, and was not"));
    }
    for (table, cells_were) in &was.tables {
        let Some(cells_are) = is.tables.get(table) else {
            differences.push(format!("table {table} is missing"));
            continue;
        };
        let keys: std::collections::BTreeSet<_> = cells_were.keys().chain(cells_are.keys()).collect();
        for domain in keys {
            let was = cells_were.get(domain).copied().unwrap_or_default();
            let is = cells_are.get(domain).copied().unwrap_or_default();
            if was != is {
                differences.push(format!(
                    "table {table}{}: {}",
                    in_domain(*domain, domains),
                    said(was, is)
                ));
            }
        }
    }
    differences
}

fn in_domain(domain: Option<Uuid>, domains: &BTreeMap<Uuid, String>) -> String {
    match domain {
        None => String::new(),
        Some(id) => match domains.get(&id) {
            Some(slug) => format!(", domain {slug} ({id})"),
            None => format!(", domain {id}"),
        },
    }
}

fn said(was: Cell, is: Cell) -> String {
    if was.rows == is.rows {
        format!("{} rows, of which at least one is not as it was", is.rows)
    } else {
        format!("{} rows instead of {}", is.rows, was.rows)
    }
}

/// Slugs, for messages.
async fn domains(client: &Client) -> Result<BTreeMap<Uuid, String>, BackupError> {
    let there: bool = client
        .query_one("SELECT to_regclass('public.domains') IS NOT NULL", &[])
        .await?
        .get(0);
    if !there {
        return Ok(BTreeMap::new());
    }
    let rows = client.query("SELECT id, slug FROM public.domains", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The keyring; `None` where none is configured.
///
/// # Errors
/// It cannot be read.
pub(super) fn keyring(context: &Context<'_>) -> Result<Option<Keyring>, BackupError> {
    match KeySource::from_config(&context.program.config).load() {
        Ok(keyring) => Ok(Some(keyring)),
        Err(KeyError::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Decrypts some of what is encrypted, of each column and key; what is wrong with it otherwise.
async fn decrypt(client: &Client, keyring: &Keyring) -> Result<Result<u64, Vec<String>>, BackupError> {
    let there: bool = client
        .query_one("SELECT to_regclass('public.installation') IS NOT NULL", &[])
        .await?
        .get(0);
    let remembered: Option<Vec<String>> = if there {
        let row = client
            .query_opt("SELECT key_fingerprints FROM public.installation", &[])
            .await?;
        row.map(|row| row.get(0))
    } else {
        None
    };
    if let Err(error) = keyring.check(&remembered.unwrap_or_default()) {
        return Ok(Err(vec![error.to_string()]));
    }
    let sample = decrypt_sample(client, keyring, ENCRYPTED, SAMPLE).await?;
    if sample.problems.is_empty() {
        Ok(Ok(sample.values))
    } else {
        Ok(Err(sample.problems))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_altered_and_one_lost_row_are_named_by_table_and_domain() {
        let domain = Uuid::from_u128(7);
        let cell = |rows, hash| Cell { rows, hash };
        let mut was = Census::default();
        was.tables.insert(
            "public.cards".to_owned(),
            [(Some(domain), cell(3, 10)), (None, cell(1, 1))].into(),
        );
        let mut is = was.clone();
        let domains = [(domain, "acme".to_owned())].into();
        assert!(compare(&was, &is, &domains).is_empty());
        is.tables.insert(
            "public.cards".to_owned(),
            [(Some(domain), cell(3, 11)), (None, cell(0, 0))].into(),
        );
        let said = compare(&was, &is, &domains);
        assert_eq!(said[0], "table public.cards: 0 rows instead of 1");
        assert!(
            said[1].starts_with("table public.cards, domain acme (00000000")
                && said[1].contains("3 rows, of which at least one"),
            "{said:?}"
        );
        assert!(compare(&was, &Census::default(), &domains)[0].contains("is missing"));
    }
}
