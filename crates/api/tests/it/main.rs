//! Tests of the API over HTTP, against the real server and a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod app;
mod boards;
mod isolation;
