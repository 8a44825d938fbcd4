//! Tests of the data layer against a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod catalogue;
mod desired;
mod jobs;
mod rls;
mod rotation;
mod schema_rs;
mod secrets;
mod transactions;
mod waits;
