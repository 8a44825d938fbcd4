//! Rows for a database that has none: a few in every table, made up from the catalogue alone.
//!
//! Foreign keys are followed, checks are asked before a row is tried, unique keys get other values. What that does not find a
//! row for stays empty, and is named.

mod boundary;
mod fitting;
mod sample;
mod values;

use std::collections::BTreeMap;

use pg_catalog::{Catalog, Constraint, ConstraintKind, QualifiedName, Table, quote_ident};
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use fitting::Fitting;
use pg_connect::describe;
use values::{expression, pick, value};

/// Rows of a table that a foreign key may choose from.
const CHOICE: usize = 20;

/// Attempts to make the first row of a table.
const ATTEMPTS: usize = 120;

/// Attempts to make one more. Where so many fail, there is mostly a key that allows no other.
const MORE_ATTEMPTS: usize = 32;

/// A table that has no rows.
#[derive(Clone, Debug, Serialize)]
pub struct Empty {
    /// Its name.
    pub table: String,
    /// Why no row could be made.
    pub reason: String,
}

/// What stands in the tables after seeding.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seeded {
    /// How many tables have rows.
    pub tables: usize,
    /// How many rows they have in all.
    pub rows: usize,
    /// Those that have none.
    pub empty: Vec<Empty>,
}

/// Tables that take no more rows, and how many they have: most of the work is to find that out, so it is remembered from one
/// time to the next.
#[derive(Debug, Default)]
pub(super) struct Full(BTreeMap<QualifiedName, (Table, usize)>);

impl Full {
    fn is(&self, name: &QualifiedName, table: &Table, rows: usize) -> bool {
        rows > 0
            && self
                .0
                .get(name)
                .is_some_and(|(then, had)| then == table && *had == rows)
    }
}

/// Makes rows until every table has `wanted` of them, where that can be done. Works as the owner of the tables, in one transaction.
pub(super) async fn seed(
    client: &Client,
    catalog: &Catalog,
    wanted: usize,
    full: &mut Full,
) -> Result<Seeded, tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    fill(client, &Fitting::to(catalog), wanted, full).await
}

/// The same in a database with the schema `have`, with rows that also fit `want`, which they are to be taken to: a column that must
/// not be NULL there has a value, and what is checked there is checked now, as far as this schema can tell.
pub(super) async fn seed_for(
    client: &Client,
    have: &Catalog,
    want: &Catalog,
    wanted: usize,
) -> Result<Seeded, tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    let fitting = Fitting::to_both(client, have, want).await?;
    fill(client, &fitting, wanted, &mut Full::default()).await
}

/// Ends the transaction.
async fn fill(
    client: &Client,
    fitting: &Fitting,
    wanted: usize,
    full: &mut Full,
) -> Result<Seeded, tokio_postgres::Error> {
    let catalog = &fitting.catalog;
    unforced(client, catalog).await?;
    let mut counts: BTreeMap<&QualifiedName, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<&QualifiedName, String> = BTreeMap::new();
    let mut left: Vec<&QualifiedName> = Vec::new();
    for (name, table) in &catalog.tables {
        // Partitions get their rows through their parent.
        if table.partition_of.is_none() {
            counts.insert(name, count(client, name).await?);
            left.push(name);
        }
    }
    // Each round does those whose foreign keys lead to rows; the last one tries what is left all the same.
    loop {
        let (ready, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(|name| {
            catalog
                .tables
                .get(*name)
                .is_some_and(|table| ready(name, table, &counts))
        });
        let last = ready.is_empty();
        let now = if last { left.clone() } else { ready };
        for name in now {
            let Some(table) = catalog.tables.get(name) else {
                continue;
            };
            let mut rows = counts.get(name).copied().unwrap_or_default();
            let maker = Maker {
                client,
                fitting,
                name,
                table,
                counts: &counts,
            };
            while rows < wanted && !full.is(name, table, rows) {
                match maker.row(rows).await? {
                    Ok(()) => rows += 1,
                    Err(reason) => {
                        reasons.insert(name, reason);
                        full.0.insert(name.clone(), (table.clone(), rows));
                        break;
                    }
                }
            }
            counts.insert(name, rows);
        }
        if last || rest.is_empty() {
            break;
        }
        left = rest;
    }
    // With deferred checks open, a table could not be altered.
    client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await?;
    forced(client, catalog).await?;
    client.batch_execute("COMMIT").await?;
    let empty = counts
        .iter()
        .filter(|(_, rows)| **rows == 0)
        .map(|(name, _)| Empty {
            table: name.to_string(),
            reason: reasons.remove(name).unwrap_or_default(),
        });
    Ok(Seeded {
        empty: empty.collect(),
        tables: counts.values().filter(|rows| **rows > 0).count(),
        rows: counts.values().sum(),
    })
}

/// Lets the owner see and write every row until the transaction ends or [`forced`] is called.
pub(super) async fn unforced(client: &Client, catalog: &Catalog) -> Result<(), tokio_postgres::Error> {
    alter_forced(client, catalog, "NO FORCE").await
}

async fn forced(client: &Client, catalog: &Catalog) -> Result<(), tokio_postgres::Error> {
    alter_forced(client, catalog, "FORCE").await
}

async fn alter_forced(client: &Client, catalog: &Catalog, how: &str) -> Result<(), tokio_postgres::Error> {
    let all: String = catalog
        .tables
        .iter()
        .filter(|(_, table)| table.force_row_security)
        .map(|(name, _)| format!("ALTER TABLE {name} {how} ROW LEVEL SECURITY;"))
        .collect();
    client.batch_execute(&all).await
}

async fn count(client: &Client, table: &QualifiedName) -> Result<usize, tokio_postgres::Error> {
    let row = client
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(usize::MAX))
}

/// Whether all that its rows have to refer to is there.
fn ready(name: &QualifiedName, table: &Table, counts: &BTreeMap<&QualifiedName, usize>) -> bool {
    foreign_keys(table).all(|key| {
        let Some(other) = &key.references else { return true };
        optional(table, key) || other == name || counts.get(other).is_some_and(|rows| *rows > 0)
    })
}

fn foreign_keys(table: &Table) -> impl Iterator<Item = &Constraint> {
    table
        .constraints
        .values()
        .filter(|constraint| constraint.kind == ConstraintKind::ForeignKey)
}

/// Whether a row need not refer to anything by it.
fn optional(table: &Table, key: &Constraint) -> bool {
    key.columns
        .iter()
        .any(|column| table.column(column).is_some_and(|column| !column.not_null))
}

struct Maker<'a> {
    client: &'a Client,
    fitting: &'a Fitting,
    name: &'a QualifiedName,
    table: &'a Table,
    counts: &'a BTreeMap<&'a QualifiedName, usize>,
}

impl Maker<'_> {
    /// Makes one more row, where there are so many. The inner error is why that cannot be done.
    async fn row(&self, there: usize) -> Result<Result<(), String>, tokio_postgres::Error> {
        let may_lack: Vec<&str> = self
            .table
            .columns
            .iter()
            .filter(|column| !column.not_null)
            .map(|column| column.name.as_str())
            .collect();
        let mut reason = "no values were found that its checks and foreign keys allow".to_owned();
        let attempts = if there == 0 { ATTEMPTS } else { MORE_ATTEMPTS };
        for attempt in 0..attempts {
            // What may be NULL or has a default is filled wholly, not at all, one of it, some of it, in turns: so not all rows
            // are alike, and checks are met that want one of these.
            let at = there + attempt;
            let filled = |column: &str| match at % 4 {
                0 => true,
                1 => false,
                2 => may_lack.get(at / 4 % may_lack.len().max(1)) == Some(&column),
                _ => pick(column, at).is_multiple_of(2),
            };
            let Some(sql) = self.insert(at, there == 0, filled).await? else {
                continue;
            };
            // One message: there are thousands of these.
            let sql = format!("SAVEPOINT a_row; {sql}; RELEASE SAVEPOINT a_row");
            match self.client.simple_query(&sql).await {
                Ok(done) => {
                    if done
                        .iter()
                        .any(|one| matches!(one, SimpleQueryMessage::CommandComplete(1)))
                    {
                        return Ok(Ok(()));
                    }
                }
                Err(error) if error.as_db_error().is_some() => {
                    if error.code() != Some(&SqlState::UNIQUE_VIOLATION) {
                        reason = describe(&error);
                    }
                    self.client
                        .batch_execute("ROLLBACK TO SAVEPOINT a_row; RELEASE SAVEPOINT a_row")
                        .await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Err(reason))
    }

    /// The statement that makes row number `at`, with these of the columns filled that may be NULL or have a default.
    async fn insert(
        &self,
        at: usize,
        first: bool,
        filled: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, tokio_postgres::Error> {
        let mut from: Vec<String> = Vec::new();
        let mut same: Vec<String> = Vec::new();
        let mut given: BTreeMap<&str, String> = BTreeMap::new();
        for key in foreign_keys(self.table) {
            let Some(other) = &key.references else { continue };
            let nullable = |column: &String| self.table.column(column).is_some_and(|column| !column.not_null);
            let wanted = key
                .columns
                .iter()
                .all(|column| !nullable(column) || filled(column));
            if !wanted || (optional(self.table, key) && self.counts.get(other).is_none_or(|rows| *rows == 0))
            {
                continue;
            }
            let alias = format!("ref{}", from.len());
            from.push(format!("(SELECT * FROM {other} LIMIT {CHOICE}) {alias}"));
            for (column, theirs) in key.columns.iter().zip(&key.referenced_columns) {
                let theirs = format!("{alias}.{}", quote_ident(theirs));
                match given.get(column.as_str()) {
                    Some(before) => same.push(format!("{before} = {theirs}")),
                    None => {
                        given.insert(column, theirs);
                    }
                }
            }
        }
        let mut names = Vec::new();
        let mut values = Vec::new();
        for column in &self.table.columns {
            if column.generated.is_some() || column.identity.as_ref().is_some_and(|identity| identity.always)
            {
                continue;
            }
            let name = quote_ident(&column.name).into_owned();
            let sql = if let Some(reference) = given.get(column.name.as_str()) {
                reference.clone()
            } else if !column.not_null && (!filled(&column.name) || self.only_refers(&column.name)) {
                format!("NULL::{}", column.data_type)
            } else if let (Some(default), true) = (&column.default, column.not_null && !filled(&column.name))
            {
                default.clone()
            } else if let Some(sql) =
                value(self.client, self.fitting, (self.name, self.table), column, at).await?
            {
                sql
            } else if let Some(default) = &column.default {
                default.clone()
            } else if !column.not_null {
                format!("NULL::{}", column.data_type)
            } else {
                return Ok(None);
            };
            values.push(format!("{sql} AS {name}"));
            names.push(name);
        }
        if names.is_empty() {
            return Ok(Some(format!("INSERT INTO {} DEFAULT VALUES", self.name)));
        }
        let from = if from.is_empty() {
            String::new()
        } else {
            format!(" FROM {}", from.join(", "))
        };
        let joined = if same.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", same.join(" AND "))
        };
        let checks: String = self
            .table
            .constraints
            .values()
            // Of those about generated columns nothing is known yet; the insert will say.
            .filter(|check| check.kind == ConstraintKind::Check)
            .filter(|check| {
                check
                    .columns
                    .iter()
                    .all(|column| names.contains(&quote_ident(column).into_owned()))
            })
            .filter_map(|check| expression(&check.definition))
            .map(|check| format!(" AND ({check}) IS NOT FALSE"))
            .collect();
        let checks = checks + &self.fitting.is_new(self.name, &names);
        // Another one of the possible combinations for another row, the same ones in every run. First rows refer to first rows, so
        // that there are some in one domain and one project.
        let order = if first {
            "candidate::text".to_owned()
        } else {
            format!("md5(candidate::text || '{at}')")
        };
        Ok(Some(format!(
            "INSERT INTO {} ({}) OVERRIDING USER VALUE SELECT * FROM (SELECT {}{from}{joined}) candidate WHERE true{checks}
              ORDER BY {order} LIMIT 1",
            self.name,
            names.join(", "),
            values.join(", "),
        )))
    }

    /// Whether the column is there for a foreign key that may be NULL.
    fn only_refers(&self, column: &str) -> bool {
        foreign_keys(self.table).any(|key| key.columns.iter().any(|of| of == column))
    }
}
