//! Whether the schema is what the migrations made: a detail of readiness and a metric, never a reason not to serve.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_core::{Clock, Owner};
use db_migrate::{Migrator, Standing};
use serde::Serialize;
use utoipa::ToSchema;

/// How long an answer is good for.
const AGE: TimeDelta = TimeDelta::minutes(5);

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the schema stands to the fingerprint that the last run of the migrations wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaState {
    /// As it was then.
    Clean,
    /// Another: `plinth-ops migrate drift` names the differences.
    Drifted,
    /// There is nothing to compare with, or nobody has looked yet.
    Unknown,
}

/// What the last look saw.
pub(crate) struct DriftWatch {
    clock: Clock,
    last: Mutex<Look>,
}

struct Look {
    begun: Option<DateTime<Utc>>,
    seen: SchemaState,
}

impl DriftWatch {
    /// Nobody has looked yet. By this clock a look grows old.
    pub fn new(clock: Clock) -> Self {
        let last = Look {
            begun: None,
            seen: SchemaState::Unknown,
        };
        Self {
            clock,
            last: Mutex::new(last),
        }
    }

    /// What the last look saw; and whether it is time for another one, which the caller then begins.
    pub fn seen(&self) -> (SchemaState, bool) {
        let now = self.clock.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not keep anybody from looking.
        let due = last.begun.is_none_or(|begun| now < begun || now - begun > AGE);
        if due {
            // Others need not look too.
            last.begun = Some(now);
        }
        (last.seen, due)
    }

    /// Looks, on a connection of the owner's.
    pub async fn look(&self, owner: &Owner) {
        let look = async { Migrator::new(owner.connector(), Duration::ZERO).standing().await };
        let schema = match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(Standing::Clean)) => SchemaState::Clean,
            Ok(Ok(Standing::Drifted)) => SchemaState::Drifted,
            Ok(Ok(Standing::Unknown(reason))) => {
                tracing::debug!(reason, "whether the schema has drifted cannot be told");
                SchemaState::Unknown
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "whether the schema has drifted cannot be told");
                SchemaState::Unknown
            }
            Err(_) => SchemaState::Unknown,
        };
        // Not a number where nobody knows: neither a good nor a bad answer is to be read out of it.
        metrics::gauge!("plinth_schema_drift").set(match schema {
            SchemaState::Clean => 0.0,
            SchemaState::Drifted => 1.0,
            SchemaState::Unknown => f64::NAN,
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if schema == SchemaState::Drifted && last.seen != SchemaState::Drifted {
            tracing::warn!(
                "the schema is not as the migrations made it: `plinth-ops migrate drift` names the differences"
            );
        }
        *last = Look {
            begun: Some(self.clock.now()),
            seen: schema,
        };
    }
}
