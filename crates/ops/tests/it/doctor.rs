//! `plinth-ops doctor`: every fault on a real server, named with its cause and its cure.

use std::collections::BTreeMap;

use serde_json::Value;
use test_support::{KEY, TestDatabase};

use crate::support::Ops;

/// What `--json` said of each check.
pub struct Told(BTreeMap<String, Value>);

impl Told {
    /// The doctor's report, and that its exit code is the one for it.
    #[track_caller]
    pub fn by(ops: &Ops, arguments: &[&str]) -> Self {
        let ran = ops.run(&[&["doctor", "--json"], arguments].concat());
        let report = ran.json();
        let failed = report["status"] == "failed";
        assert_eq!(
            ran.code,
            Some(if failed { 14 } else { 0 }),
            "{report:#} {}",
            ran.stderr
        );
        assert!(
            !failed || ran.stderr.contains("plinth-ops: not everything is in order: "),
            "{}",
            ran.stderr
        );
        let checks = report["checks"].as_array().unwrap();
        Self(
            checks
                .iter()
                .map(|check| (check["id"].as_str().unwrap().to_owned(), check.clone()))
                .collect(),
        )
    }

    #[track_caller]
    pub fn status(&self, id: &str) -> &str {
        self.0[id]["status"].as_str().unwrap()
    }

    /// It stands so, and what is told of it has these words: found, cause and cure together.
    #[track_caller]
    pub fn expect(&self, id: &str, status: &str, words: &[&str]) {
        let check = &self.0[id];
        assert_eq!(check["status"], status, "{check:#}");
        if matches!(status, "failed" | "warning") {
            for part in ["found", "cause", "cure"] {
                assert!(
                    check[part].as_str().is_some_and(|text| text.len() > 3),
                    "{part}: {check:#}"
                );
            }
        }
        let all = check.to_string();
        for word in words {
            assert!(all.contains(word), "{word} is missing: {check:#}");
        }
    }
}

/// A migrated database as its superuser sees it.
pub fn on(database: &TestDatabase) -> Ops {
    Ops::on(database)
}

fn at(url: &str) -> Ops {
    Ops::new()
        .with("DATABASE_URL", url)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
}

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
fn colours_are_for_those_who_want_them() {
    let forced = at("postgresql://plinth@127.0.0.1:1/plinth").with("CLICOLOR_FORCE", "1");
    assert!(forced.expect(14, &["doctor"]).stdout.contains('\u{1b}'));
    let not = forced.with("NO_COLOR", "1");
    for arguments in [&["doctor"][..], &["--help"], &["provision", "--help"]] {
        let ran = not.run(arguments);
        assert!(
            !ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'),
            "{arguments:?}"
        );
    }
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
async fn all_in_order_is_0_and_warnings_are_not_with_strict() {
    let database = TestDatabase::new().await;
    // Its server's start makes the login of requests.
    drop(database.db().await);
    let store = tempfile::tempdir().unwrap();
    let ops = on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    ops.expect(0, &["backup", "create"]);
    let told = Told::by(&ops, &[]);
    for id in [
        "config.settings",
        "owner.tcp",
        "owner.tls",
        "owner.login",
        "owner.database",
        "server.version",
        "server.primary",
        "server.clock",
        "server.connections",
        "rights.owner",
        "rights.roles",
        "rights.app_login",
        "rights.connect",
        "rights.createdb",
        "schema.extensions",
        "schema.migrations",
        "schema.drift",
        "schema.tenancy",
        "schema.set_up",
        "key.present",
        "key.fits",
        "logging.statements",
        "logging.roles",
        "logging.auto_explain",
        "disk.database",
        "disk.backups",
        "backup.pg_dump",
        "backup.pg_restore",
        "backup.place",
        "backup.last",
        "backup.proof",
    ] {
        told.expect(id, "ok", &[]);
    }
    // PostgreSQL's default is no fault, and worth a word.
    database
        .superuser()
        .await
        .batch_execute(&format!(
            "ALTER DATABASE {} SET log_parameter_max_length = -1",
            database.name()
        ))
        .await
        .unwrap();
    let told = Told::by(&ops, &[]);
    told.expect("logging.parameters", "warning", &["log_parameter_max_length"]);
    ops.expect(0, &["doctor"]);
    ops.expect(14, &["doctor", "--strict"]);
}

#[tokio::test]
async fn it_says_what_the_servers_version_is_worth() {
    let database = TestDatabase::new().await;
    let number: i32 = database
        .superuser()
        .await
        .query_one("SELECT current_setting('server_version_num')::int", &[])
        .await
        .unwrap()
        .get(0);
    let told = Told::by(&on(&database), &[]);
    let (major, minor) = (number / 10_000, number % 10_000);
    told.expect("server.version", "ok", &[&format!("PostgreSQL {major}.{minor}")]);
    match [(15, 19), (16, 15), (17, 11), (18, 6)]
        .iter()
        .find(|(floor, _)| *floor == major)
    {
        Some((_, floor)) if minor < *floor => told.expect(
            "server.security",
            "warning",
            &["CVE-2026-14663", &format!("install {major}.{floor}"), "restart"],
        ),
        Some(_) => told.expect("server.security", "ok", &[]),
        None => told.expect("server.security", "warning", &["CVE-2026-14663"]),
    }
}

#[tokio::test]
async fn migrations_pending_edited_unknown_and_drift() {
    let empty = TestDatabase::empty().await;
    let told = Told::by(&on(&empty), &[]);
    told.expect(
        "schema.migrations",
        "failed",
        &["pending", "plinth-ops migrate run"],
    );
    told.expect("schema.set_up", "warning", &["plinth-ops setup"]);
    told.expect("schema.extensions", "ok", &["first migration"]);
    told.expect("schema.drift", "skipped", &[]);

    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    client
        .batch_execute("ALTER TABLE tags ADD COLUMN by_hand int")
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("schema.drift", "failed", &["by hand", "migrate drift"]);
    client
        .batch_execute("ALTER TABLE tags NO FORCE ROW LEVEL SECURITY")
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("schema.tenancy", "failed", &["tags", "docs/TENANCY.md"]);
    client
        .batch_execute(
            "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
        )
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("schema.migrations", "failed", &["1 migration pending"]);
    client
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')")
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("schema.migrations", "failed", &["unknown", "20991231000000"]);
    client
        .batch_execute("UPDATE plinth_migrations SET checksum = 'x' WHERE version = (SELECT min(version) FROM plinth_migrations)")
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("schema.migrations", "failed", &["edited", "undo the edit"]);
}

#[tokio::test]
async fn an_extension_is_missing() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    client
        .batch_execute("DROP EXTENSION pgcrypto CASCADE")
        .await
        .unwrap();
    let told = Told::by(&on(&database), &[]);
    told.expect(
        "schema.extensions",
        "failed",
        &["pgcrypto", "CREATE EXTENSION \\\"pgcrypto\\\""],
    );
    assert!(
        told.status("schema.migrations") == "ok",
        "the rest is still looked at"
    );

    // Nor may the login make it.
    let login = format!("{}_poor", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN; GRANT CONNECT ON DATABASE {} TO {login}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {login}",
            database.name()
        ))
        .await
        .unwrap();
    let told = Told::by(&at(&database.url(&login)), &[]);
    told.expect(
        "schema.extensions",
        "failed",
        &["may not make it", "as an administrator"],
    );
    drop_role(&client, &login).await;
}

#[tokio::test]
async fn a_privilege_is_missing() {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    let login = format!("{}_poor", database.name());
    client
        .batch_execute(&format!(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {login} LOGIN"
        ))
        .await
        .unwrap();
    let told = Told::by(&at(&database.url(&login)), &[]);
    told.expect(
        "rights.owner",
        "failed",
        &[
            &login,
            "CREATE on schema public",
            "CREATE on the database",
            "ALTER DATABASE",
        ],
    );
    told.expect("rights.roles", "failed", &["WITH ADMIN OPTION", "plinth_system"]);
    told.expect("rights.createdb", "warning", &["CREATEDB"]);
    // Everybody may connect to an ordinary database.
    told.expect("rights.connect", "warning", &["REVOKE CONNECT"]);

    client
        .batch_execute(&format!(
            "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
            database.name()
        ))
        .await
        .unwrap();
    let told = Told::by(&at(&database.url(&login)), &[]);
    told.expect("owner.login", "ok", &[]);
    told.expect("owner.database", "failed", &["CONNECT", &login]);
    drop_role(&client, &login).await;
}

#[tokio::test]
async fn a_login_that_no_policy_holds() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    let login = format!("{}_mighty", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN BYPASSRLS; GRANT CONNECT ON DATABASE {} TO {login}",
            database.name()
        ))
        .await
        .unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &database.url(&login))
        .with("DATABASE_DIRECT_URL", &database.url("plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    let told = Told::by(&ops, &[]);
    told.expect(
        "rights.app_login",
        "failed",
        &[&login, "BYPASSRLS", "DATABASE_DIRECT_URL"],
    );
    told.expect("pooled.same", "ok", &[]);
    client
        .batch_execute(&format!("ALTER ROLE {login} NOBYPASSRLS"))
        .await
        .unwrap();
    let told = Told::by(&ops, &[]);
    told.expect("rights.app_login", "warning", &["no member of plinth_app"]);
    told.expect(
        "logging.roles",
        "warning",
        &["ALTER ROLE", "log_parameter_max_length_on_error = 0"],
    );
    drop_role(&client, &login).await;
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

#[test]
fn the_document_lists_every_check() {
    let report = at("postgresql://plinth@127.0.0.1:1/plinth")
        .run(&["doctor", "--json"])
        .json();
    let told: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["id"].as_str().unwrap())
        .collect();
    let listed: Vec<&str> = include_str!("../../../../docs/DOCTOR.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(id, _)| id))
        .collect();
    assert_eq!(told, listed);
}

pub async fn drop_role(client: &tokio_postgres::Client, role: &str) {
    client
        .batch_execute(&format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ))
        .await
        .unwrap();
}
