//! Which locks a statement takes: seen, not guessed.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_postgres::Client;

/// PostgreSQL's table locks, weakest first.
///
/// Source: <https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LockMode {
    /// SELECT.
    AccessShare,
    /// SELECT … FOR UPDATE, and the table that a foreign key refers to.
    RowShare,
    /// INSERT, UPDATE, DELETE.
    RowExclusive,
    /// VACUUM, CREATE INDEX CONCURRENTLY, VALIDATE CONSTRAINT.
    ShareUpdateExclusive,
    /// CREATE INDEX.
    Share,
    /// CREATE TRIGGER, adding a foreign key.
    ShareRowExclusive,
    /// REFRESH MATERIALIZED VIEW CONCURRENTLY.
    Exclusive,
    /// Most of ALTER TABLE, DROP, TRUNCATE.
    AccessExclusive,
}

impl LockMode {
    /// By the name that `pg_locks` has for it.
    fn from_catalogue(name: &str) -> Option<Self> {
        Some(match name {
            "AccessShareLock" => Self::AccessShare,
            "RowShareLock" => Self::RowShare,
            "RowExclusiveLock" => Self::RowExclusive,
            "ShareUpdateExclusiveLock" => Self::ShareUpdateExclusive,
            "ShareLock" => Self::Share,
            "ShareRowExclusiveLock" => Self::ShareRowExclusive,
            "ExclusiveLock" => Self::Exclusive,
            "AccessExclusiveLock" => Self::AccessExclusive,
            _ => return None,
        })
    }

    /// As the documentation of PostgreSQL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// What others cannot do while it is held.
    pub fn blocks(self) -> &'static str {
        match self {
            Self::AccessShare => "blocks no reads and no writes, only what needs the table alone",
            Self::RowShare => "blocks no reads and no writes",
            Self::RowExclusive => "blocks no reads and no writes, only index builds and changes of the table",
            Self::ShareUpdateExclusive => {
                "blocks no reads and no writes, only VACUUM, index builds and changes of the table"
            }
            Self::Share | Self::ShareRowExclusive => "blocks writes; reads go on",
            Self::Exclusive => "blocks writes and SELECT … FOR UPDATE; plain reads go on",
            Self::AccessExclusive => "blocks reads and writes",
        }
    }
}

/// A lock on a relation that was there before the transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelationLock {
    /// Its schema and name, quoted where needed.
    pub relation: String,
    /// `table`, `index`, `view`, …
    pub kind: &'static str,
    /// The lock.
    pub mode: LockMode,
    /// What that keeps others from.
    pub blocks: &'static str,
}

impl RelationLock {
    /// A lock of this mode.
    pub fn new(relation: String, kind: &'static str, mode: LockMode) -> Self {
        Self {
            relation,
            kind,
            mode,
            blocks: mode.blocks(),
        }
    }
}

/// What a statement took.
#[derive(Clone, Debug)]
pub struct Traced {
    /// How long it ran.
    pub duration: Duration,
    /// Locks that its transaction did not have before, strongest first.
    pub locks: Vec<RelationLock>,
}

/// Runs statements in a transaction of the caller's, and tells for each which locks it has newly taken.
///
/// Relations that the transaction itself makes are left out, for nobody else sees them, and so are the system's own and the
/// weak locks on indexes, which come with every query.
#[derive(Debug)]
pub struct LockTrace {
    relations: HashMap<u32, (String, &'static str)>,
    held: HashSet<(u32, LockMode)>,
}

impl LockTrace {
    /// Remembers what is there. Call it right after `BEGIN`.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub async fn begin(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let rows = client
            .query(
                "SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relkind::text
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'",
                &[],
            )
            .await?;
        let relations = rows
            .iter()
            .map(|row| (row.get(0), (row.get(1), kind(row.get(2)))))
            .collect();
        let mut trace = Self {
            relations,
            held: HashSet::new(),
        };
        trace.newly_held(client).await?;
        Ok(trace)
    }

    /// Runs one statement. After an error the transaction is good for `ROLLBACK` only.
    ///
    /// # Errors
    /// The statement's.
    pub async fn run(&mut self, client: &Client, sql: &str) -> Result<Traced, tokio_postgres::Error> {
        let started = Instant::now();
        client.batch_execute(sql).await?;
        let duration = started.elapsed();
        Ok(Traced {
            duration,
            locks: self.newly_held(client).await?,
        })
    }

    async fn newly_held(&mut self, client: &Client) -> Result<Vec<RelationLock>, tokio_postgres::Error> {
        let rows = client
            .query(
                "SELECT relation, mode FROM pg_locks
                  WHERE locktype = 'relation' AND granted AND pid = pg_backend_pid()
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[],
            )
            .await?;
        let mut locks = Vec::new();
        for row in &rows {
            let relation: u32 = row.get(0);
            let Some(mode) = LockMode::from_catalogue(row.get(1)) else {
                continue;
            };
            let Some((name, kind)) = self.relations.get(&relation) else {
                continue;
            };
            let common = *kind == "index" && mode <= LockMode::RowExclusive;
            if !common && self.held.insert((relation, mode)) {
                locks.push(RelationLock::new(name.clone(), kind, mode));
            }
        }
        locks.sort_by(|a, b| b.mode.cmp(&a.mode).then_with(|| a.relation.cmp(&b.relation)));
        Ok(locks)
    }
}

/// Source: <https://www.postgresql.org/docs/current/catalog-pg-class.html>, `relkind`.
fn kind(relkind: &str) -> &'static str {
    match relkind {
        "r" | "p" => "table",
        "i" | "I" => "index",
        "S" => "sequence",
        "v" => "view",
        "m" => "materialized view",
        "f" => "foreign table",
        _ => "type",
    }
}
