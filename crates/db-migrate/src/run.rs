//! Running and reverting.

use std::time::Duration;

use super::history::State;
use super::progress::{Log, Watch};
use super::scratch::Scratch;
use super::session::Session;
use super::{
    Direction, MIGRATIONS, MigrateError, Migration, Plan, ServerWide, Status, fingerprint, history, home,
    journal, lock, plan, privileges, requirements,
};
use pg_connect::Connector;
use tokio_postgres::Client;

/// Runs and reverts migrations as the owner of the database.
#[derive(Clone)]
pub struct Migrator<'a> {
    pub(super) owner: &'a Connector,
    pub(super) patience: Duration,
    pub(super) migrations: &'a [Migration],
    watch: Option<&'a dyn Watch>,
    /// Whether anybody will ask for the schema's fingerprint.
    fingerprint: bool,
    /// What a migration may do to what the databases of the server share.
    server_wide: ServerWide,
}

/// A migration that was applied or reverted.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Applied {
    /// Its version.
    pub version: String,
    /// Its name.
    pub name: String,
    /// Which of the two.
    pub direction: Direction,
    /// How long it took, in milliseconds; of a resumed one, since it was resumed.
    pub duration_ms: i64,
    /// Whether it was reverted by another `down.sql` than was there when it was applied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub down_changed: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Apply what is pending, oldest first.
    Run,
    /// Revert the last so many, newest first. One that is half done counts.
    Revert(usize),
    /// Revert the last so many, then apply them again.
    Redo(usize),
}

/// One migration, one way.
pub(super) struct Step<'a> {
    pub migration: &'a Migration,
    pub direction: Direction,
    /// Whether it was broken off, on this way or the other.
    pub half_done: bool,
    /// The last statement of this way that is done already; 0 when none is.
    pub finished: usize,
    /// Whether it goes back by another `down.sql` than was there when it was applied.
    pub down_changed: bool,
}

impl<'a> Step<'a> {
    /// Applies what was taken back in an earlier step.
    fn anew(migration: &'a Migration) -> Self {
        Self {
            migration,
            direction: Direction::Up,
            half_done: false,
            finished: 0,
            down_changed: false,
        }
    }
}

impl<'a> Migrator<'a> {
    /// A migrator of the migrations that the program carries, that waits for the lock for at most `patience`, and says in
    /// the log how long statements go.
    pub fn new(owner: &'a Connector, patience: Duration) -> Self {
        Self {
            owner,
            patience,
            migrations: MIGRATIONS,
            watch: None,
            fingerprint: true,
            server_wide: ServerWide::Free,
        }
    }

    /// The same for a database that is dropped before anybody could ask whether it has drifted, and that nobody else migrates.
    pub(super) fn on_scratch(scratch: &'a Scratch) -> Self {
        Self {
            fingerprint: false,
            server_wide: scratch.server_wide(),
            ..Self::new(scratch.owner(), Duration::from_secs(10))
        }
    }

    /// Works with these migrations instead.
    #[must_use]
    pub fn with(self, migrations: &'a [Migration]) -> Self {
        Self { migrations, ..self }
    }

    /// Tells somebody else how long statements go.
    #[must_use]
    pub fn watched_by(self, watch: &'a dyn Watch) -> Self {
        Self {
            watch: Some(watch),
            ..self
        }
    }

    /// How each migration stands.
    ///
    /// # Errors
    /// The owner cannot connect or read.
    pub async fn status(&self) -> Result<Status, MigrateError> {
        self.read(&self.connect().await?).await
    }

    /// The same on a connection that is there.
    async fn read(&self, client: &Client) -> Result<Status, MigrateError> {
        match history::read(client, self.migrations).await {
            Ok(status) => Ok(status),
            Err(error) => Err(privileges::explained(client, error).await),
        }
    }

    /// A connection that finds the history.
    pub(super) async fn connect(&self) -> Result<Client, MigrateError> {
        let client = self.owner.client().await?;
        home::enter(&client).await?;
        Ok(client)
    }

    /// Applies what is pending, oldest first.
    ///
    /// # Errors
    /// See [`MigrateError`]; what was applied before the error stays applied.
    pub async fn run(&self) -> Result<Vec<Applied>, MigrateError> {
        self.perform(Task::Run).await
    }

    /// Reverts the last `count` migrations, newest first.
    ///
    /// # Errors
    /// See [`MigrateError`]; what was reverted before the error stays reverted.
    pub async fn revert(&self, count: usize) -> Result<Vec<Applied>, MigrateError> {
        self.perform(Task::Revert(count)).await
    }

    /// Does what is asked for; each step that was taken, in order.
    ///
    /// # Errors
    /// See [`MigrateError`]; what was done before the error stays done.
    pub async fn perform(&self, task: Task) -> Result<Vec<Applied>, MigrateError> {
        let client = self.connect().await?;
        let status = self.read(&client).await?;
        status.check()?;
        if task == Task::Run && status.is_current() {
            return Ok(Vec::new());
        }
        let log = Log::default();
        let watch = self.watch.unwrap_or(&log);
        let mut session = Session::begin(client, self.owner, watch, self.patience).await?;
        session.server_wide = self.server_wide;
        let mut made = Vec::new();
        if !matches!(task, Task::Revert(_)) {
            made = requirements::ensure(&session.client).await?;
        }
        let made_history = match history::prepare(&session.client).await {
            Ok(made_history) => made_history,
            Err(error) => {
                requirements::take_back(&session.client, &made).await;
                return Err(privileges::explained(&session.client, error).await);
            }
        };
        // Another process may have done the work in the meantime.
        let status = history::read(&session.client, self.migrations).await?;
        status.check()?;
        let steps = self.steps(&status, task);
        session.drifted =
            self.fingerprint && !steps.is_empty() && had_drifted(&session.client, &steps).await?;
        let mut done = Vec::new();
        let mut failure = None;
        let mut steps = steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            let last = steps.peek().is_none();
            match session
                .step(step.migration, step.direction, step.half_done, last)
                .await
            {
                Ok(mut applied) => {
                    applied.down_changed = step.down_changed;
                    watch.done(&applied);
                    done.push(applied);
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        // Of a first one without a transaction, something may be done; its history tells.
        let half_done = self.migrations.first().is_some_and(|first| !first.transactional);
        if failure.is_some() && made_history && done.is_empty() && !half_done {
            history::take_back(&session.client, session.pid, &made).await;
        }
        if session.drifted {
            tracing::warn!(
                "the schema was not what the migrations had made; `plinth-ops migrate drift` names the differences"
            );
        }
        if self.fingerprint
            && !done.is_empty()
            && let Err(error) = fingerprint::record(&session.client, session.drifted).await
        {
            tracing::warn!(%error, "the schema's fingerprint was not written down; `plinth-ops migrate drift` does it");
        }
        match failure {
            // The connection may be gone, and the error says more.
            Some(error) => {
                let _ = session.end().await;
                Err(error)
            }
            None => {
                session.end().await?;
                Ok(done)
            }
        }
    }

    /// Of an interrupted run: the migration that is half done, if any, as an error that says how to go on. Asks once the server has
    /// noticed that the run is over, or after three seconds.
    ///
    /// # Errors
    /// The owner cannot connect or read.
    pub async fn half_done(&self) -> Result<Option<MigrateError>, MigrateError> {
        let client = self.connect().await?;
        match lock::acquire(&client, Duration::from_secs(3)).await {
            // Whoever has it now goes on with the migration.
            Ok(()) | Err(MigrateError::Locked { .. }) => {}
            Err(error) => return Err(error),
        }
        let status = self.read(&client).await?;
        let mut half = status.migrations.iter();
        Ok(half.find_map(|entry| Some(entry.half_done?.error(entry))))
    }

    /// What would be done, and which locks it takes: tried in a transaction that is rolled back.
    ///
    /// It takes the locks for real, for as long as the statements take, and waits for none longer than `lock_timeout`.
    ///
    /// # Errors
    /// See [`MigrateError`]; nothing is changed.
    pub async fn plan(&self, task: Task) -> Result<Plan, MigrateError> {
        let client = self.connect().await?;
        let status = self.read(&client).await?;
        status.check()?;
        let steps = self.steps(&status, task);
        if steps.is_empty() {
            return Ok(Plan::default());
        }
        let log = Log::default();
        let session = Session::begin(client, self.owner, self.watch.unwrap_or(&log), self.patience).await?;
        let plan = plan::make(&session, &steps).await?;
        session.end().await?;
        Ok(plan)
    }

    /// Which migrations the task means, in the order in which they are taken.
    fn steps(&self, status: &Status, task: Task) -> Vec<Step<'a>> {
        let half = |migration: &Migration| status.entry(&migration.version)?.half_done;
        let step = |migration: &'a Migration, direction| Step {
            migration,
            direction,
            half_done: half(migration).is_some(),
            finished: half(migration)
                .filter(|half| half.direction == direction)
                .map_or(0, |half| half.finished),
            down_changed: direction == Direction::Down
                && status
                    .entry(&migration.version)
                    .is_some_and(|entry| entry.down_changed),
        };
        let due = |migration: &&Migration| {
            status
                .entry(&migration.version)
                .is_some_and(|entry| entry.is_due())
        };
        match task {
            Task::Run => {
                let mut steps = Vec::new();
                for migration in self.migrations.iter().filter(due) {
                    // What was half taken back is taken back wholly, so that it is applied onto what it was written for.
                    if half(migration).is_some_and(|half| half.direction == Direction::Down) {
                        steps.push(step(migration, Direction::Down));
                        steps.push(Step::anew(migration));
                    } else {
                        steps.push(step(migration, Direction::Up));
                    }
                }
                steps
            }
            Task::Revert(count) => {
                let there = |migration: &&Migration| {
                    status
                        .entry(&migration.version)
                        .is_some_and(|entry| matches!(entry.state, State::Applied | State::HalfDone))
                };
                let last = self.migrations.iter().rev().filter(there).take(count);
                last.map(|migration| step(migration, Direction::Down)).collect()
            }
            Task::Redo(count) => {
                let mut steps = self.steps(status, Task::Revert(count));
                let again: Vec<_> = steps.iter().rev().map(|step| step.migration).collect();
                steps.extend(again.into_iter().map(Step::anew));
                steps
            }
        }
    }
}

/// Whether the schema was another than the migrations had made, so that what comes of this run can be no measure. While a
/// migration is half done nobody can tell; then what was found when it was begun holds.
async fn had_drifted(client: &Client, steps: &[Step<'_>]) -> Result<bool, MigrateError> {
    if steps.iter().any(|step| step.half_done) {
        return Ok(journal::had_drifted(client).await?);
    }
    Ok(matches!(
        fingerprint::standing(client).await,
        Ok(fingerprint::Standing::Drifted)
    ))
}
