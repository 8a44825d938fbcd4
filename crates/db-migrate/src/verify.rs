//! Proof that a migration can be applied, taken back and applied again, with rows in the tables.

use std::collections::{BTreeMap, BTreeSet};

use pg_catalog::Catalog;
use serde::Serialize;
use tokio_postgres::Client;

use super::fingerprint::options;
use super::hints::{hints, meet};
use super::rows::Rows;
use super::sample_rows::{Full, Seeded, seed};
use super::scratch::Scratch;
use super::{Direction, MigrateError, Migration, Migrator, PlannedMigration, ServerWide, Task, requirements};
use pg_connect::Connector;

/// How a migration did.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// What was in the tables before it.
    pub seeded: Seeded,
    /// What is wrong with it; empty when nothing is.
    pub problems: Vec<String>,
    /// What is no fault of it, and worth knowing: that the way back is refused once there are rows which only the new schema allows.
    pub notes: Vec<String>,
    /// Its statements there and back with the locks that they took, as far as they can be tried in a transaction.
    pub locks: Vec<PlannedMigration>,
    /// Why the locks of a direction are not known, where they are not.
    pub unknown_locks: Vec<String>,
}

/// Applies the migrations to a scratch database in order, and for each of the `chosen` versions: makes `rows` rows in every
/// table that it finds, applies it, reverts it, applies it again, and compares catalogue and rows on the way. At the end it makes as
/// many rows again, in the new schema, and reverts it once more.
///
/// # Errors
/// There is no scratch database, or a migration before a chosen one does not apply. What is wrong with a chosen one is no error.
pub async fn verify(
    owner: &Connector,
    migrations: &[Migration],
    chosen: &BTreeSet<String>,
    rows: usize,
    server_wide: ServerWide,
) -> Result<Vec<Verified>, MigrateError> {
    let mut scratch = fresh(owner, server_wide).await?;
    let mut all = Vec::new();
    let mut full = Full::default();
    for (at, migration) in migrations.iter().enumerate() {
        if !chosen.contains(migration.version.as_ref()) {
            continue;
        }
        let earlier = migrations.get(..at).unwrap_or_default();
        if let Err(error) = Migrator::on_scratch(&scratch).with(earlier).run().await {
            if all.is_empty() {
                return Err(error);
            }
            // The one before was reverted with rows that it may not take a second time.
            scratch = fresh(owner, server_wide).await?;
            Migrator::on_scratch(&scratch).with(earlier).run().await?;
        }
        let verified = one(
            &scratch,
            migrations.get(..=at).unwrap_or_default(),
            migration,
            rows,
            &mut full,
        )
        .await?;
        // What a bad one leaves is no ground for the next.
        if !verified.problems.is_empty() || !verified.notes.is_empty() {
            scratch = fresh(owner, server_wide).await?;
        }
        all.push(verified);
    }
    Ok(all)
}

/// A scratch database that has what is there before the first migration, and what that takes from everybody and does not give back:
/// before PostgreSQL 15 the right to create in `public`.
pub(super) async fn fresh(owner: &Connector, server_wide: ServerWide) -> Result<Scratch, MigrateError> {
    let scratch = Scratch::create_on(owner, server_wide).await?;
    let client = scratch.owner().client().await?;
    requirements::ensure(&client).await?;
    client
        .batch_execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        .await?;
    Ok(scratch)
}

async fn one(
    scratch: &Scratch,
    migrations: &[Migration],
    migration: &Migration,
    rows: usize,
    full: &mut Full,
) -> Result<Verified, MigrateError> {
    let migrator = Migrator::on_scratch(scratch).with(migrations);
    let look = async || -> Result<Seen, MigrateError> {
        let client = scratch.owner().client().await?;
        Seen::read(&client).await
    };
    let client = scratch.owner().client().await?;
    // Rows change nothing in it.
    let catalog = Catalog::read(&client, &options(true)).await?;
    let mut verified = Verified {
        version: migration.version.to_string(),
        name: migration.name.to_string(),
        seeded: seed(&client, &catalog, rows, full).await?,
        problems: Vec::new(),
        notes: Vec::new(),
        locks: Vec::new(),
        unknown_locks: Vec::new(),
    };
    let sql = [Direction::Up, Direction::Down].map(|direction| migration.sql(direction));
    meet(&client, &catalog, &hints(&sql)).await?;
    let before = Seen::read(&client).await?;
    drop(client);
    let mut excuses = Excuses::of(migration);

    verified.locks_of(&migrator, Task::Run).await;
    if let Err(error) = migrator.run().await {
        verified.problems.push(format!("up.sql: {error}"));
        return Ok(verified);
    }
    let up = look().await?;
    verified.say("after up.sql", excuses.left(before.harmed(&up), None));

    verified.locks_of(&migrator, Task::Revert(1)).await;
    if let Err(error) = migrator.revert(1).await {
        verified.problems.push(format!("down.sql: {error}"));
        return Ok(verified);
    }
    let down = look().await?;
    let difference = down.catalog.diff(&before.catalog);
    if !difference.is_empty() {
        verified.problems.push(format!(
            "down.sql does not take back what up.sql does (+ is missing, - is left, ~ is other):\n{}",
            difference.to_string().trim_end()
        ));
    }
    verified.say("after down.sql", excuses.left(before.harmed(&down), None));

    if let Err(error) = migrator.run().await {
        verified
            .problems
            .push(format!("up.sql, the second time: {error}"));
        return Ok(verified);
    }
    let again = look().await?;
    let difference = again.catalog.diff(&up.catalog);
    if !difference.is_empty() {
        verified.problems.push(format!(
            "up.sql makes another schema the second time (+ is missing, - is there besides, ~ is other):\n{}",
            difference.to_string().trim_end()
        ));
    }
    verified.say(
        "after the second up.sql",
        excuses.left(before.harmed(&again), None),
    );

    // What was written while the new schema was there.
    let client = scratch.owner().client().await?;
    seed(&client, &again.catalog, rows.saturating_mul(2), full).await?;
    let new = Seen::read(&client).await?;
    drop(client);
    match migrator.revert(1).await {
        Ok(_) => {
            let back = look().await?;
            let lost = excuses.left(new.harmed(&back), Some(Direction::Down));
            verified.say("down.sql loses what was written after up.sql", lost);
        }
        // It loses nothing.
        Err(error) => verified.notes.push(format!(
            "down.sql is refused when there are rows that only the new schema allows: {error}"
        )),
    }
    let unused = excuses.unused(&verified.seeded, &again.catalog);
    verified.problems.extend(unused);
    Ok(verified)
}

impl Verified {
    fn say(&mut self, when: &str, harmed: Vec<String>) {
        // What is lost once is not found again: each is said once.
        for what in harmed {
            if !self.problems.iter().any(|problem| problem.ends_with(&what)) {
                self.problems.push(format!("{when}: {what}"));
            }
        }
    }

    async fn locks_of(&mut self, migrator: &Migrator<'_>, task: Task) {
        match migrator.plan(task).await {
            Ok(plan) => self.locks.extend(plan.migrations),
            // Whether it works at all is seen right after.
            Err(error) => {
                let file = match task {
                    Task::Run => "up.sql",
                    _ => "down.sql",
                };
                self.unknown_locks.push(format!("{file}: {error}"));
            }
        }
    }
}

/// A database at one time.
struct Seen {
    catalog: Catalog,
    rows: Rows,
    /// Last values of the sequences that have given any.
    sequences: BTreeMap<String, i64>,
}

impl Seen {
    async fn read(client: &Client) -> Result<Self, MigrateError> {
        let catalog = Catalog::read(client, &options(true)).await?;
        let rows = Rows::read(client, &catalog).await?;
        // One that has given none yet has NULL.
        let sql =
            "SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value FROM pg_sequences
                    WHERE last_value IS NOT NULL AND increment_by > 0";
        let sequences = client.query(sql, &[]).await?;
        let sequences = sequences.iter().map(|row| (row.get(0), row.get(1))).collect();
        Ok(Self {
            catalog,
            rows,
            sequences,
        })
    }

    /// What became of the rows and sequences of before.
    fn harmed(&self, now: &Self) -> Vec<String> {
        let mut harmed = self.rows.harmed(&now.rows, &BTreeSet::new());
        for (name, was) in &self.sequences {
            let is = now.sequences.get(name);
            let there = now
                .catalog
                .sequences
                .keys()
                .any(|other| other.to_string() == *name)
                || is.is_some();
            if there && is.is_none_or(|is| is < was) {
                let is = is.map_or("starts anew".to_owned(), |is| format!("is at {is}"));
                harmed.push(format!(
                    "sequence {name} was at {was}, and {is}: it gives the same values again"
                ));
            }
        }
        harmed
    }
}

/// Tables and sequences that a migration says to change: `-- verify: changes notes because …`, on a line of its own.
struct Excuses(Vec<Excuse>);

struct Excuse {
    /// With its schema.
    name: String,
    file: Direction,
    used: bool,
}

impl Excuses {
    fn of(migration: &Migration) -> Self {
        let mut all = Vec::new();
        for file in [Direction::Up, Direction::Down] {
            for line in migration.sql(file).lines() {
                let said = line.trim().strip_prefix("-- verify: changes ");
                let Some((name, reason)) = said.and_then(|said| said.split_once(" because ")) else {
                    continue;
                };
                let words = reason.split_whitespace();
                if words.filter(|word| word.chars().any(char::is_alphabetic)).count() < 3 {
                    continue;
                }
                let name = name.trim();
                let name = if name.contains('.') {
                    name.to_owned()
                } else {
                    format!("public.{name}")
                };
                all.push(Excuse {
                    name,
                    file,
                    used: false,
                });
            }
        }
        Self(all)
    }

    /// The harm that none of them excuses; those of one file alone, where one is given.
    fn left(&mut self, mut harmed: Vec<String>, file: Option<Direction>) -> Vec<String> {
        for excuse in &mut self.0 {
            if file.is_some_and(|file| file != excuse.file) {
                continue;
            }
            let before = harmed.len();
            harmed.retain(|what| {
                let of = what
                    .strip_prefix("table ")
                    .or_else(|| what.strip_prefix("sequence "))
                    .and_then(|rest| rest.strip_prefix(excuse.name.as_str()));
                !of.is_some_and(|rest| rest.starts_with([' ', ':']))
            });
            excuse.used |= harmed.len() < before;
        }
        harmed
    }

    /// What is wrong with those that were not needed. Of a table without rows nobody can tell, nor of a way back that only rows need
    /// which were not made up.
    fn unused(&self, seeded: &Seeded, catalog: &Catalog) -> Vec<String> {
        let empty = |excuse: &Excuse| {
            seeded.empty.iter().any(|one| one.table == excuse.name)
                || (excuse.file == Direction::Down
                    && catalog.tables.keys().any(|name| name.to_string() == excuse.name))
        };
        let unused = self.0.iter().filter(|excuse| !excuse.used && !empty(excuse));
        unused
            .map(|excuse| {
                format!(
                    "{}: `-- verify: changes {}` excuses nothing; take it out, or mend the name",
                    match excuse.file {
                        Direction::Up => "up.sql",
                        Direction::Down => "down.sql",
                    },
                    excuse.name
                )
            })
            .collect()
    }
}
