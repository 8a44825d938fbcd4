use std::fmt;
use std::time::Duration;

/// How an attempt failed. Any error turns into one that is tried again, so that `?` does in a handler.
///
/// It does not implement `std::error::Error`, which would be at odds with that.
#[derive(Debug)]
pub struct Failure {
    pub(crate) message: String,
    pub(crate) next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// As the kind's backoff says.
    Retry,
    /// After this time.
    RetryAfter(Duration),
    /// Never.
    Dead,
    /// It stopped because it was asked to.
    Cancelled,
}

impl Failure {
    /// To be tried again, after the kind's backoff.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            next: Next::Retry,
        }
    }

    /// To be tried again, after this time: what a `Retry-After` said, say.
    pub fn retry_after(message: impl fmt::Display, wait: Duration) -> Self {
        Self {
            message: message.to_string(),
            next: Next::RetryAfter(wait),
        }
    }

    /// No attempt will ever succeed: the job becomes a dead letter at once.
    pub fn fatal(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            next: Next::Dead,
        }
    }

    /// The job stopped because it was asked to, or because there is nothing left to be done.
    pub fn cancelled(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            next: Next::Cancelled,
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many messages repeat their cause.
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Self {
            message,
            next: Next::Retry,
        }
    }
}
