//! Runs jobs, one after the other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::Shared;
use super::finish::{Finish, Outcome};
use super::queue::{Claimed, Queue};
use crate::context::Context;
use crate::failure::{Failure, Next};
use crate::job::Backoff;
use crate::registry::Kind;

/// How long jobs wait that this worker knows no handler for; another version of the program may. A deployment is over in minutes, so
/// that those nobody knows wait longer each time.
const UNKNOWN_KIND: Backoff = Backoff {
    first: Duration::from_secs(30),
    longest: Duration::from_secs(3600),
    jitter: 0.0,
};

/// Until the queue is closed.
pub(super) async fn run(shared: Arc<Shared>, queue: Arc<Queue>) {
    while let Some(claimed) = queue.begin().await {
        let domain = claimed.lease.domain;
        run_one(&shared, claimed).await;
        queue.end(domain);
    }
}

async fn run_one(shared: &Arc<Shared>, claimed: Claimed) {
    let Claimed {
        lease,
        info,
        payload,
        stop,
        incarnation,
        ..
    } = claimed;
    let finish = |outcome| {
        shared.finish(Finish::new(lease, Arc::clone(&incarnation), outcome));
    };
    if incarnation.is_fenced() {
        incarnation.let_go(lease.job, lease.attempt);
        return;
    }
    let Some(kind) = shared.registry.get(&info.kind) else {
        let error = format!(
            "worker {} has no handler for jobs of kind {}",
            shared.options.name, info.kind
        );
        tracing::warn!(job = %lease.job, kind = %info.kind, "no handler for jobs of this kind here; put off");
        finish(Outcome::Released {
            delay: UNKNOWN_KIND.after(lease.attempt),
            error,
        });
        return;
    };
    if stop.is_cancelled() {
        finish(Outcome::Cancelled {
            error: "cancelled before it began".to_owned(),
        });
        return;
    }

    let begun = Instant::now();
    let context = Context {
        lease,
        job: Arc::clone(&info),
        stop: stop.clone(),
        deadline: begun + kind.time_limit,
        completed_inside: Arc::new(AtomicBool::new(false)),
    };
    let completed_inside = Arc::clone(&context.completed_inside);
    let span = shared.registry.span_for(&context);
    let ended = attempt(shared, kind, context, payload)
        .instrument(span.clone())
        .await;
    let outcome = span.in_scope(|| {
        judge(
            kind,
            lease.attempt,
            ended,
            completed_inside.load(Ordering::Acquire),
        )
    });
    count(&info.queue, &info.kind, &outcome, begun.elapsed());
    finish(outcome);
}

/// How an attempt came to its end.
enum Ended {
    Returned(Result<(), Failure>),
    Panicked(String),
    /// Dropped: the time was up.
    TimedOut,
    /// Dropped: it was asked to stop.
    Stopped,
    /// The worker must go; it ended by itself with this, or was dropped.
    Interrupted(Option<Failure>),
}

async fn attempt(shared: &Shared, kind: &Arc<Kind>, context: Context, payload: String) -> Ended {
    let stop = context.stop.clone();
    let time_limit = kind.time_limit;
    // A handler that panics before its future exists is caught too.
    let mut running =
        std::pin::pin!(AssertUnwindSafe(async { (kind.run)(context, payload).await }).catch_unwind());
    let grace = shared.options.grace;

    enum Asked {
        TimeUp,
        Stop,
        Shutdown,
    }
    let asked = tokio::select! {
        biased;
        result = &mut running => return returned(result),
        () = stop.cancelled() => Asked::Stop,
        () = shared.interrupt.cancelled() => Asked::Shutdown,
        () = tokio::time::sleep(time_limit) => Asked::TimeUp,
    };
    stop.cancel();
    let last = tokio::time::timeout(grace, &mut running).await.map(returned);
    match (asked, last) {
        (_, Ok(Ended::Returned(Ok(())))) => Ended::Returned(Ok(())),
        (_, Ok(Ended::Panicked(message))) => Ended::Panicked(message),
        (Asked::TimeUp, _) => Ended::TimedOut,
        (Asked::Shutdown, Ok(Ended::Returned(Err(failure)))) => Ended::Interrupted(Some(failure)),
        (Asked::Shutdown, _) => Ended::Interrupted(None),
        (Asked::Stop, Ok(ended)) => ended,
        (Asked::Stop, Err(_elapsed)) => Ended::Stopped,
    }
}

fn returned(result: Result<Result<(), Failure>, Box<dyn std::any::Any + Send>>) -> Ended {
    match result {
        Ok(result) => Ended::Returned(result),
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            Ended::Panicked(message)
        }
    }
}

fn judge(kind: &Kind, attempt: i32, ended: Ended, completed_inside: bool) -> Outcome {
    let retry = |delay: Duration, jitter: f64, error: String| {
        tracing::warn!(%error, "the attempt failed");
        Outcome::Retry { delay, jitter, error }
    };
    let backoff = kind.backoff.after(attempt);
    let jitter = kind.backoff.jitter.clamp(0.0, 1.0);
    match ended {
        Ended::Returned(Ok(())) if completed_inside => Outcome::CompletedInside { delay: backoff },
        Ended::Returned(Ok(())) => Outcome::Completed {
            keep: kind.keep_completed,
        },
        Ended::Returned(Err(Failure { message, next })) => match next {
            Next::Retry => retry(backoff, jitter, message),
            Next::RetryAfter(wait) => retry(wait, 0.0, message),
            Next::Dead => {
                tracing::error!(error = %message, "the job can never succeed");
                Outcome::Dead { error: message }
            }
            Next::Cancelled => Outcome::Cancelled { error: message },
        },
        Ended::Panicked(message) => retry(backoff, jitter, format!("the handler panicked: {message}")),
        Ended::TimedOut => retry(
            backoff,
            jitter,
            format!("it took longer than its time limit of {:?}", kind.time_limit),
        ),
        Ended::Stopped => Outcome::Cancelled {
            error: "it was asked to stop, and was ended".to_owned(),
        },
        Ended::Interrupted(failure) => Outcome::Released {
            delay: Duration::ZERO,
            error: failure.map_or_else(
                || "the worker shut down".to_owned(),
                |it| format!("the worker shut down: {}", it.message),
            ),
        },
    }
}

fn count(queue: &Arc<str>, kind: &str, outcome: &Outcome, took: Duration) {
    let (queue, kind) = (queue.to_string(), kind.to_owned());
    metrics::histogram!("job_queue_run_seconds", "queue" => queue.clone(), "kind" => kind.clone())
        .record(took);
    metrics::counter!("job_queue_attempts_total", "queue" => queue, "kind" => kind, "outcome" => outcome.name()).increment(1);
}
