//! Setting up over HTTP, at start and by twenty at once: exactly one wins, and nothing is left of what did not happen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use app_config::Config;
use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Actor, Method, PASSWORD, TestDatabase, test_server};

use crate::app::TestApp;
use crate::operations;
use crate::process::{Program, url};

const TOKEN: &str = "setup-token-for-the-tests";
const SETUP: &str = "/api/db/setup";

/// A server before a database that nobody has set up, without a configured key.
async fn fresh(db: TestDatabase, directory: &Path) -> TestApp {
    TestApp::start_with(db, |config| unconfigured(config, directory)).await
}

fn unconfigured(config: &mut Config, directory: &Path) {
    config.security.encryption_key = None;
    config.setup.token = Some(SecretString::from(TOKEN));
    config.paths.persistent_dir = directory.join("persistent_data");
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("persistent_data"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn owner(actor: &Actor) -> Actor {
    actor.with_bearer(TOKEN)
}

#[tokio::test]
async fn the_bodies_are_those_that_are_promised() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous();
    let status = async || stranger.get("/api/db/status").await.expect(200);
    assert_eq!(
        status().await,
        json!({"configured": true, "initialized": false, "dialect": "postgresql"})
    );

    let body = json!({
        "type": "postgresql",
        "domain": {"slug": "acme", "name": "Acme"},
        "operator": {"email": "Boss@Acme.test", "password": PASSWORD},
    });
    assert_eq!(
        owner(&stranger).post(SETUP, &body).await.expect(200),
        json!({"message": "Plinth is set up", "restart_required": false, "database_type": "postgresql"})
    );
    assert_eq!(
        status().await,
        json!({"configured": true, "initialized": true, "dialect": "postgresql"})
    );
    assert_eq!(
        owner(&stranger).post(SETUP, &body).await.problem(409),
        "already_set_up"
    );

    assert_eq!(files(directory.path()), ["db.selection.json", "encryption.key"]);
    let key = directory.path().join("persistent_data/encryption.key");
    assert_eq!(
        std::fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let selection = directory.path().join("persistent_data/db.selection.json");
    let selection: Value = serde_json::from_str(&std::fs::read_to_string(selection).unwrap()).unwrap();
    assert_eq!(selection.as_object().unwrap().len(), 3, "{selection}");
    assert_eq!(
        (&selection["type"], &selection["version"]),
        (&json!("postgresql"), &json!("1.0"))
    );
    chrono::DateTime::parse_from_rfc3339(selection["selectedAt"].as_str().unwrap()).unwrap();

    stranger.get("/readyz").await.expect(200);
    // The operator of the platform is an Admin of the first domain too, and both are served at once.
    for domain in ["acme", "platform"] {
        let sign_in = json!({"domain": domain, "email": "boss@acme.test", "password": PASSWORD});
        stranger.post("/api/v1/sessions", &sign_in).await.expect(201);
    }
}

#[tokio::test]
async fn until_then_everything_points_to_setup() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous().with_session("whatever");
    stranger.get("/healthz").await.expect(200);
    let mut paths = vec![(Method::GET, "/readyz".to_owned())];
    for operation in operations::operations() {
        let path = operation.path.replace('{', "").replace('}', "");
        paths.push((operation.method, path));
    }
    assert!(paths.len() > 30, "{paths:?}");
    // All at once: however many ask, nobody waits for the others.
    let started = Instant::now();
    let answers = join_all(paths.iter().map(|(method, path)| {
        let (stranger, method) = (stranger.clone(), method.clone());
        async move { stranger.send(method, path, Some(&json!({}))).await }
    }))
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for ((method, path), answer) in paths.iter().zip(answers) {
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text);
        assert_eq!(answer.problem(503), "not_set_up", "{method} {path}");
        assert!(answer.text.contains("/setup"), "{}", answer.text);
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous();
    let actors = [
        stranger.clone(),
        stranger.with_bearer("wrong"),
        stranger.with_bearer(""),
        stranger.with_header("authorization", "Basic c2V0dXA6dG9rZW4="),
        stranger.with_header("authorization", TOKEN),
    ];
    for actor in actors {
        for body in [
            "{\"type\":\"postgresql\"}",
            "{\"type\":\"mysql\"}",
            "not json",
            "",
        ] {
            let answer = actor
                .send_raw(Method::POST, SETUP, "application/json", body.into())
                .await;
            assert_eq!(answer.problem(401), "unauthenticated", "{body}");
        }
    }
    assert_eq!(files(directory.path()), Vec::<String>::new());
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let count: i64 = app.world.client().query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn values_that_do_not_fit_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let owner = owner(&app.anonymous());
    let with = |field: &str, value: Value| {
        let mut body = json!({
            "type": "postgresql",
            "domain": {"slug": "acme", "name": "Acme"},
            "operator": {"email": "boss@acme.test", "password": PASSWORD},
        });
        *body
            .pointer_mut(&format!("/{}", field.replace('.', "/")))
            .unwrap() = value;
        body
    };
    let cases = [
        ("type", json!("mysql")),
        ("type", json!(1)),
        ("domain.slug", json!("Not A Slug")),
        ("domain.slug", json!("platform")),
        ("domain.slug", json!("x".repeat(64))),
        ("domain.name", json!("")),
        ("domain.name", json!("a\u{0}b")),
        ("operator.email", json!("nobody")),
        ("operator.email", json!(format!("{}@acme.test", "x".repeat(300)))),
        ("operator.password", json!("short")),
        ("operator.password", json!("x".repeat(257))),
        ("operator.password", json!(12_345_678_901_u64)),
    ];
    for (field, value) in cases {
        let answer = owner.post(SETUP, &with(field, value.clone())).await;
        assert_eq!(answer.problem(422), "invalid", "{field} = {value}");
        let named: Vec<_> = answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(named, [field], "{}", answer.text);
        assert!(
            !answer.text.contains("12345678901"),
            "a password came back: {}",
            answer.text
        );
    }
    let several = json!({"type": "x", "domain": {"slug": "-", "name": ""}});
    let answer = owner.post(SETUP, &several).await;
    assert_eq!(answer.expect(422)["errors"].as_array().unwrap().len(), 3);
    assert_eq!(files(directory.path()), Vec::<String>::new());
    owner
        .post(SETUP, &json!({"type": "postgresql"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn twenty_at_once_and_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let owner = owner(&app.anonymous());
    let answers = join_all((0..20).map(|n| {
        let owner = owner.clone();
        let body = json!({"type": "postgresql", "domain": {"slug": format!("d{n}"), "name": "D"}});
        async move { owner.post(SETUP, &body).await }
    }))
    .await;
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    let all: Vec<_> = answers.iter().map(|answer| &answer.text).collect();
    assert_eq!((count(200), count(409)), (1, 19), "{all:?}");
    let domains = "SELECT count(*) FROM domains";
    let count: i64 = app.world.client().query_one(domains, &[]).await.unwrap().get(0);
    assert_eq!(count, 2, "the platform's own and one more");
}

#[tokio::test]
async fn of_two_servers_one_sets_up_and_the_other_serves_too() {
    let directory = tempfile::tempdir().unwrap();
    let db = TestDatabase::empty().await;
    let mut second_config = db.config();
    let first = fresh(db, directory.path()).await;
    unconfigured(&mut second_config, directory.path());
    let second = crate::app::Server::start(second_config);
    let (one, two) = (owner(&first.anonymous()), owner(&Actor::anonymous(&second.base)));
    let body = json!({"type": "postgresql"});
    let answers = join_all((0..10).map(|n| {
        let (actor, body) = (if n % 2 == 0 { &one } else { &two }, &body);
        async move { actor.post(SETUP, body).await.status.as_u16() }
    }))
    .await;
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(200), count(409)), (1, 9), "{answers:?}");
    for actor in [&one, &two] {
        actor.get("/readyz").await.expect(200);
        assert_eq!(actor.get("/api/db/status").await.expect(200)["initialized"], true);
    }
}

#[tokio::test]
async fn a_server_that_waits_notices_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let db = TestDatabase::empty().await;
    let mut config = db.config();
    unconfigured(&mut config, directory.path());
    let first = fresh(db, directory.path()).await;
    let waiting = crate::app::Server::start(config);
    assert!(waiting.state.db().is_none());
    owner(&first.anonymous())
        .post(SETUP, &json!({"type": "postgresql"}))
        .await
        .expect(200);
    // Nobody asks it anything meanwhile.
    let started = Instant::now();
    while waiting.state.db().is_none() {
        assert!(started.elapsed() < Duration::from_secs(10), "it still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn with_the_database_down_nothing_is_left_and_the_same_call_works_later() {
    let directory = tempfile::tempdir().unwrap();
    let db = TestDatabase::empty().await;
    let (admin, name) = (
        TestDatabase::empty().await.superuser().await,
        db.name().to_owned(),
    );
    // Away for everybody: the socket that the server was told of is not there.
    let elsewhere = tempfile::tempdir().unwrap();
    let host = elsewhere.path().join("pg");
    let app = TestApp::start_with(db, |config| {
        unconfigured(config, directory.path());
        config.database.address.as_mut().unwrap().host = host.to_string_lossy().into_owned();
    })
    .await;
    let owner = owner(&app.anonymous());
    let body = json!({"type": "postgresql"});
    let answer = owner.post(SETUP, &body).await;
    assert_eq!(answer.problem(503), "database_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(files(directory.path()), Vec::<String>::new());
    assert_eq!(
        owner.get("/api/db/status").await.expect(200),
        json!({"configured": false, "initialized": false, "dialect": "postgresql"})
    );
    assert_eq!(owner.get("/readyz").await.problem(503), "database_unavailable");

    std::os::unix::fs::symlink(&test_server().socket_dir, &host).unwrap();
    owner.post(SETUP, &body).await.expect(200);
    assert_eq!(files(directory.path()), ["db.selection.json", "encryption.key"]);
    owner.get("/readyz").await.expect(200);
    drop((admin, name));
}

/// The connection breaks while setup writes: the transaction is gone, and so is the key that was made for it.
#[tokio::test]
async fn a_setup_that_is_broken_off_leaves_no_key() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let owner = owner(&app.anonymous());
    // Somebody sits on the table that setup writes to last: it waits there, with its key file already written.
    app.world
        .client()
        .batch_execute("CREATE TABLE IF NOT EXISTS placeholder ()")
        .await
        .unwrap();
    db_core::migrate::Migrator::new(&app.db.owner(), Duration::from_secs(30))
        .run()
        .await
        .unwrap();
    app.world
        .client()
        .batch_execute("BEGIN; LOCK TABLE activity_stream IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let calling = owner.clone();
    let call = tokio::spawn(async move { calling.post(SETUP, &json!({"type": "postgresql"})).await });
    let killer = app.db.superuser().await;
    let started = Instant::now();
    loop {
        let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        if let Some(row) = killer.query_opt(waiting, &[]).await.unwrap() {
            assert_eq!(files(directory.path()), ["encryption.key"]);
            killer
                .execute("SELECT pg_terminate_backend($1)", &[&row.get::<_, i32>(0)])
                .await
                .unwrap();
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "setup never waited");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = call.await.unwrap();
    assert_eq!(answer.problem(503), "database_unavailable");
    assert_eq!(files(directory.path()), Vec::<String>::new());
    app.world.client().batch_execute("ROLLBACK").await.unwrap();
    owner
        .post(SETUP, &json!({"type": "postgresql"}))
        .await
        .expect(200);
    assert_eq!(files(directory.path()), ["db.selection.json", "encryption.key"]);
}

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
        .refuses();
    assert!(
        said.contains("PLINTH_SETUP_DEMO") && said.contains("loopback"),
        "{said}"
    );
    assert_eq!(files(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_schema_that_is_not_ours_refuses_to_start() {
    let (db, directory) = (TestDatabase::new().await, here());
    let program = || {
        Program::new(directory.path())
            .with("DATABASE_URL", &url(&db, "plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", test_support::KEY)
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
            .with("POSTGRES_ENCRYPTION_KEY", test_support::KEY)
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

#[tokio::test]
async fn the_login_of_one_installation_does_not_open_another() {
    let (ours, theirs) = (TestDatabase::new().await, TestDatabase::new().await);
    drop((ours.db().await, theirs.db().await));
    let mut address = theirs.address();
    address.user = format!("plinth_app_{}", ours.name());
    let refusal = refusal(&address).await;
    assert!(refusal.contains("permission denied for database"), "{refusal}");
}

/// The operator's own logins shut the door as well, and so does setup before anything was served.
#[tokio::test]
async fn doors_are_shut_also_with_given_logins_and_before_the_first_start() {
    let (ours, theirs, empty) = (
        TestDatabase::new().await,
        TestDatabase::new().await,
        TestDatabase::empty().await,
    );
    let login = format!("{}_api", ours.name());
    let client = ours.superuser().await;
    client
        .batch_execute(&format!("CREATE ROLE {login} LOGIN"))
        .await
        .unwrap();
    for db in [&ours, &theirs] {
        let open = format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", db.name());
        client.batch_execute(&open).await.unwrap();
    }
    let other = format!("{}_api", theirs.name());
    client
        .batch_execute(&format!("CREATE ROLE {other} LOGIN"))
        .await
        .unwrap();
    for (db, login) in [(&ours, &login), (&theirs, &other)] {
        let mut config = db.config();
        config.database.direct = config.database.address.clone();
        config.database.address.as_mut().unwrap().user.clone_from(login);
        let keyring =
            db_core::secrets::keyring::Keyring::parse(&SecretString::from(test_support::KEY)).unwrap();
        db_core::Db::open(
            &db.owner(),
            &config.database,
            &config.security,
            &keyring,
            db_core::Clock::System,
        )
        .await
        .unwrap();
    }
    let mut address = theirs.address();
    address.user.clone_from(&login);
    assert!(refusal(&address).await.contains("permission denied for database"));

    let keys = db_core::setup::KeySource::new(
        Some(SecretString::from(test_support::KEY)),
        Path::new("/nonexistent"),
    );
    let request = db_core::setup::SetupRequest::default();
    db_core::setup::run(&empty.owner(), &keys, &db_core::Clock::System, 10, None, &request)
        .await
        .unwrap();
    address.database = empty.name().to_owned();
    assert!(refusal(&address).await.contains("permission denied for database"));

    for (db, login) in [(&ours, &login), (&theirs, &other)] {
        let clean = format!(
            "REVOKE ALL ON DATABASE {} FROM {login}; DROP ROLE {login}",
            db.name()
        );
        client.batch_execute(&clean).await.unwrap();
    }
}

/// What the server says to a login that it does not let in.
async fn refusal(address: &app_config::DatabaseAddress) -> String {
    let connector = pg_connect::Connector::new(address, pg_connect::ConnectOptions::default()).unwrap();
    match connector.connect().await {
        Ok(_) => panic!("{address} opened the door"),
        Err(error) => error.to_string(),
    }
}
