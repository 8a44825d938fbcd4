use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A kind of job: its name, its payload, and how it is to be treated.
///
/// The name and the payload's form outlive a deployment: jobs that an older version enqueued are run by a newer one.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct SendWelcome {
///     user_id: uuid::Uuid,
/// }
///
/// impl job_queue::Job for SendWelcome {
///     const NAME: &'static str = "send_welcome";
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Names the handler, 1 to 100 characters.
    const NAME: &'static str;
    /// Queue it stands in unless the enqueuer says otherwise, 1 to 63 characters.
    const QUEUE: &'static str = "default";
    /// Its weight among the jobs that wait.
    const PRIORITY: Priority = Priority::Normal;
    /// Attempts, the first included, after which a failure is final. An attempt whose worker died counts.
    const MAX_ATTEMPTS: u32 = 10;
    /// How long one attempt may take. Then its [`Context::cancellation`](crate::Context::cancellation) is set off, and a little
    /// later its future is dropped.
    const TIME_LIMIT: Duration = Duration::from_secs(300);
    /// How long a failed job waits for its next attempt.
    const BACKOFF: Backoff = Backoff::STANDARD;
    /// Whether a completed job stays in the table until retention takes it. Without, the row goes at once.
    const KEEP_COMPLETED: bool = true;
}

/// How often a domain's jobs are served beside its jobs of other priorities: each level eight times as often as the next. So an
/// urgent job that arrives overtakes what waits, and a low one is not put off for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody is waiting for it.
    Urgent = 0,
    /// Before the rest.
    High = 1,
    /// Most jobs.
    Normal = 2,
    /// Cleaning and the like.
    Low = 3,
}

impl Priority {
    /// The number in the table.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// Waiting times after failures: `first`, then twice as long each time, up to `longest`; each shortened by a random part of up to
/// `jitter`, so that jobs that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
    /// From 0 (none) to 1 (anything from nothing to the full time).
    pub jitter: f64,
}

impl Backoff {
    /// A second, two, four, … an hour; a quarter of it random.
    pub const STANDARD: Self = Self {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(3600),
        jitter: 0.25,
    };

    /// The wait after the failure of attempt `attempt` (from 1), before jitter.
    #[must_use]
    pub fn after(&self, attempt: i32) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(40);
        self.first
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(self.longest)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::STANDARD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff {
            first: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            jitter: 0.0,
        };
        let waits: Vec<u64> = (1..=7).map(|attempt| backoff.after(attempt).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(i32::MAX).as_secs(), 60);
        assert_eq!(backoff.after(0).as_secs(), 2);
    }
}
