//! What may be wrong with a history: each thing is named, has its exit code, and changes nothing.

use test_support::TestDatabase;

use crate::support::{Ops, url};

const LAST_BUT_ONE: &str =
    "(SELECT version FROM __diesel_schema_migrations ORDER BY version DESC OFFSET 1 LIMIT 1)";

async fn migrated() -> (TestDatabase, Ops) {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    ops.expect(0, &["migrate", "run"]);
    (database, ops)
}

#[tokio::test]
async fn an_edited_migration_is_named() {
    let (database, ops) = migrated().await;
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "UPDATE plinth_migrations SET checksum = 'tampered' WHERE version = {LAST_BUT_ONE}"
        ))
        .await
        .unwrap();
    let version: String = client
        .query_one(&format!("SELECT {LAST_BUT_ONE}"), &[])
        .await
        .unwrap()
        .get(0);
    for command in [["migrate", "run"], ["migrate", "show"], ["migrate", "revert"]] {
        let ran = ops.expect(4, &command);
        assert!(
            ran.stderr.contains(&version) && ran.stderr.contains("edited"),
            "{}",
            ran.stderr
        );
    }
    let shown = ops.expect(4, &["migrate", "show"]).stdout;
    assert_eq!(
        shown.lines().filter(|line| line.starts_with("edited ")).count(),
        1,
        "{shown}"
    );
    assert!(shown.contains("tampered"), "{shown}");
}

#[tokio::test]
async fn an_unknown_migration_is_named() {
    let (database, ops) = migrated().await;
    let client = database.superuser().await;
    client
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')")
        .await
        .unwrap();
    for command in [["migrate", "run"], ["migrate", "show"], ["migrate", "revert"]] {
        let ran = ops.expect(4, &command);
        assert!(ran.stderr.contains("29991231000000"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_migration_that_was_merged_late_is_named() {
    let (database, ops) = migrated().await;
    let client = database.superuser().await;
    let version: String = client
        .query_one(&format!("SELECT {LAST_BUT_ONE}"), &[])
        .await
        .unwrap()
        .get(0);
    for table in ["plinth_migrations", "__diesel_schema_migrations"] {
        client
            .execute(&format!("DELETE FROM {table} WHERE version = $1"), &[&version])
            .await
            .unwrap();
    }
    for command in [["migrate", "run"], ["migrate", "show"], ["migrate", "revert"]] {
        let ran = ops.expect(6, &command);
        assert!(
            ran.stderr.contains(&version) && ran.stderr.contains("merged late"),
            "{}",
            ran.stderr
        );
    }
}

#[tokio::test]
async fn a_statement_that_fails_takes_its_migration_with_it() {
    let database = TestDatabase::empty().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    // In the way of a table that a later migration makes, after others of the same migration.
    client.batch_execute("CREATE TABLE boards ()").await.unwrap();
    let ran = ops.expect(1, &["migrate", "run"]);
    assert!(
        ran.stderr.contains("_work failed and was rolled back"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("42P07"), "{}", ran.stderr);
    let left: bool = client
        .query_one("SELECT to_regclass('organizations') IS NOT NULL", &[])
        .await
        .unwrap()
        .get(0);
    assert!(!left, "a table of the failed migration is there");
    let shown = ops.expect(2, &["migrate", "show"]).stdout;
    assert!(shown.lines().any(|line| line.starts_with("applied ")), "{shown}");

    client.batch_execute("DROP TABLE boards").await.unwrap();
    ops.expect(0, &["migrate", "run"]);
}

#[tokio::test]
async fn a_missing_privilege_is_named() {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    let login = format!("{}_poor", database.name());
    client
        .batch_execute(&format!("CREATE ROLE {login} LOGIN"))
        .await
        .unwrap();
    let ops = Ops::new().with("DATABASE_URL", &url(&database, &login));

    let ran = ops.expect(1, &["migrate", "run"]);
    assert!(
        ran.stderr
            .contains("the extension pgcrypto is missing and could not be made"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("permission denied"), "{}", ran.stderr);

    // It may make extensions now, and still no roles.
    client
        .batch_execute(&format!("ALTER DATABASE {} OWNER TO {login}", database.name()))
        .await
        .unwrap();
    let ran = ops.expect(1, &["migrate", "run"]);
    // The words around it differ between versions of PostgreSQL.
    assert!(
        ran.stderr.contains("role \"plinth_system\"") && ran.stderr.contains("42501"),
        "{}",
        ran.stderr
    );
    ops.expect(2, &["migrate", "show"]);
    let tables: i64 = client
        .query_one(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'
                AND tablename NOT IN ('__diesel_schema_migrations', 'plinth_migrations')",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(tables, 0);

    client
        .batch_execute(&format!("ALTER DATABASE {} OWNER TO plinth", database.name()))
        .await
        .unwrap();
    client
        .batch_execute(&format!(
            "REASSIGN OWNED BY {login} TO plinth; DROP OWNED BY {login}; DROP ROLE {login}"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn show_says_when_by_whom_and_how_long() {
    let (_database, ops) = migrated().await;
    let shown = ops.expect(0, &["migrate", "show", "--json"]).json();
    for entry in shown.get("migrations").unwrap().as_array().unwrap() {
        assert_eq!(entry.get("state").unwrap(), "applied");
        assert_eq!(entry.get("applied_by").unwrap(), "plinth");
        assert_eq!(entry.get("checksum").unwrap().as_str().unwrap().len(), 64);
        assert!(entry.get("duration_ms").unwrap().is_u64());
        assert!(entry.get("applied_at").unwrap().as_str().unwrap().ends_with('Z'));
    }
    let text = ops.expect(0, &["migrate", "show"]).stdout;
    assert!(!text.contains('\u{1b}'), "colours into a pipe: {text:?}");
}
