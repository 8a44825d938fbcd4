//! `plinth-ops doctor`: every fault on a real server, named with its cause and its cure.

use std::collections::BTreeMap;

use serde_json::Value;
use test_support::{KEY, TestDatabase};

use crate::support::{Ops, closed_place};

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

    /// Every check that stands so.
    pub fn all(&self, status: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, check)| check["status"] == status);
        found.map(|(id, _)| id.as_str()).collect()
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

/// One that nothing but an address is known of.
pub fn at(url: &str) -> Ops {
    Ops::new()
        .with("DATABASE_URL", url)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
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

#[tokio::test]
async fn all_in_order_is_0_and_warnings_are_not_with_strict() {
    let database = TestDatabase::new().await;
    // Its server's start makes the login of requests.
    drop(database.db().await);
    let store = closed_place();
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
