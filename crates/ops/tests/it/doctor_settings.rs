//! `plinth-ops doctor`: settings that leak, keys, limits, and backups.

use std::os::unix::fs::PermissionsExt as _;

use test_support::TestDatabase;

use crate::doctor::{Told, on};
use crate::support::{Ops, closed_place};

#[tokio::test]
async fn settings_that_leak() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    let set = async |setting: &str| {
        client
            .batch_execute(&format!("ALTER DATABASE {} SET {setting}", database.name()))
            .await
            .unwrap();
    };
    set("log_statement = 'all'").await;
    set("log_parameter_max_length = -1").await;
    let told = Told::by(&on(&database), &[]);
    told.expect(
        "logging.statements",
        "warning",
        &["log_statement = all", "ALTER SYSTEM SET"],
    );
    told.expect(
        "logging.parameters",
        "failed",
        &["bind parameters", "log_parameter_max_length = 0"],
    );
    set("log_parameter_max_length = 0").await;
    Told::by(&on(&database), &[]).expect("logging.parameters", "ok", &[]);

    set("log_statement = 'none'").await;
    set("log_parameter_max_length = -1").await;
    set("log_min_duration_statement = 0").await;
    Told::by(&on(&database), &[]).expect(
        "logging.parameters",
        "failed",
        &["log_min_duration_statement = 0ms"],
    );

    set("log_parameter_max_length_on_error = -1").await;
    Told::by(&on(&database), &[]).expect(
        "logging.errors",
        "failed",
        &["log_parameter_max_length_on_error = -1"],
    );
    set("log_parameter_max_length_on_error = 0").await;
    set("log_error_verbosity = default").await;
    Told::by(&on(&database), &[]).expect("logging.errors", "warning", &["DETAIL", "terse"]);

    set("session_preload_libraries = 'auto_explain'").await;
    set("auto_explain.log_min_duration = -1").await;
    Told::by(&on(&database), &[]).expect("logging.auto_explain", "warning", &["loaded"]);
    set("auto_explain.log_min_duration = 0").await;
    Told::by(&on(&database), &[]).expect(
        "logging.auto_explain",
        "failed",
        &["bind parameters", "shared_preload_libraries"],
    );
}

#[tokio::test]
async fn what_is_set_for_the_login_of_requests_counts() {
    let database = TestDatabase::new().await;
    drop(database.db().await);
    let login = format!("plinth_app_{}", database.name());
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "ALTER ROLE {login} SET log_statement = 'all'; ALTER ROLE {login} SET log_parameter_max_length = 100"
        ))
        .await
        .unwrap();
    let told = Told::by(&on(&database), &[]);
    told.expect("logging.parameters", "failed", &[&login]);
    told.expect("rights.app_login", "ok", &[&login]);
    client
        .batch_execute(&format!(
            "ALTER ROLE {login} RESET log_parameter_max_length_on_error"
        ))
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect(
        "logging.roles",
        "warning",
        &[&login, "log_parameter_max_length_on_error = 0"],
    );
}

#[tokio::test]
async fn keys_and_files_with_secrets() {
    let database = TestDatabase::new().await;
    let ops = Ops::new().with("DATABASE_URL", &database.url("plinth"));
    let told = Told::by(&ops, &[]);
    told.expect(
        "key.present",
        "failed",
        &["POSTGRES_ENCRYPTION_KEY", "refuses to start"],
    );
    let told = Told::by(&ops.with("POSTGRES_ENCRYPTION_KEY", "short"), &[]);
    told.expect("key.present", "failed", &["32"]);

    let other = "0123456789abcdef0123456789abcdef0123456789abcdef";
    let ops = Ops::new().with("DATABASE_URL", &database.url("plinth"));
    let file = ops.directory.path().join("key");
    std::fs::write(&file, other).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ops = ops.with("POSTGRES_ENCRYPTION_KEY_FILE", file.to_str().unwrap());
    let ran = ops.run(&["doctor"]);
    assert!(!ran.stdout.contains(other), "the key is shown");
    let told = Told::by(&ops, &[]);
    told.expect("key.fits", "failed", &["another key"]);
    told.expect("config.files", "warning", &["0644", "chmod 600"]);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Told::by(&ops, &[]).expect("config.files", "ok", &["1 readable by their owner alone"]);
}

#[tokio::test]
async fn more_connections_than_there_are() {
    let database = TestDatabase::new().await;
    let ops = on(&database).with("DATABASE_POOL_SIZE", "50");
    Told::by(&ops, &["--replicas", "100"]).expect(
        "server.connections",
        "failed",
        &["max_connections", "PgBouncer", "100 processes"],
    );
    let client = database.superuser().await;
    client
        .batch_execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 20", database.name()))
        .await
        .unwrap();
    Told::by(&ops, &[]).expect("server.connections", "failed", &["limit 20"]);
}

#[tokio::test]
async fn a_database_that_takes_no_writes() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "ALTER DATABASE {} SET default_transaction_read_only = on",
            database.name()
        ))
        .await
        .unwrap();
    Told::by(&on(&database), &[]).expect("server.primary", "failed", &["default_transaction_read_only"]);
}

#[tokio::test]
async fn backups_that_are_old_failed_or_unproved() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    let store = closed_place();
    let ops = on(&database);
    let told = Told::by(&ops, &[]);
    told.expect("backup.place", "warning", &["PLINTH_BACKUP_URL"]);
    told.expect("backup.last", "warning", &["none yet", "backup create"]);
    told.expect("backup.proof", "skipped", &[]);
    let ops = ops.with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
    ops.expect(0, &["backup", "create", "--no-drill"]);
    let told = Told::by(&ops, &[]);
    told.expect("backup.last", "ok", &["less than an hour"]);
    told.expect("backup.proof", "warning", &["none yet", "backup drill"]);
    told.expect("backup.place", "ok", &["1 backup"]);
    for (age, status) in [("30 hours", "warning"), ("9 days", "failed")] {
        client
            .batch_execute(&format!("UPDATE backup_runs SET started_at = now() - interval '{age}', finished_at = now() - interval '{age}'"))
            .await
            .unwrap();
        // Of a place the doctor believes the backups themselves; without one it goes by the table.
        Told::by(&on(&database), &[]).expect("backup.last", status, &[age]);
    }
    client
        .batch_execute(
            "UPDATE backup_runs SET finished_at = now() - interval '2 hours';
             INSERT INTO backup_runs (id, kind, state, backup, location, finished_at, error, plinth_version)
             VALUES (gen_random_uuid(), 'backup', 'failed', '20261121T000000Z-000000', '/', now(), 'the disk is full', '0')",
        )
        .await
        .unwrap();
    Told::by(&ops, &[]).expect("backup.last", "warning", &["the disk is full"]);

    let ops = ops.with("PLINTH_POSTGRES_BIN", store.path().to_str().unwrap());
    let told = Told::by(&ops, &[]);
    told.expect("backup.pg_dump", "failed", &["postgresql-client-"]);
    told.expect("backup.pg_restore", "failed", &["postgresql-client-"]);
    let gone = on(&database).with("PLINTH_BACKUP_URL", "/no/such/directory");
    Told::by(&gone, &[]).expect("backup.place", "failed", &["/no/such/directory"]);
}
