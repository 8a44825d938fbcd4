//! Time and randomness, the only place that reads either: everything else is handed them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use uuid::{NoContext, Timestamp, Uuid};

/// Where the process gets its time from. Expiry is always judged by the database clock, never by this one.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that tests set, in milliseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `time` until it is set again.
    pub fn fixed(time: DateTime<Utc>) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(time.timestamp_millis())))
    }

    /// The time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Fixed(millis) => {
                DateTime::from_timestamp_millis(millis.load(Ordering::Relaxed)).unwrap_or_default()
            }
        }
    }

    /// A new UUIDv7 with this clock's milliseconds and 74 random bits.
    ///
    /// Source: RFC 9562, section 5.7.
    pub fn uuid(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(
            NoContext,
            seconds,
            now.timestamp_subsec_nanos(),
        ))
    }

    /// A new id of any kind.
    pub fn id<Id: From<Uuid>>(&self) -> Id {
        Id::from(self.uuid())
    }
}

/// `N` bytes from the operating system's generator.
#[expect(clippy::disallowed_methods, reason = "the one place that draws secrets")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    rand::random()
}
