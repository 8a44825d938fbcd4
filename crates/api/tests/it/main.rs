//! Tests of the API over HTTP, against the real server and a real PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod activity;
mod api_keys;
mod app;
mod assignments;
mod backups;
mod bad_input;
mod boards;
mod deactivation;
mod domains;
mod drift;
mod escalation;
mod fairness;
mod five_systems;
mod given_login;
mod isolation;
mod jobs;
mod last_admin;
mod members;
mod metrics;
mod openapi;
mod operations;
mod outage;
mod people;
mod pgbouncer;
mod process;
mod races;
mod roles;
mod sessions;
mod setup;
mod sign_in_limits;
mod slow_clients;
mod tags;
mod users;
