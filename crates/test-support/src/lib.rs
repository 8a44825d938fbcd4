//! For tests: databases in milliseconds, actors that speak HTTP, and builders.
//!
//! `scripts/test` starts one disposable PostgreSQL for the whole run through the program `with-postgres`, which builds a
//! template database and leaves their address in `PLINTH_TEST_SERVER`. Without it, a test process starts its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot get what it needs has failed"
)]

mod actor;
mod database;
mod program;
mod s3;
mod schema_rs;
mod server;
mod turn_proxy;
mod world;

pub use actor::{Actor, Answer};
pub use database::TestDatabase;
pub use program::{Program, Ran, client_program};
pub use reqwest::Method;
pub use s3::S3;
pub use schema_rs::schema_rs;
pub use server::{ServerAddress, TEMPLATE, build_template, disposable, test_server};
pub use turn_proxy::TurnProxy;
pub use world::{ACME, GLOBEX, KEY, PASSWORD, World};
