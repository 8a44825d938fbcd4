//! The program itself: set up by its environment, or refusing to start, with a reason.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{KEY, PASSWORD, TestDatabase};

use super::{SETUP, files};
use crate::process::{Program, url};

/// Where each program of this file runs.
fn here() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn the_environment_sets_up_at_start() {
    let (db, directory) = (TestDatabase::empty().await, here());
    let program = Program::new(directory.path())
        .with("DATABASE_URL", &url(&db, "plinth"))
        .with("PLINTH_SETUP_OPERATOR_EMAIL", "boss@acme.test")
        .with("PLINTH_SETUP_OPERATOR_PASSWORD", PASSWORD)
        .with("PLINTH_SETUP_DOMAIN_SLUG", "acme")
        .serve()
        .await;
    let stranger = program.actor();
    stranger.get("/readyz").await.expect(200);
    let sign_in = json!({"domain": "acme", "email": "boss@acme.test", "password": PASSWORD});
    stranger.post("/api/v1/sessions", &sign_in).await.expect(201);
    assert!(!program.log().contains(PASSWORD), "{}", program.log());
    assert!(
        program.log().contains("encryption.key"),
        "nobody was told of the key: {}",
        program.log()
    );
    assert_eq!(files(directory.path()), ["db.selection.json", "encryption.key"]);
}

#[tokio::test]
async fn a_made_password_is_said_once() {
    let (db, directory) = (TestDatabase::empty().await, here());
    let program = Program::new(directory.path())
        .with("DATABASE_URL", &url(&db, "plinth"))
        .with("PLINTH_LOG_FORMAT", "json")
        .serve()
        .await;
    let said = |name: &str| -> Vec<String> {
        let lines = program.log();
        lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|line| {
                let fields = line.get("fields").unwrap_or(&line).clone();
                fields[name].as_str().map(str::to_owned)
            })
            .collect()
    };
    let token = said("token");
    assert_eq!(token.len(), 1, "{}", program.log());
    let owner = program.actor().with_bearer(&token[0]);
    owner
        .post(SETUP, &json!({"type": "postgresql"}))
        .await
        .expect(200);
    let password = said("password");
    assert_eq!(password.len(), 1, "{}", program.log());
    let sign_in = json!({"email": "admin@localhost", "password": password[0]});
    // No domain is named: there is only one.
    program
        .actor()
        .post("/api/v1/sessions", &sign_in)
        .await
        .expect(201);
    assert!(program.log().contains("keep it safe"), "{}", program.log());
}

/// What the log says lets somebody in, at the first start and at every later one.
#[tokio::test]
async fn the_demo_says_how_to_sign_in() {
    let (db, directory) = (TestDatabase::empty().await, here());
    let start = |demo: &str| {
        Program::new(directory.path())
            .with("DATABASE_URL", &url(&db, "plinth"))
            .with("PLINTH_SETUP_DEMO", demo)
            .serve()
    };
    let says = |log: &str| {
        log.lines()
            .find(|line| line.contains("accounts"))
            .map(str::to_owned)
    };
    for _ in 0..2 {
        let mut program = start("true").await;
        let line = says(&program.log()).unwrap_or_else(|| panic!("{}", program.log()));
        let (_, password) = line.rsplit_once("password: ").unwrap();
        for (domain, email) in [
            ("acme", "admin@localhost"),
            ("globex", "admin@globex.test"),
            ("platform", "admin@localhost"),
        ] {
            assert!(line.contains(&format!("{domain} as {email}")), "{line}");
            let body = json!({"domain": domain, "email": email, "password": password});
            program.actor().post("/api/v1/sessions", &body).await.expect(201);
        }
        program.terminate().await;
    }
    let program = start("false").await;
    assert_eq!(says(&program.log()), None);
}

#[tokio::test]
async fn what_does_not_fit_refuses_to_start() {
    let directory = here();
    let db = TestDatabase::empty().await;
    let program = |user: &str| Program::new(directory.path()).with("DATABASE_URL", &url(&db, user));
    let said = program("plinth")
        .with("PLINTH_SETUP_DOMAIN_SLUG", "Not A Slug")
        .refuses();
    assert!(said.contains("domain.slug"), "{said}");
    let said = program("plinth")
        .with("PLINTH_SETUP_OPERATOR_PASSWORD", "short")
        .refuses();
    assert!(said.contains("operator.password"), "{said}");
    let said = program("plinth")
        .with("PLINTH_SETUP_DEMO", "true")
        .with("PLINTH_SERVER_BIND", "0.0.0.0:0")
        .refuses_with(78);
    assert!(
        said.contains("PLINTH_SETUP_DEMO") && said.contains("loopback"),
        "{said}"
    );
    // Before anything is asked of a database.
    for (name, value) in [
        ("PLINTH_SERVER_BIND", "everywhere"),
        ("PLINTH_LOG", "shout=loudly"),
        ("DATABASE_POOL_SIZE", "none"),
    ] {
        let said = program("plinth").with(name, value).refuses_with(78);
        assert!(said.contains(value), "{name}: {said}");
    }
    assert_eq!(files(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_schema_that_is_not_ours_refuses_to_start() {
    let (db, directory) = (TestDatabase::new().await, here());
    let program = || {
        Program::new(directory.path())
            .with("DATABASE_URL", &url(&db, "plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
    };
    let client = db.superuser().await;
    let newest: String = client
        .query_one("SELECT max(version) FROM __diesel_schema_migrations", &[])
        .await
        .unwrap()
        .get(0);
    let history = ["__diesel_schema_migrations", "plinth_migrations"];
    for table in history {
        let forget = format!(
            "CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE version = '{newest}';
                              DELETE FROM {table} WHERE version = '{newest}'"
        );
        client.batch_execute(&forget).await.unwrap();
    }
    let said = program().with("PLINTH_MIGRATE_ON_START", "false").refuses();
    assert!(
        said.contains("1 pending") && said.contains("plinth-ops migrate run"),
        "{said}"
    );
    assert!(said.contains(&newest), "{said}");
    for table in history {
        let restore = format!("INSERT INTO {table} SELECT * FROM kept_{table}; DROP TABLE kept_{table}");
        client.batch_execute(&restore).await.unwrap();
    }
    // One that somebody began to take back, statement by statement.
    client
        .batch_execute(&format!(
            "CREATE TABLE plinth_migration_statements (version text, direction text, statement integer, checksum text,
                 started_at timestamptz, finished_at timestamptz);
             INSERT INTO plinth_migration_statements VALUES ('{newest}', 'down', 1, '', now(), now())"
        ))
        .await
        .unwrap();
    let said = program().with("PLINTH_MIGRATE_ON_START", "false").refuses();
    assert!(said.contains(&newest) && said.contains("half reverted"), "{said}");
    client
        .batch_execute("DROP TABLE plinth_migration_statements")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101000000')")
        .await
        .unwrap();
    for on_start in ["true", "false"] {
        let said = program().with("PLINTH_MIGRATE_ON_START", on_start).refuses();
        assert!(
            said.contains("20990101000000") && said.contains("does not know"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_login_that_bypasses_row_level_security_refuses_to_start() {
    let (db, directory) = (TestDatabase::new().await, here());
    let client = db.superuser().await;
    let (mighty, bypassing) = (
        format!("{}_mighty", db.name()),
        format!("{}_bypassing", db.name()),
    );
    let make = format!("CREATE ROLE {mighty} LOGIN SUPERUSER; CREATE ROLE {bypassing} LOGIN BYPASSRLS");
    client.batch_execute(&make).await.unwrap();
    for (login, fault) in [(&mighty, "is a superuser"), (&bypassing, "has BYPASSRLS")] {
        let said = Program::new(directory.path())
            .with("DATABASE_URL", &url(&db, login))
            .with("DATABASE_DIRECT_URL", &url(&db, "plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
            .refuses();
        assert!(
            said.contains(fault) && said.contains(login) && said.contains("row level security"),
            "{said}"
        );
    }
    let clean = format!(
        "REVOKE ALL ON DATABASE {name} FROM {bypassing}, {mighty};
                         DROP ROLE {mighty}; DROP ROLE {bypassing}",
        name = db.name()
    );
    client.batch_execute(&clean).await.unwrap();
}
