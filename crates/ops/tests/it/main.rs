//! `plinth-ops` as a person or a container runs it: the program, its output, its exit codes, against real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

mod catalogue;
mod codes;
mod config;
mod crowd;
mod domains;
mod history;
mod private;
mod setup;
mod support;
