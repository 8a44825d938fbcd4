//! Rows that wait, in tables of the transaction's own, to be looked at before any of them is anybody's.

use db_core::jobs::queue::OPERATIONS;
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::{Table, Tables};
use super::rows::{self, WriteError};
use super::{Archive, DomainError, Task};
use crate::backup::archive::Identities;
use crate::backup::progress::Counter;
use crate::backup::{self, BackupError};

/// Name of the table in which rows of table number `index` wait.
pub(super) fn name(index: usize) -> String {
    format!("pg_temp.plinth_rows_{index}")
}

/// Makes the tables, empty; they go with the transaction. As the login: afterwards the transaction may take on plinth_system.
pub(super) async fn make(client: &Client, tables: &Tables) -> Result<(), DomainError> {
    for (index, table) in tables.tables.iter().enumerate() {
        let sql = format!(
            "CREATE TEMPORARY TABLE plinth_rows_{index} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA;
             GRANT SELECT, INSERT, UPDATE ON {} TO plinth_system",
            table.column_list(),
            table.name,
            name(index),
        );
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Fills them from an archive, and compares them with what it says: count, hash, and that every row is the domain's.
pub(super) async fn fill(
    task: Task<'_>,
    client: &Client,
    tables: &Tables,
    archive: &Archive,
) -> Result<(), DomainError> {
    let identities = Identities::read(&task.program.config.backup);
    let done = task.progress.step(format!("{}: reading", archive.slug()), 0);
    let mut differences = Vec::new();
    for (index, (table, listed)) in tables.tables.iter().zip(&archive.manifest.tables).enumerate() {
        if let Some(file) = &listed.file {
            let give = archive.rows(file, &identities);
            let into = name(index);
            rows::write(client, &into, &table.column_list(), Counter::clone(&done), give)
                .await
                .map_err(|error| unreadable(archive, table, error))?;
        }
        possible_numbers(client, index, table, archive).await?;
        no_operations(client, index, table, archive).await?;
        let census = rows::count(client, table, &name(index)).await?;
        if census.rows != listed.rows {
            differences.push(format!(
                "table {}: {} rows instead of {}",
                table.name, census.rows, listed.rows
            ));
        } else if census.hash != listed.hash {
            differences.push(format!(
                "table {}: {} rows, of which at least one is not as it was",
                table.name, census.rows
            ));
        }
        foreign_rows(client, index, table, archive).await?;
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(DomainError::Differs {
        archive: archive.name().to_owned(),
        differences,
    })
}

fn unreadable(archive: &Archive, table: &Table, error: WriteError) -> DomainError {
    match error {
        WriteError::Read(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            BackupError::Config(format!("the archive {} cannot be read: {error}", archive.name())).into()
        }
        WriteError::Read(error) => {
            DomainError::damaged(&archive.name(), format!("rows of {}: {error}", table.name))
        }
        WriteError::Statement(error) => match error.as_db_error() {
            Some(_) => DomainError::damaged(
                &archive.name(),
                format!("rows of {}: {}", table.name, pg_connect::describe(&error)),
            ),
            None => error.into(),
        },
    }
}

/// Whoever made the archive may have put another domain's id into it.
async fn foreign_rows(
    client: &Client,
    index: usize,
    table: &Table,
    archive: &Archive,
) -> Result<(), DomainError> {
    let domain: Uuid = archive.manifest.domain.id;
    let sql = format!(
        "SELECT count(*) FROM {} WHERE {} IS DISTINCT FROM $1",
        name(index),
        table.key
    );
    let foreign: i64 = client.query_one(&sql, &[&domain]).await?.get(0);
    if foreign > 0 {
        return Err(DomainError::damaged(
            &archive.name(),
            format!("{foreign} rows of {} belong to another domain", table.name),
        ));
    }
    Ok(())
}

/// Nothing counts to half of what a sequence can: a number beyond it is made up. Sequences belong to all domains, and one that were
/// put behind the last number would give nobody another.
async fn possible_numbers(
    client: &Client,
    index: usize,
    table: &Table,
    archive: &Archive,
) -> Result<(), DomainError> {
    for column in table.carried() {
        let Some(sequence) = &column.sequence else {
            continue;
        };
        let sql = format!(
            "SELECT m.largest FROM (SELECT max({})::bigint AS largest FROM {}) m, pg_sequence s
              WHERE s.seqrelid = $1::text::regclass AND m.largest > s.seqmax / 2",
            pg_catalog::quote_ident(&column.name),
            name(index),
        );
        if let Some(row) = client.query_opt(&sql, &[sequence]).await? {
            let largest: i64 = row.get(0);
            return Err(DomainError::damaged(
                &archive.name(),
                format!(
                    "rows of {} are numbered up to {largest} in the column {}, which nothing has counted to",
                    table.name, column.name
                ),
            ));
        }
    }
    Ok(())
}

/// Jobs of the installation itself are the platform domain's alone: whoever made the archive would have them run here.
async fn no_operations(
    client: &Client,
    index: usize,
    table: &Table,
    archive: &Archive,
) -> Result<(), DomainError> {
    if !table.name.starts_with("public.queue_") {
        return Ok(());
    }
    let kinds = backup::jobs::KINDS.map(ToOwned::to_owned).to_vec();
    for (queue, kind) in [("queue", "kind"), ("completion_queue", "completion_kind")] {
        if table.column(queue).is_none() || table.column(kind).is_none() {
            continue;
        }
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {queue} = $1 OR {kind} = ANY ($2)",
            name(index)
        );
        let found: i64 = client.query_one(&sql, &[&OPERATIONS, &kinds]).await?.get(0);
        if found > 0 {
            return Err(DomainError::damaged(
                &archive.name(),
                format!(
                    "{found} rows of {} are about jobs of the queue {OPERATIONS}, which no domain but the platform's has",
                    table.name
                ),
            ));
        }
    }
    Ok(())
}

/// Sequences go on behind what was restored. Not undone with the transaction, which does no harm: numbers are left out.
/// As the login, who owns them.
pub(super) async fn advance_sequences(
    client: &Client,
    tables: impl Iterator<Item = (usize, &Table)>,
) -> Result<(), DomainError> {
    for (index, table) in tables {
        for column in table.carried() {
            let Some(sequence) = &column.sequence else {
                continue;
            };
            let sql = format!(
                "SELECT setval($1::text::regclass, m.largest) FROM (SELECT max({})::bigint AS largest FROM {}) m, {sequence} s
                  WHERE m.largest > s.last_value",
                pg_catalog::quote_ident(&column.name),
                name(index),
            );
            client.query(&sql, &[sequence]).await?;
        }
    }
    Ok(())
}
