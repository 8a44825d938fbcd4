//! Through a real PgBouncer in transaction mode, with the rules of deploy/pgbouncer.
//!
//! `scripts/test` names the program in `PLINTH_TEST_PGBOUNCER`. Without it these tests say that they are skipped; in CI they fail.

mod jobs;
mod load;
mod logins;
mod pooler;
mod wrong;

use std::time::Duration;

use app_config::{Config, DatabaseAddress};

use self::pooler::{Login, PgBouncer};

/// Few server connections for many clients, so that every one of them is passed from domain to domain.
const FEW: &str = "default_pool_size = 4";

/// These tests ask who gets whose rows, not how fast: on a busy machine a connection may take its time.
fn patient(config: &mut Config) {
    config.database.pool_size = 24;
    config.database.acquire_timeout = Duration::from_secs(30);
}

fn open_through(config: &mut Config, pooled: DatabaseAddress) {
    config.database.direct = config.database.address.take();
    config.database.address = Some(pooled);
}
