//! pg-connect against a real PostgreSQL, with libpq (`psql`) as the oracle.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cases;
mod certificates;
mod client_certificates;
mod logins;
mod modes;
mod protection;
mod psql;
mod server;
mod settings;
mod unreachable;
