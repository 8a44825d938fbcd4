//! Writes how attempts ended, many in one statement.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::lease::Incarnation;
use super::options::Acknowledge;
use super::{Shared, pause_after};
use crate::connection::Line;
use crate::context::Lease;
use crate::error::Error;
use crate::sql;

/// Most in one statement: while it runs, it has one of the server's cores.
const AT_ONCE: usize = 100;
/// How long a completion waits for company while the worker is busy.
const COMPANY: Duration = Duration::from_millis(2);
/// Somebody holds the row of a job that has ended: its result is put aside for so long, so that it does not hold up the others.
const PUT_ASIDE: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Completed {
        keep: bool,
    },
    /// The handler completed it in its own transaction; tried again should that not have been committed.
    CompletedInside {
        delay: Duration,
    },
    Retry {
        delay: Duration,
        jitter: f64,
        error: String,
    },
    Dead {
        error: String,
    },
    Cancelled {
        error: String,
    },
    Released {
        delay: Duration,
        error: String,
    },
}

impl Outcome {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Completed { .. } | Self::CompletedInside { .. } => "completed",
            Self::Retry { .. } => "failed",
            Self::Dead { .. } => "dead",
            Self::Cancelled { .. } => "cancelled",
            Self::Released { .. } => "released",
        }
    }
}

#[derive(Clone)]
pub(super) struct Finish {
    pub(super) lease: Lease,
    pub(super) incarnation: Arc<Incarnation>,
    pub(super) outcome: Outcome,
    /// The database has refused to note how it really ended.
    pub(super) refused: bool,
}

impl Finish {
    pub(super) fn new(lease: Lease, incarnation: Arc<Incarnation>, outcome: Outcome) -> Self {
        Self {
            lease,
            incarnation,
            outcome,
            refused: false,
        }
    }
}

/// Why results could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The database is away, read-only, full: it will be well again.
    Passing,
    /// Somebody holds the row.
    Locked,
    /// The data offend a constraint or a type, and always will.
    Refused,
}

impl Trouble {
    fn of(error: &Error) -> Self {
        let Error::Database(error) = error else {
            return Self::Passing;
        };
        match error.code().map(tokio_postgres::error::SqlState::code) {
            Some("55P03") => Self::Locked,
            Some(code) if code.starts_with("22") || code.starts_with("23") => Self::Refused,
            _ => Self::Passing,
        }
    }
}

pub(super) type Inbox = Arc<Mutex<mpsc::UnboundedReceiver<Finish>>>;

/// Until the worker is closing and all has been written.
pub(super) async fn run(shared: Arc<Shared>, inbox: Inbox) {
    let mut line = Line::impatient(&shared.connector, Duration::from_secs(30));
    loop {
        let mut ended = Vec::new();
        {
            let mut inbox = inbox.lock().await;
            let alone = shared.options.acknowledge == Acknowledge::EachAlone;
            let limit = if alone { 1 } else { AT_ONCE };
            tokio::select! {
                biased;
                _ = inbox.recv_many(&mut ended, limit) => {}
                () = shared.closing.cancelled() => return,
            }
            if !alone && ended.len() < AT_ONCE && shared.is_busy() {
                tokio::time::sleep(COMPANY).await;
                while ended.len() < AT_ONCE
                    && let Ok(more) = inbox.try_recv()
                {
                    ended.push(more);
                }
            }
        }
        write(&shared, &mut line, ended).await;
    }
}

/// Writes all of them, however long that takes: the jobs are done, and only this says so.
async fn write(shared: &Arc<Shared>, line: &mut Line, mut ended: Vec<Finish>) {
    let mut failures = 0;
    while !ended.is_empty() {
        ended.retain(|it| !forget_if_fenced(it));
        match write_once(shared, line, &ended).await {
            Ok(()) => return,
            Err(error) => {
                let trouble = Trouble::of(&error);
                if trouble != Trouble::Passing && ended.len() > 1 {
                    // It is the trouble of one of them.
                    for one in std::mem::take(&mut ended) {
                        Box::pin(write(shared, line, vec![one])).await;
                    }
                    return;
                }
                failures += 1;
                tracing::warn!(%error, jobs = ended.len(), failures, "cannot write how jobs ended; trying again");
                match (trouble, ended.pop()) {
                    (Trouble::Locked, Some(one)) => {
                        let shared = Arc::clone(shared);
                        tokio::spawn(async move {
                            tokio::time::sleep(PUT_ASIDE).await;
                            shared.finish(one);
                        });
                        return;
                    }
                    (Trouble::Refused, Some(mut one)) if !one.refused => {
                        one.refused = true;
                        one.outcome = Outcome::Dead {
                            error: format!("the database refused to note how the attempt ended: {error}"),
                        };
                        ended.push(one);
                    }
                    (Trouble::Refused, Some(one)) => {
                        tracing::error!(job = %one.lease.job, %error, "the database refuses to note how this job ended; it is handed back");
                        one.incarnation.let_go(one.lease.job, one.lease.attempt);
                        if let Err(error) = shared.leases.register(shared, line).await {
                            tracing::warn!(%error, "cannot register anew");
                        }
                        return;
                    }
                    (Trouble::Passing, Some(one)) => ended.push(one),
                    (_, None) => return,
                }
                pause_after(failures, &shared.abandoned).await;
                if shared.abandoned.is_cancelled() {
                    return;
                }
            }
        }
    }
}

fn forget_if_fenced(it: &Finish) -> bool {
    let fenced = it.incarnation.is_fenced();
    if fenced {
        it.incarnation.let_go(it.lease.job, it.lease.attempt);
        metrics::counter!("job_queue_leases_lost_total").increment(1);
    }
    fenced
}

async fn write_once(shared: &Shared, line: &mut Line, ended: &[Finish]) -> Result<(), Error> {
    let (mut kept, mut forgotten, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for it in ended {
        match &it.outcome {
            Outcome::Completed { keep: true } => kept.push(it),
            Outcome::Completed { keep: false } => forgotten.push(it),
            _ => failed.push(it),
        }
    }
    for (sql, group) in [(sql::COMPLETE, &kept), (sql::COMPLETE_AND_FORGET, &forgotten)] {
        if !group.is_empty() {
            let keys = Keys::of(group);
            let rows = line
                .query(sql, &[&keys.domains, &keys.jobs, &keys.attempts, &keys.workers])
                .await?;
            settle(group, &rows)?;
        }
    }
    if !failed.is_empty() {
        let keys = Keys::of(&failed);
        let how: Vec<_> = failed.iter().map(|it| describe(&it.outcome)).collect();
        let outcomes: Vec<&str> = how.iter().map(|it| it.0).collect();
        let delays: Vec<f64> = how.iter().map(|it| it.1.as_secs_f64()).collect();
        let jitters: Vec<f64> = how.iter().map(|it| it.2).collect();
        let errors: Vec<&str> = how.iter().map(|it| it.3.as_str()).collect();
        let rows = line
            .query(
                sql::FAIL,
                &[
                    &keys.domains,
                    &keys.jobs,
                    &keys.attempts,
                    &keys.workers,
                    &outcomes,
                    &delays,
                    &jitters,
                    &errors,
                ],
            )
            .await?;
        settle(&failed, &rows)?;
        shared.maintain.notify_one();
    }
    shared.wrote();
    Ok(())
}

/// Outcome, delay, jitter and error as the statement wants them.
fn describe(outcome: &Outcome) -> (&'static str, Duration, f64, String) {
    // PostgreSQL's text holds no NUL.
    let clean = |error: &String| {
        error
            .replace('\0', "\u{fffd}")
            .chars()
            .take(2000)
            .collect::<String>()
    };
    match outcome {
        Outcome::Completed { .. } => ("retry", Duration::ZERO, 0.0, String::new()),
        Outcome::CompletedInside { delay } => (
            "retry",
            *delay,
            0.0,
            "the handler completed the job in its own transaction, which then was not committed".to_owned(),
        ),
        Outcome::Retry { delay, jitter, error } => ("retry", *delay, *jitter, clean(error)),
        Outcome::Dead { error } => ("dead", Duration::ZERO, 0.0, clean(error)),
        Outcome::Cancelled { error } => ("cancelled", Duration::ZERO, 0.0, clean(error)),
        Outcome::Released { delay, error } => ("released", *delay, 0.0, clean(error)),
    }
}

struct Keys {
    domains: Vec<Uuid>,
    jobs: Vec<Uuid>,
    attempts: Vec<i32>,
    workers: Vec<Uuid>,
}

impl Keys {
    fn of(group: &[&Finish]) -> Self {
        let leases = || group.iter().map(|it| it.lease);
        Self {
            domains: leases().map(|it| it.domain).collect(),
            jobs: leases().map(|it| it.job).collect(),
            attempts: leases().map(|it| it.attempt).collect(),
            workers: leases().map(|it| it.worker).collect(),
        }
    }
}

/// The jobs are ours no more. Those that the statement did not find were not ours any more when it came.
fn settle(group: &[&Finish], rows: &[tokio_postgres::Row]) -> Result<(), Error> {
    let mut written = HashSet::with_capacity(rows.len());
    for row in rows {
        written.insert(row.try_get::<_, Uuid>(0)?);
    }
    for it in group {
        it.incarnation.let_go(it.lease.job, it.lease.attempt);
        let inside = matches!(it.outcome, Outcome::CompletedInside { .. });
        if written.contains(&it.lease.job) == inside {
            if inside {
                tracing::error!(job = %it.lease.job, "the handler completed the job in a transaction that was not committed");
            } else {
                metrics::counter!("job_queue_leases_lost_total").increment(1);
                tracing::warn!(job = %it.lease.job, attempt = it.lease.attempt, "the lease had ended; what became of this attempt is not noted");
            }
        }
    }
    Ok(())
}
