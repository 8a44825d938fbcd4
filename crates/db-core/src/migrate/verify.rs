//! Proof that a migration can be applied, taken back and applied again, with rows in the tables.

use std::collections::BTreeSet;
use std::time::Duration;

use pg_catalog::Catalog;
use serde::Serialize;

use super::fingerprint::options;
use super::rows::Rows;
use super::scratch::Scratch;
use super::seed::{Seeded, seed};
use super::{Direction, MigrateError, Migration, Migrator, PlannedMigration, Task, requirements};
use crate::owner::Owner;

/// Nobody else migrates a scratch database.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
    /// Its statements there and back with the locks that they took, as far as they can be tried in a transaction.
    pub locks: Vec<PlannedMigration>,
    /// Why the locks of a direction are not known, where they are not.
    pub unknown_locks: Vec<String>,
}

/// Applies the migrations to a scratch database in order, and for each of the `chosen` versions: makes `rows` rows in every
/// table that it finds, applies it, reverts it, applies it again, and compares catalogue and rows on the way.
///
/// # Errors
/// There is no scratch database, or a migration before a chosen one does not apply. What is wrong with a chosen one is no error.
pub async fn verify(
    owner: &Owner,
    migrations: &[Migration],
    chosen: &BTreeSet<String>,
    rows: usize,
) -> Result<Vec<Verified>, MigrateError> {
    let mut scratch = fresh(owner).await?;
    let mut all = Vec::new();
    for (at, migration) in migrations.iter().enumerate() {
        if !chosen.contains(migration.version.as_ref()) {
            continue;
        }
        Migrator::new(scratch.owner(), PATIENCE)
            .with(migrations.get(..at).unwrap_or_default())
            .run()
            .await?;
        let verified = one(
            &scratch,
            migrations.get(..=at).unwrap_or_default(),
            migration,
            rows,
        )
        .await?;
        // What a bad one leaves is no ground for the next.
        if !verified.problems.is_empty() {
            scratch = fresh(owner).await?;
        }
        all.push(verified);
    }
    Ok(all)
}

/// A scratch database that has what is there before the first migration, and what that takes from everybody and does not give back:
/// before PostgreSQL 15 the right to create in `public`.
pub(super) async fn fresh(owner: &Owner) -> Result<Scratch, MigrateError> {
    let scratch = Scratch::create(owner).await?;
    let client = scratch.owner().connect().await?;
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
) -> Result<Verified, MigrateError> {
    let migrator = Migrator::new(scratch.owner(), PATIENCE).with(migrations);
    let look = async || -> Result<(Catalog, Rows), MigrateError> {
        let client = scratch.owner().connect().await?;
        let catalog = Catalog::read(&client, &options(true)).await?;
        let rows = Rows::read(&client, &catalog).await?;
        Ok((catalog, rows))
    };
    let client = scratch.owner().connect().await?;
    let catalog = Catalog::read(&client, &options(true)).await?;
    let mut verified = Verified {
        version: migration.version.to_string(),
        name: migration.name.to_string(),
        seeded: seed(&client, &catalog, rows).await?,
        problems: Vec::new(),
        locks: Vec::new(),
        unknown_locks: Vec::new(),
    };
    drop(client);
    let may_change = may_change(migration);

    let before = look().await?;
    verified.locks_of(&migrator, Task::Run).await;
    if let Err(error) = migrator.run().await {
        verified.problems.push(format!("up.sql: {error}"));
        return Ok(verified);
    }
    let up = look().await?;
    let harmed = before.1.harmed(&up.1, &may_change);
    verified.say("after up.sql", harmed);

    verified.locks_of(&migrator, Task::Revert(1)).await;
    if let Err(error) = migrator.revert(1).await {
        verified.problems.push(format!("down.sql: {error}"));
        return Ok(verified);
    }
    let down = look().await?;
    let difference = down.0.diff(&before.0);
    if !difference.is_empty() {
        verified.problems.push(format!(
            "down.sql does not take back what up.sql does (+ is missing, - is left, ~ is other):\n{}",
            difference.to_string().trim_end()
        ));
    }
    let harmed = before.1.harmed(&down.1, &may_change);
    verified.say("after down.sql", harmed);

    if let Err(error) = migrator.run().await {
        verified
            .problems
            .push(format!("up.sql, the second time: {error}"));
        return Ok(verified);
    }
    let again = look().await?;
    let difference = again.0.diff(&up.0);
    if !difference.is_empty() {
        verified.problems.push(format!(
            "up.sql makes another schema the second time (+ is missing, - is there besides, ~ is other):\n{}",
            difference.to_string().trim_end()
        ));
    }
    let harmed = before.1.harmed(&again.1, &may_change);
    verified.say("after the second up.sql", harmed);
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

/// Tables whose rows a migration says to change: `-- verify: changes notes because …`, on a line of its own in either file.
fn may_change(migration: &Migration) -> BTreeSet<String> {
    [Direction::Up, Direction::Down]
        .into_iter()
        .flat_map(|direction| migration.sql(direction).lines())
        .filter_map(|line| {
            let said = line.trim().strip_prefix("-- verify: changes ")?;
            let (table, reason) = said.split_once(" because ")?;
            let name = table.trim().trim_start_matches("public.");
            (!reason.trim().is_empty()).then(|| name.to_owned())
        })
        .collect()
}
