//! `plinth-seeder` as a person or a container runs it, against real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "tests")]

mod codes;
mod seed;
mod support;
