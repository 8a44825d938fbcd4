//! What the doctor says of a database that cannot be reached: every step on the way.

use test_support::{KEY, TestDatabase};

use crate::doctor::{Told, at};
use crate::support::Ops;

#[test]
fn nobody_listens() {
    let ops = at("postgresql://plinth:pw@127.0.0.1:1/plinth");
    let told = Told::by(&ops, &[]);
    told.expect(
        "owner.tcp",
        "failed",
        &[
            "127.0.0.1:1",
            "connection refused",
            "nobody listens",
            "listen_addresses",
        ],
    );
    for id in [
        "owner.tls",
        "owner.login",
        "owner.database",
        "server.version",
        "schema.migrations",
        "backup.pg_dump",
    ] {
        told.expect(id, "skipped", &[]);
    }
    told.expect("owner.dns", "skipped", &["is an address"]);
    told.expect("config.settings", "ok", &[]);
    // For people.
    let ran = ops.expect(14, &["doctor"]);
    for word in [
        "FAILED",
        "connection refused",
        "cause: ",
        "cure:  start PostgreSQL",
        "1 failed",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\u{1b}'), "colours without a terminal");
    assert!(!ran.stdout.contains(":pw@"), "a password");
    assert!(
        ran.stdout.lines().all(|line| line.chars().count() <= 120),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_host_that_is_not_there() {
    let told = Told::by(&at("postgresql://plinth@no-such-host.invalid/plinth"), &[]);
    told.expect("owner.dns", "failed", &["no-such-host.invalid", "spelling"]);
    told.expect("owner.tcp", "skipped", &[]);
}

#[test]
fn a_socket_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("postgresql://plinth@/plinth?host={}", directory.path().display());
    let told = Told::by(&at(&url), &[]);
    told.expect(
        "owner.tcp",
        "failed",
        &[".s.PGSQL.5432", "unix_socket_directories"],
    );
}

#[test]
fn a_configuration_that_is_not_valid() {
    let ops = Ops::new().with("PLINTH_DATABASE_POOL_SIZ", "3");
    let told = Told::by(&ops, &[]);
    told.expect(
        "config.settings",
        "failed",
        &["PLINTH_DATABASE_POOL_SIZE", "config show"],
    );
    told.expect("owner.tcp", "skipped", &["not valid"]);
}

#[test]
fn no_database_at_all() {
    let told = Told::by(&Ops::new().with("PLINTH_DATABASE_LOCAL", "never"), &[]);
    told.expect("owner.database", "failed", &["DATABASE_URL"]);
}

#[tokio::test]
async fn two_addresses_of_two_databases() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    let ops = Ops::new()
        .with("DATABASE_URL", &one.url("plinth"))
        .with("DATABASE_DIRECT_URL", &other.url("plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    Told::by(&ops, &[]).expect("pooled.same", "failed", &[one.name(), other.name()]);
}
