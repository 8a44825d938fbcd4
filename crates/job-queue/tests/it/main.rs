//! The queue against a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests make their own ids")]

mod batches;
mod chaos;
mod control;
mod fairness;
mod held;
mod hostile;
mod illegal;
mod kinds;
mod leases;
mod notifications;
mod pooled;
mod processes;
mod retention;
mod schedules;
mod scratch;
mod shutdown;
mod support;
mod tenancy;
mod transitions;
mod unique;
