//! A dry run: everything is tried in one transaction, which is rolled back.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::Client;

use super::kind::{Kind, NewIndex, kind};
use super::progress::watched;
use super::run::Step;
use super::session::{LOCK_TIMEOUT, Session};
use super::split::Statement;
use super::trace::{LockMode, LockTrace, RelationLock};
use super::{Direction, MigrateError, Migration};
use pg_connect::describe;

/// What would be run, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Plan {
    /// One each; a migration that is redone is there twice.
    pub migrations: Vec<PlannedMigration>,
}

/// One migration of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedMigration {
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// There or back.
    pub direction: Direction,
    /// Whether it is one transaction.
    pub transactional: bool,
    /// Its statements.
    pub statements: Vec<PlannedStatement>,
}

/// One statement of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStatement {
    /// Which, from 1.
    pub number: usize,
    /// Line of its file on which it begins.
    pub line: usize,
    /// Its text.
    pub sql: String,
    /// How long it took, in milliseconds; `None` when it was not tried, as it cannot be rolled back.
    pub duration_ms: Option<u64>,
    /// Locks that it takes and that the migration does not have yet, strongest first.
    pub locks: Vec<RelationLock>,
    /// What else there is to say.
    pub note: Option<&'static str>,
}

const DONE: &str = "done already, before the migration was broken off";
const UNKNOWN: &str = "not tried: it ends transactions itself; its locks depend on what it does";
const NOT_TRIED: &str = "not tried: it cannot be rolled back";

/// Tries the steps one after another, and takes everything back.
pub(super) async fn make(session: &Session<'_>, steps: &[Step<'_>]) -> Result<Plan, MigrateError> {
    let client = &session.client;
    client
        .batch_execute(&format!(
            "BEGIN; SET LOCAL row_security = off; SET LOCAL lock_timeout = {}",
            LOCK_TIMEOUT.as_millis()
        ))
        .await?;
    let tried = all(session, steps).await;
    client.batch_execute("ROLLBACK").await?;
    tried
}

async fn all(session: &Session<'_>, steps: &[Step<'_>]) -> Result<Plan, MigrateError> {
    let mut trial = Trial {
        client: &session.client,
        trace: LockTrace::begin(&session.client).await?,
        left_out: None,
    };
    let mut plan = Plan::default();
    for step in steps {
        let migration = step.migration;
        let mut statements = Vec::new();
        let all = migration
            .statements(step.direction)
            .map_err(|error| failed(migration, error.line, error.problem.to_owned(), None))?;
        for (number, statement) in (1..).zip(&all) {
            let done = number <= step.finished;
            let place = session.place(migration, Some((number, all.len())));
            let outcome = watched(&place, trial.one(step, statement, done)).await?;
            statements.push(PlannedStatement {
                number,
                line: statement.line,
                sql: statement.sql.to_owned(),
                duration_ms: outcome
                    .duration
                    .map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
                locks: outcome.locks,
                note: outcome.note,
            });
        }
        plan.migrations.push(PlannedMigration {
            version: migration.version.to_string(),
            name: migration.name.to_string(),
            direction: step.direction,
            transactional: migration.transactional,
            statements,
        });
    }
    Ok(plan)
}

struct Outcome {
    duration: Option<Duration>,
    locks: Vec<RelationLock>,
    note: Option<&'static str>,
}

struct Trial<'a> {
    client: &'a Client,
    trace: LockTrace,
    /// The first migration of which something was not tried.
    left_out: Option<String>,
}

impl Trial<'_> {
    async fn one(
        &mut self,
        step: &Step<'_>,
        statement: &Statement<'_>,
        done: bool,
    ) -> Result<Outcome, MigrateError> {
        let migration = step.migration;
        if done {
            return Ok(untried(Vec::new(), DONE));
        }
        let refused = |problem| failed(migration, statement.line, problem, None);
        // In a migration that is one transaction, each statement can be tried: the file was checked for that.
        let kind = if migration.transactional {
            Kind::Inside
        } else {
            kind(statement).map_err(refused)?
        };
        let outcome = match kind {
            Kind::Inside | Kind::Setting => {
                let traced = self
                    .trace
                    .run(self.client, statement.sql)
                    .await
                    .map_err(|error| {
                        failed(
                            migration,
                            statement.line,
                            describe(&error),
                            self.left_out.as_deref(),
                        )
                    })?;
                return Ok(Outcome {
                    duration: Some(traced.duration),
                    locks: traced.locks,
                    note: None,
                });
            }
            Kind::CreateIndex(NewIndex { table, .. }) => untried(vec![concurrent(table, "table")], NOT_TRIED),
            Kind::Outside {
                name: "DROP INDEX CONCURRENTLY",
                ..
            } => untried(
                vec![concurrent("the index and its table".to_owned(), "index")],
                NOT_TRIED,
            ),
            Kind::Outside {
                name: "VACUUM",
                patient,
            } => {
                let mode = if patient {
                    LockMode::ShareUpdateExclusive
                } else {
                    LockMode::AccessExclusive
                };
                let lock = RelationLock::new("each table in turn".to_owned(), "table", mode);
                untried(vec![lock], NOT_TRIED)
            }
            Kind::Outside { name: "CLUSTER", .. } => {
                let lock = RelationLock::new(
                    "each table in turn".to_owned(),
                    "table",
                    LockMode::AccessExclusive,
                );
                untried(vec![lock], NOT_TRIED)
            }
            Kind::Outside {
                name: "ALTER SYSTEM", ..
            } => untried(Vec::new(), NOT_TRIED),
            Kind::Outside { .. } => untried(Vec::new(), UNKNOWN),
        };
        self.left_out
            .get_or_insert_with(|| format!("{}_{}", migration.version, migration.name));
        Ok(outcome)
    }
}

fn untried(locks: Vec<RelationLock>, note: &'static str) -> Outcome {
    Outcome {
        duration: None,
        locks,
        note: Some(note),
    }
}

fn concurrent(relation: String, kind: &'static str) -> RelationLock {
    RelationLock::new(relation, kind, LockMode::ShareUpdateExclusive)
}

fn failed(migration: &Migration, line: usize, problem: String, left_out: Option<&str>) -> MigrateError {
    let mut message = format!("in this dry run, the statement on line {line}: {problem}");
    if let Some(left_out) = left_out {
        message.push_str(&format!(
            "; it may need what was not tried of {left_out}: apply that first"
        ));
    }
    MigrateError::Failed {
        version: migration.version.to_string(),
        name: migration.name.to_string(),
        message,
    }
}
