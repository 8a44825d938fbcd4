//! The rules of tenancy, checked against a database's catalogue. The rules are explained in `docs/TENANCY.md`.
//!
//! A schema that breaks one of them still works, and leaks: so the catalogue itself is asked, in tests, by
//! `plinth-ops migrate lint`, and wherever a database is examined.

mod expected;
mod listed;
mod rules;

use std::fmt;

use pg_connect::ConnectError;
use serde::Serialize;
use tokio_postgres::{Client, Row};

use crate::owner::Owner;

/// A rule, with what people need to know who break it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name, for reports and for exceptions: small letters and hyphens.
    pub id: &'static str,
    /// What holds where the rule is kept.
    pub says: &'static str,
    /// What happens otherwise.
    pub why: &'static str,
    /// What to write instead.
    pub safe_form: &'static str,
}

/// What kind of thing breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// A table, partitioned or not, or a partition.
    Table,
    /// A column of a table.
    Column,
    /// An index, also that of a primary or unique key.
    Index,
    /// A constraint; so far always a foreign key.
    Constraint,
    /// A policy, whether it is there or only wanted.
    Policy,
    /// A view, materialised or not.
    View,
    /// A function, by name and argument types.
    Function,
    /// A schema.
    Schema,
}

/// What breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Schema that it stands in.
    pub schema: String,
    /// Table that it belongs to, where it belongs to one.
    pub table: Option<String>,
    /// Its name; of a function, with the types of the arguments.
    pub name: String,
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(formatter, "{}.", self.schema)?;
        }
        if let Some(table) = &self.table {
            write!(formatter, "{table}.")?;
        }
        formatter.write_str(&self.name)
    }
}

/// An object that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule.
    pub rule: &'static Rule,
    /// The object.
    pub object: Object,
    /// More about it, where the object and the rule do not say all: the privilege, the setting, the policy.
    pub detail: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.object)?;
        if let Some(detail) = &self.detail {
            write!(formatter, " ({detail})")?;
        }
        write!(formatter, ": {}", self.rule.says)
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many tenant tables were seen. A check that saw none has checked nothing.
    pub tenant_tables: usize,
    /// How many foreign keys were seen.
    pub foreign_keys: usize,
    /// Each object that breaks a rule.
    pub violations: Vec<Violation>,
}

/// Why the catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The owner cannot connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A catalogue query failed.
    #[error("cannot read the catalogue: {}", pg_connect::describe(.0))]
    Query(#[from] tokio_postgres::Error),
}

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    rules::RULES.iter().map(|(rule, _)| rule).chain(listed::rules())
}

/// Checks every rule. A database without our tables and roles breaks those alone that want something to be there.
///
/// # Errors
/// The catalogue cannot be read.
pub async fn examine(owner: &Owner) -> Result<Report, ReadError> {
    let client = owner.connect().await?;
    let mut violations = Vec::new();
    for (rule, query) in rules::RULES {
        for row in client.query(*query, &[]).await? {
            violations.push(violation(rule, &row));
        }
    }
    violations.extend(listed::violations(&client).await?);
    let (tenant_tables, foreign_keys) = counts(&client).await?;
    Ok(Report {
        tenant_tables,
        foreign_keys,
        violations,
    })
}

/// A row is kind, schema, table, name, detail.
fn violation(rule: &'static Rule, row: &Row) -> Violation {
    let kind = match row.get(0) {
        "column" => ObjectKind::Column,
        "index" => ObjectKind::Index,
        "constraint" => ObjectKind::Constraint,
        "policy" => ObjectKind::Policy,
        "view" => ObjectKind::View,
        "function" => ObjectKind::Function,
        "schema" => ObjectKind::Schema,
        _ => ObjectKind::Table,
    };
    Violation {
        rule,
        object: Object {
            kind,
            schema: row.get(1),
            table: row.get(2),
            name: row.get(3),
        },
        detail: row.get(4),
    }
}

async fn counts(client: &Client) -> Result<(usize, usize), tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                       AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id')),
                    (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace)",
            &[],
        )
        .await?;
    let number = |index| usize::try_from(row.get::<_, i64>(index)).unwrap_or_default();
    Ok((number(0), number(1)))
}
