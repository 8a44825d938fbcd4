//! Against a real server. Each test has databases of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod edits;
mod equality;
mod migrations;
mod order;
mod reading;
mod support;
mod write;
