//! Migrations that are only tried on a scratch database leave alone what the live databases beside it share with it.

use std::path::Path;

use test_support::KEY;
use tokio_postgres::Client;

use crate::doctor_server::Server;
use crate::lint::Project;
use crate::support::Ops;

/// A server of its own with a live database.
async fn live() -> (Server, Ops, Client) {
    let server = Server::start("host all all 127.0.0.1/32 trust", &[], None);
    let client = server.client("postgres").await;
    client.batch_execute("CREATE DATABASE plinth").await.unwrap();
    let ops = Ops::new()
        .with("DATABASE_URL", &server.tcp("postgres", "/plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY);
    ops.expect(0, &["migrate", "run"]);
    (server, ops, client)
}

async fn closed(client: &Client) -> bool {
    let sql = "SELECT NOT pg_has_role('plinth_app', 'plinth_system', 'MEMBER')
                  AND NOT (SELECT rolbypassrls FROM pg_roles WHERE rolname = 'plinth_app')
                  AND NOT EXISTS (SELECT FROM pg_db_role_setting)
                  AND (SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'plinth_app')";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_migration_that_opens_tenants_is_refused_before_it_does() {
    let (_server, ops, client) = live().await;
    // SQL, whether in a transaction, and what is said of it.
    let bad = [
        (
            "GRANT plinth_system TO plinth_app;",
            true,
            "membership of plinth_app in plinth_system: none -> yes",
        ),
        (
            "DO $$ BEGIN ALTER ROLE plinth_app BYPASSRLS; END $$;",
            true,
            "role plinth_app: NOLOGIN -> BYPASSRLS NOLOGIN",
        ),
        (
            "COMMIT; ALTER ROLE plinth_app SET row_security = off; BEGIN;",
            true,
            "settings of role plinth_app: none -> row_security=off",
        ),
        (
            "DO $$ BEGIN GRANT plinth_system TO plinth_app; END $$;",
            false,
            "membership of plinth_app in plinth_system: none -> yes",
        ),
        (
            "ALTER ROLE plinth_app PASSWORD 'x';",
            false,
            "(password of plinth_app)",
        ),
        (
            "CREATE ROLE fresh LOGIN IN ROLE plinth_system; GRANT fresh TO plinth_app;",
            true,
            "membership of plinth_app in fresh: none -> yes",
        ),
        (
            "ALTER DATABASE plinth SET row_security = off;",
            true,
            "settings in database plinth",
        ),
    ];
    for (sql, transaction, said) in bad {
        let project = Project::new();
        project.add("00_bad", sql);
        if !transaction {
            project.write(
                "2099-01-01-000000_00_bad",
                "metadata.toml",
                "run_in_transaction = false\n",
            );
        }
        let ran = ops.expect(
            1,
            &[
                "migrate",
                "lint",
                &project.path("migrations/2099-01-01-000000_00_bad"),
            ],
        );
        assert!(ran.stdout.contains(said), "{sql}:\n{}", ran.stdout);
        assert!(
            ran.stdout.contains("--disposable-server"),
            "{sql}:\n{}",
            ran.stdout
        );
        assert!(closed(&client).await, "{sql}");
    }
    // One that ends transactions itself cannot be rolled back: it is said what it has done.
    let project = Project::new();
    project.add(
        "00_bad",
        "DO $$ BEGIN GRANT plinth_system TO plinth_app; COMMIT; END $$;",
    );
    project.write(
        "2099-01-01-000000_00_bad",
        "metadata.toml",
        "run_in_transaction = false\n",
    );
    let ran = ops.expect(
        1,
        &[
            "migrate",
            "lint",
            &project.path("migrations/2099-01-01-000000_00_bad"),
        ],
    );
    assert!(ran.stdout.contains("could not be rolled back"), "{}", ran.stdout);
}

#[tokio::test]
async fn on_a_disposable_server_it_may() {
    let (_server, ops, client) = live().await;
    let project = Project::new();
    let name = "2099-01-01-000000_open";
    project.write(name, "up.sql", "GRANT plinth_system TO plinth_app;\n");
    project.write(name, "down.sql", "REVOKE plinth_system FROM plinth_app;\n");
    let migrations = project.path("migrations");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema");
    let schema = schema.to_str().unwrap();
    let verify = ["migrate", "verify", "20990101000000", "--migrations", &migrations];
    let generate = [
        "migrate",
        "generate",
        "--name",
        "nothing",
        "--schema",
        schema,
        "--migrations",
        &migrations,
    ];

    let ran = ops.expect(1, &verify);
    assert!(
        ran.stdout
            .contains("membership of plinth_app in plinth_system: none -> yes"),
        "{}",
        ran.stdout
    );
    let ran = ops.expect(1, &generate);
    assert!(ran.stderr.contains("--disposable-server"), "{}", ran.stderr);
    assert!(closed(&client).await);

    ops.expect(0, &[&verify[..], &["--disposable-server"]].concat());
    ops.expect(0, &[&generate[..], &["--disposable-server"]].concat());
    let path = project.path(&format!("migrations/{name}"));
    // What the linter thinks of it is another matter: it was applied.
    let ran = ops.run(&["migrate", "lint", "--disposable-server", &path]);
    assert!(!ran.stdout.contains("does-not-apply"), "{}", ran.stdout);
    assert!(!closed(&client).await);
}

/// A role that was not there before is nobody's yet: it may be made, changed and dropped again.
#[tokio::test]
async fn a_new_role_is_allowed() {
    let (_server, ops, _client) = live().await;
    let project = Project::new();
    let name = "2099-01-01-000000_reports";
    let up = "CREATE ROLE plinth_reports NOLOGIN; GRANT plinth_app TO plinth_reports;";
    project.write(name, "up.sql", up);
    project.write(name, "down.sql", "DROP ROLE plinth_reports;\n");
    let migrations = project.path("migrations");
    let verify = ["migrate", "verify", "20990101000000", "--migrations", &migrations];
    ops.expect(0, &verify);
    // Where it has stayed, it is there before the next scratch database.
    ops.expect(0, &verify);
}
