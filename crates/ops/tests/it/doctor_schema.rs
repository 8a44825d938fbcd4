//! What the doctor says of migrations, extensions and privileges.

use test_support::{KEY, TestDatabase};

use crate::doctor::{Told, at, drop_role, on};
use crate::support::Ops;

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
