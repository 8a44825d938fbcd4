//! Tests of the data layer against a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod catalogue;
mod desired;
mod rls;
mod schema_rs;
mod secrets;
mod transactions;
mod waits;
