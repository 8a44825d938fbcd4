//! `plinth-ops verify kratos`, on a database with the versions, tables and columns that are written down of a release; and on one
//! that Kratos itself has migrated, where `PLINTH_TEST_KRATOS` names its program (`oryd/kratos` of docker-compose.yml has it).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use test_support::TestDatabase;

use crate::support::Ops;

#[derive(Deserialize)]
struct Release {
    versions: Vec<String>,
    tables: BTreeMap<String, BTreeMap<String, String>>,
}

/// A database that looks as if Kratos' migrations had run on it.
async fn migrated() -> TestDatabase {
    let database = TestDatabase::empty().await;
    let release: Release = serde_json::from_str(include_str!("../../src/kratos/v26.2.0.json")).unwrap();
    let mut sql = String::new();
    for (table, columns) in &release.tables {
        let columns: Vec<String> = columns
            .iter()
            .map(|(column, kind)| format!("\"{column}\" {kind}{}", default(kind)))
            .collect();
        write!(sql, "CREATE TABLE \"{table}\" ({});", columns.join(", ")).unwrap();
    }
    let client = database.superuser().await;
    client.batch_execute(&sql).await.unwrap();
    client
        .execute(
            "INSERT INTO schema_migration (version) SELECT unnest($1::text[])",
            &[&release.versions],
        )
        .await
        .unwrap();
    database
}

/// So that rows can be made without naming every column.
fn default(kind: &str) -> &'static str {
    if !kind.ends_with(" NOT NULL") {
        ""
    } else if kind.starts_with("timestamp") {
        " DEFAULT now()"
    } else if kind.starts_with("uuid") {
        " DEFAULT gen_random_uuid()"
    } else if kind.starts_with("json") {
        " DEFAULT '{}'"
    } else if kind.starts_with("boolean") {
        " DEFAULT false"
    } else if kind.starts_with("character") || kind.starts_with("text") || kind.starts_with("bytea") {
        " DEFAULT ''"
    } else {
        " DEFAULT 0"
    }
}

fn verify(database: &TestDatabase, code: i32, arguments: &[&str]) -> serde_json::Value {
    let arguments = [
        &["verify", "kratos", "--database", database.name(), "--json"],
        arguments,
    ]
    .concat();
    Ops::on(database).expect(code, &arguments).json()
}

/// One version that nobody knows makes nothing good.
#[tokio::test]
async fn what_is_missing_is_missing_with_a_newer_kratos_too() {
    let database = migrated().await;
    let client = database.superuser().await;
    client
        .batch_execute("INSERT INTO schema_migration (version) VALUES ('20990101000000000000')")
        .await
        .unwrap();
    let found = verify(&database, 0, &[]);
    assert_eq!(found["standing"], "newer", "{found:#}");
    // What a newer one adds or changes is its own business.
    client
        .batch_execute("ALTER TABLE identities ADD COLUMN newer text")
        .await
        .unwrap();
    verify(&database, 0, &[]);
    for (break_it, problem) in [
        (
            "ALTER TABLE identities RENAME COLUMN traits TO characteristics",
            "the column identities.traits is missing",
        ),
        (
            "DROP TABLE courier_messages CASCADE",
            "the table courier_messages is missing",
        ),
    ] {
        client.batch_execute(break_it).await.unwrap();
        let ran = Ops::on(&database).expect(3, &["verify", "kratos", "--database", database.name()]);
        assert!(
            ran.stdout.contains(problem) && ran.stdout.contains("and newer ones"),
            "{}",
            ran.stdout
        );
    }
}

#[tokio::test]
async fn a_migrated_database_with_identities() {
    let database = migrated().await;
    let found = verify(&database, 0, &[]);
    assert_eq!(
        (&found["standing"], &found["release"]),
        (&"ok".into(), &"v26.2.0".into()),
        "{found:#}"
    );
    assert_eq!(found["applied"], 338);
    assert_eq!(found["counts"]["identities"], 0);

    let client = database.superuser().await;
    client
        .batch_execute(
            "INSERT INTO networks (id, created_at, updated_at) VALUES ('00000000-0000-0000-0000-000000000001', now(), now());
             INSERT INTO identities (id, schema_id, traits, created_at, updated_at, nid, state)
             SELECT gen_random_uuid(), 'person', '{}', now(), now(), '00000000-0000-0000-0000-000000000001',
                    CASE WHEN n > 5 THEN 'inactive' ELSE 'active' END FROM generate_series(1, 7) n;
             INSERT INTO sessions (id, expires_at, authenticated_at, identity_id, created_at, updated_at, active, aal, authentication_methods)
             SELECT gen_random_uuid(), now() + n * interval '1 day', now(), (SELECT min(id::text)::uuid FROM identities), now(), now(), true, 'aal1', '[]'
               FROM unnest(ARRAY[-2, 2, 3]) n",
        )
        .await
        .unwrap();
    let found = verify(&database, 0, &[]);
    for (label, count) in [
        ("identities", 7),
        ("identities, active", 5),
        ("sessions", 3),
        ("sessions, live", 2),
    ] {
        assert_eq!(found["counts"][label], count, "{label}: {found:#}");
    }
    let ran = Ops::on(&database).expect(0, &["verify", "kratos", "--database", database.name()]);
    for word in [
        "as the migrations of Kratos v26.2.0 make it",
        "338 migrations applied",
        "identities, active",
    ] {
        assert!(ran.stdout.contains(word), "{word}: {}", ran.stdout);
    }
    // The way that Kratos itself is told.
    let dsn = format!("{}&max_conns=20&max_idle_conns=4", database.url("plinth"));
    Ops::new()
        .with("KRATOS_DSN", &dsn)
        .expect(0, &["verify", "kratos"]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how whoever has a Kratos says so")]
async fn what_kratos_itself_makes_is_as_it_should_be() {
    let Ok(program) = std::env::var("PLINTH_TEST_KRATOS") else {
        eprintln!("skipped: PLINTH_TEST_KRATOS does not name Kratos' program");
        return;
    };
    let database = TestDatabase::empty().await;
    let migrated = std::process::Command::new(program)
        .args(["migrate", "sql", "up", "--read-from-env", "--yes"])
        .env(
            "DSN",
            database.url("plinth").replacen("postgresql:", "postgres:", 1),
        )
        // It tells nobody that it ran.
        .env("SQA_OPT_OUT", "true")
        .output()
        .unwrap();
    assert!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    let found = verify(&database, 0, &[]);
    assert!(
        found["standing"] == "ok" || found["standing"] == "newer",
        "{found:#}"
    );
    assert_eq!(found["pending"], serde_json::json!([]), "{found:#}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let database = TestDatabase::empty().await;
    let found = verify(&database, 8, &[]);
    assert_eq!(found["standing"], "not_migrated");

    let database = migrated().await;
    let client = database.superuser().await;
    let break_it = async |sql: &str| client.batch_execute(sql).await.unwrap();
    break_it("ALTER TABLE identities DROP COLUMN metadata_admin; ALTER TABLE sessions ALTER COLUMN token TYPE text; DROP TABLE session_devices").await;
    let found = verify(&database, 3, &[]);
    assert_eq!(found["standing"], "differs");
    let differences = found["differences"].to_string();
    for word in [
        "identities.metadata_admin is missing",
        "sessions.token is text, and should be character varying(39)",
        "table session_devices is missing",
    ] {
        assert!(differences.contains(word), "{word}: {differences}");
    }

    break_it("DELETE FROM schema_migration WHERE version = (SELECT max(version) FROM schema_migration)")
        .await;
    let found = verify(&database, 2, &[]);
    assert_eq!(
        (&found["standing"], found["pending"].as_array().unwrap().len()),
        (&"pending".into(), 1)
    );
}

#[tokio::test]
async fn versions_of_older_and_newer_releases() {
    let database = migrated().await;
    let client = database.superuser().await;
    // An old installation has the first migrations by their first 14 digits only.
    client
        .batch_execute(
            "DELETE FROM schema_migration WHERE version LIKE '20191100000001%'; INSERT INTO schema_migration VALUES ('20191100000001')",
        )
        .await
        .unwrap();
    assert_eq!(verify(&database, 0, &[])["standing"], "ok");
    client
        .batch_execute("INSERT INTO schema_migration VALUES ('20990101000000000000')")
        .await
        .unwrap();
    let found = verify(&database, 0, &[]);
    assert_eq!(
        (&found["standing"], &found["unknown"][0]),
        (&"newer".into(), &"20990101000000000000".into())
    );
}
