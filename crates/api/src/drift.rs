//! Whether the schema is what the migrations made: a detail of readiness and a metric, never a reason not to serve.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_core::Owner;
use db_core::migrate::{Migrator, Standing};
use serde::Serialize;
use utoipa::ToSchema;

/// How long an answer is good for.
const AGE: Duration = Duration::from_secs(300);

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
pub(crate) struct DriftWatch(Mutex<(Option<Instant>, SchemaState)>);

impl Default for DriftWatch {
    fn default() -> Self {
        Self(Mutex::new((None, SchemaState::Unknown)))
    }
}

impl DriftWatch {
    /// What the last look saw; and whether it is time for another one, which the caller then begins.
    pub fn seen(&self) -> (SchemaState, bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.0.is_none_or(|begun| begun.elapsed() > AGE);
        if due {
            // Others need not look too.
            last.0 = Some(Instant::now());
        }
        (last.1, due)
    }

    /// Looks, on a connection of the owner's.
    pub async fn look(&self, owner: &Owner) {
        let look = async { Migrator::new(owner, Duration::ZERO).standing().await };
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
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if schema == SchemaState::Drifted && last.1 != SchemaState::Drifted {
            tracing::warn!(
                "the schema is not as the migrations made it: `plinth-ops migrate drift` names the differences"
            );
        }
        *last = (Some(Instant::now()), schema);
    }
}
