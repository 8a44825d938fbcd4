use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::Span;

use crate::context::Context;
use crate::failure::Failure;
use crate::job::{Backoff, Job};

type Run = dyn Fn(Context, String) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;
type MakeSpan = dyn Fn(&Context) -> Span + Send + Sync;

/// What a worker can do: one handler for each kind.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: HashMap<&'static str, Arc<Kind>>,
    span: Option<Arc<MakeSpan>>,
}

pub(crate) struct Kind {
    pub(crate) run: Box<Run>,
    pub(crate) time_limit: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) keep_completed: bool,
}

impl Registry {
    /// No kinds yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind's handler, or takes the place of the one before.
    ///
    /// The handler may run more than once for a job, and twice at the same time when a lease was lost: what it does is to be
    /// idempotent, or to be committed with [`Context::complete_in`].
    #[must_use]
    pub fn handle<J, H, F>(mut self, handler: H) -> Self
    where
        J: Job,
        H: Fn(Context, J) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let run = move |context: Context, payload: String| -> BoxFuture<'static, Result<(), Failure>> {
            match serde_json::from_str(&payload) {
                Ok(job) => Box::pin(handler(context, job)),
                Err(error) => {
                    // Not fatal: a later version may know how to read it.
                    let failure = Failure::retry(format!(
                        "the payload cannot be read as {}: {}",
                        J::NAME,
                        place(&error)
                    ));
                    Box::pin(std::future::ready(Err(failure)))
                }
            }
        };
        self.kinds.insert(
            J::NAME,
            Arc::new(Kind {
                run: Box::new(run),
                time_limit: J::TIME_LIMIT,
                backoff: J::BACKOFF,
                keep_completed: J::KEEP_COMPLETED,
            }),
        );
        self
    }

    /// Makes the span that a run is recorded in; here the enqueuer's trace is linked. Without, a span `job` with the job's fields.
    #[must_use]
    pub fn span(mut self, make: impl Fn(&Context) -> Span + Send + Sync + 'static) -> Self {
        self.span = Some(Arc::new(make));
        self
    }

    /// Names of the kinds.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.keys().copied()
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(kind)
    }

    pub(crate) fn span_for(&self, context: &Context) -> Span {
        match &self.span {
            Some(make) => make(context),
            None => tracing::info_span!(
                "job",
                kind = %context.job.kind,
                id = %context.lease.job,
                domain = %context.lease.domain,
                attempt = context.lease.attempt,
                traceparent = context.job.trace,
            ),
        }
    }
}

/// What is wrong with a payload, without any of its values: whoever reads errors need not be one who may read payloads.
fn place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The name of a field of ours.
    if text.starts_with("missing field `") {
        return text;
    }
    format!(
        "at line {}, column {}, something else is wanted",
        error.line(),
        error.column()
    )
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}
