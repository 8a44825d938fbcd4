//! Against real PostgreSQL processes. They need the binaries that `scripts/ensure-postgres` looks after.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod attach;
mod binaries;
mod crash;
mod lifecycle;
mod refusals;
mod support;
