//! The rules of tenancy, checked against a database's catalogue. The rules are explained in `docs/TENANCY.md`.
//!
//! A schema that breaks one of them still works, and leaks: so the catalogue itself is asked, in tests and wherever a
//! database is examined.

mod expected;
mod rules;

use pg_connect::ConnectError;

use crate::owner::Owner;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many tenant tables were seen. A check that saw none has checked nothing.
    pub tenant_tables: usize,
    /// How many foreign keys were seen.
    pub foreign_keys: usize,
    /// One sentence for each broken rule, naming the object.
    pub violations: Vec<String>,
}

/// Why the catalogue could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The owner cannot connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A catalogue query failed.
    #[error("{}", crate::migrate::describe(.0))]
    Query(#[from] tokio_postgres::Error),
}

/// Checks every rule.
///
/// # Errors
/// The catalogue cannot be read.
pub async fn examine(owner: &Owner) -> Result<Report, ReadError> {
    let client = owner.connect().await?;
    let mut violations = Vec::new();
    for rule in rules::RULES {
        for row in client.query(rule.violations, &[]).await? {
            violations.push(format!("{}: {}", row.get::<_, String>(0), rule.broken));
        }
    }
    violations.extend(rules::policies(&client).await?);
    violations.extend(rules::definer_functions(&client).await?);
    violations.extend(rules::app_grants(&client).await?);
    let count = client.query_one(rules::COUNTS, &[]).await?;
    let number = |index| usize::try_from(count.get::<_, i64>(index)).unwrap_or_default();
    Ok(Report {
        tenant_tables: number(0),
        foreign_keys: number(1),
        violations,
    })
}
