//! Through a real PgBouncer in transaction mode, with the rules of deploy/pgbouncer.
//!
//! `scripts/test` names the program in `PLINTH_TEST_PGBOUNCER`. Without it these tests say that they are skipped; in CI they fail.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use app_config::{Config, DatabaseAddress};
use db_core::secrets::keyring::Keyring;
use db_core::{Clock, Db};
use futures_util::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{ACME, Actor, GLOBEX, KEY, Method, PASSWORD, TestDatabase, test_server};

use crate::app::{Board, TestApp};

/// A PgBouncer before the test server. Killed on drop.
struct PgBouncer {
    child: Child,
    directory: TempDir,
}

impl PgBouncer {
    /// The rules of deploy/pgbouncer/pool.ini, the given logins with their passwords, and settings over all others.
    /// `None`, with a word about it, where there is no PgBouncer.
    #[expect(
        clippy::disallowed_methods,
        reason = "how scripts/test and its tests speak to one another"
    )]
    fn start(users: &[(&str, &str)], settings: &[&str]) -> Option<Self> {
        let Some(program) = std::env::var_os("PLINTH_TEST_PGBOUNCER") else {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "PLINTH_TEST_PGBOUNCER names no PgBouncer, and CI=true allows no skipped test"
            );
            println!("SKIPPED: PLINTH_TEST_PGBOUNCER names no PgBouncer");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        // Whoever owns the server's socket gets to it; PgBouncer refuses root besides.
        let owner = fs::metadata(&test_server().socket_dir).unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            path
        };
        let rules = fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../deploy/pgbouncer/pool.ini"
        ))
        .unwrap();
        let pool = write("pool.ini", &rules);
        let users: String = users
            .iter()
            .map(|(user, password)| format!("\"{user}\" \"{password}\"\n"))
            .collect();
        let users = write("users.txt", &users);
        let server = test_server();
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\n%include {}\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {}\nunix_socket_mode = 0777\nauth_file = {}\n{}\n",
            server.socket_dir.display(),
            server.port,
            pool.display(),
            directory.path().display(),
            users.display(),
            settings.join("\n")
        );
        let configuration = write("pgbouncer.ini", &text);
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let mut pooler = Self {
            child: command.spawn().unwrap(),
            directory,
        };
        let started = Instant::now();
        while UnixStream::connect(pooler.directory.path().join(".s.PGSQL.6432")).is_err() {
            let ended = pooler.child.try_wait().unwrap();
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(20),
                "{ended:?} {}",
                pooler.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(pooler)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The pooled address of a database.
    fn address(&self, db: &TestDatabase, user: &str, password: &str) -> DatabaseAddress {
        DatabaseAddress {
            host: self.directory.path().to_string_lossy().into_owned(),
            port: 6432,
            user: user.to_owned(),
            password: Some(SecretString::from(password)),
            ..db.address()
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A login that the operator has made for the API. Roles are the whole server's, so it has the database's name.
struct Login {
    name: String,
    db: String,
}

impl Login {
    async fn make(db: &TestDatabase, suffix: &str, attributes: &str) -> Self {
        let name = format!("{}_{suffix}", db.name());
        let make = format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' {attributes}");
        db.superuser().await.batch_execute(&make).await.unwrap();
        Self {
            name,
            db: db.name().to_owned(),
        }
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let (name, db) = (self.name.clone(), self.db.clone());
        // Its privileges in the test's database go with that; roles of a disposable server may stay where this fails.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = test_server();
                let text = format!(
                    "host={} port={} dbname={db} user={}",
                    server.socket_dir.display(),
                    server.port,
                    server.user
                );
                if let Ok((client, connection)) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await
                {
                    tokio::spawn(connection);
                    let clean = format!(
                        "REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}"
                    );
                    let _ = client.batch_execute(&clean).await;
                }
            });
        })
        .join();
    }
}

fn open_through(config: &mut Config, pooled: DatabaseAddress) {
    config.database.direct = config.database.address.take();
    config.database.address = Some(pooled);
}

/// Few server connections for many clients, so that every one of them is passed from domain to domain.
const FEW: &str = "default_pool_size = 4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_of_mixed_domains_with_clients_dropping() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let Some(pooler) = PgBouncer::start(&[(&login.name, PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &login.name, PASSWORD);
    let app = TestApp::start_with(db, |config| {
        config.database.pool_size = 24;
        open_through(config, pooled);
    })
    .await;
    mixed_load(&app).await;
    drop((app, pooler, login));
}

/// A domain's own admin, board, and the word that its titles begin with.
struct Side {
    admin: Actor,
    board: Board,
    word: &'static str,
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Side {
    async fn new(app: &TestApp, admin: Actor, word: &'static str) -> Self {
        let board = app.board(&admin).await;
        app.card(&admin, &board.column, &format!("{word} first")).await;
        Self {
            admin,
            board,
            word,
            acknowledged: Mutex::default(),
        }
    }

    /// One request, whose answer must speak of this domain alone.
    async fn request(&self, other: &Self, n: usize) {
        match n % 5 {
            0 | 1 => {
                let title = format!("{} {}", self.word, Clock::System.uuid());
                let path = format!("/api/v1/columns/{}/cards", self.board.column);
                let card = self.admin.post(&path, &json!({"title": title})).await.expect(201);
                assert_eq!(card["title"], title);
                self.acknowledged.lock().unwrap().insert(title);
            }
            2 => {
                let path = format!("/api/v1/boards/{}/cards?limit=200", self.board.board);
                let list = self.admin.get(&path).await.expect(200);
                let items = list["items"].as_array().unwrap();
                assert!(!items.is_empty(), "{list}");
                for card in items {
                    assert!(card["title"].as_str().unwrap().starts_with(self.word), "{card}");
                }
            }
            3 => {
                let list = self.admin.get("/api/v1/organizations").await.expect(200);
                let ids: Vec<&Value> = list["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|o| &o["id"])
                    .collect();
                assert_eq!(ids, [&json!(self.board.organization)], "{list}");
            }
            _ => {
                let path = format!("/api/v1/boards/{}/cards", other.board.board);
                self.admin.get(&path).await.problem(404);
            }
        }
    }
}

async fn mixed_load(app: &TestApp) {
    let sides = [
        Side::new(app, app.admin().await, ACME).await,
        Side::new(app, app.other_admin().await, GLOBEX).await,
    ];
    for round in 0..5_usize {
        join_all((0..200_usize).map(|n| {
            let sides = &sides;
            async move {
                let (side, other) = (&sides[n % 2], &sides[(n + 1) % 2]);
                let request = side.request(other, n / 2 + round);
                if n % 3 == 0 {
                    // The client hangs up somewhere on the way.
                    let patience = Duration::from_micros(500 + 731 * (n as u64 * 7 % 41));
                    let _ = tokio::time::timeout(patience, request).await;
                } else {
                    request.await;
                }
            }
        }))
        .await;
    }
    let client = app.world.client();
    for side in &sides {
        let domain = app.world.domain(side.word).await;
        let acknowledged: Vec<String> = side.acknowledged.lock().unwrap().iter().cloned().collect();
        assert!(
            acknowledged.len() > 150,
            "only {} cards were made",
            acknowledged.len()
        );
        let row = client
            .query_one(
                "SELECT count(*) FILTER (WHERE title = ANY ($2)), count(DISTINCT title), count(*),
                        count(*) FILTER (WHERE NOT title ^@ $3), count(DISTINCT number)
                   FROM cards WHERE domain_id = $1",
                &[&domain, &acknowledged, &side.word],
            )
            .await
            .unwrap();
        let count = |column: usize| usize::try_from(row.get::<_, i64>(column)).unwrap();
        assert_eq!(
            count(0),
            acknowledged.len(),
            "an acknowledged card is there exactly once"
        );
        assert_eq!(
            (count(1), count(4)),
            (count(2), count(2)),
            "no card twice, no number twice"
        );
        assert_eq!(count(3), 0, "a card of the other domain");
    }
    // The last of the dropped ones may still be rolling back.
    let started = Instant::now();
    loop {
        let left: Vec<String> = client
            .query(
                "SELECT pid || ' ' || usename || ' ' || state || ' ' || query FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "left inside of a transaction: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A connection that comes back from a client is nobody's: outside of a transaction it shows nothing.
    sides[0].admin.get("/readyz").await.expect(200);
}

async fn open(db: &TestDatabase, pooled: DatabaseAddress) -> Result<Db, String> {
    let mut config = db.config();
    open_through(&mut config, pooled);
    open_as_configured(&config).await
}

async fn open_as_configured(config: &Config) -> Result<Db, String> {
    let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
    let owner = db_core::Owner::from_config(&config.database, "tests").unwrap();
    Db::open(
        &owner,
        &config.database,
        &config.security,
        &keyring,
        Clock::System,
    )
    .await
    .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_pooler_that_loses_prepared_statements_is_named() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let users = [(login.name.as_str(), PASSWORD)];
    let Some(wrong) = PgBouncer::start(&users, &["max_prepared_statements = 0"]) else {
        return;
    };
    let error = open(&db, wrong.address(&db, &login.name, PASSWORD))
        .await
        .unwrap_err();
    for word in [
        "prepared statements",
        "max_prepared_statements = 200",
        "1.21",
        &login.name,
    ] {
        assert!(error.contains(word), "{word} is missing: {error}");
    }
    // The same with one server connection, which has nowhere to lose them; and without a mistake.
    for settings in [vec!["default_pool_size = 1"], vec![]] {
        let right = PgBouncer::start(&users, &settings).unwrap();
        open(&db, right.address(&db, &login.name, PASSWORD))
            .await
            .unwrap();
    }
}

/// One user in both addresses, and a pooler that knows only that: the API's own login would not be let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_login_behind_a_pooler_takes_on_the_role() {
    let db = TestDatabase::empty().await;
    let owner = Login::make(&db, "owner", "CREATEROLE").await;
    let grant = format!(
        "ALTER DATABASE {} OWNER TO {name}; GRANT plinth_app, plinth_system TO {name} WITH ADMIN OPTION",
        db.name(),
        name = owner.name
    );
    db.superuser().await.batch_execute(&grant).await.unwrap();
    let Some(pooler) = PgBouncer::start(&[(&owner.name, PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &owner.name, PASSWORD);
    let app = TestApp::start_with(db, |config| {
        config
            .database
            .address
            .as_mut()
            .unwrap()
            .user
            .clone_from(&owner.name);
        config.database.pool_size = 24;
        open_through(config, pooled);
        config.setup.domain_slug = Some(ACME.to_owned());
    })
    .await;
    let globex = json!({"slug": GLOBEX, "name": "Globex",
        "admin": {"email": "admin@globex.test", "name": "Admin", "password": PASSWORD}});
    app.operator()
        .await
        .post("/api/v1/domains", &globex)
        .await
        .expect(201);
    mixed_load(&app).await;
    // It was indeed that login, and no other.
    let logins: Vec<String> = app
        .world
        .client()
        .query(
            "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND application_name = 'plinth-api'",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(logins, [owner.name.as_str()]);
    // Also sign-in and its refusal, which enter their domain by other doors.
    let stranger = app.anonymous();
    let wrong = json!({"domain": GLOBEX, "email": "admin@globex.test", "password": "not the password"});
    stranger.post("/api/v1/sessions", &wrong).await.problem(401);
    let right = json!({"domain": GLOBEX, "email": "admin@globex.test", "password": PASSWORD});
    stranger.post("/api/v1/sessions", &right).await.expect(201);
    stranger
        .send(Method::GET, "/api/db/status", None)
        .await
        .expect(200);
    drop((app, pooler, owner));
}

/// No pooler at all, and an owner that may not make roles: the only login there is takes on the role.
#[tokio::test]
async fn one_login_that_may_not_make_roles_takes_on_the_role() {
    let db = TestDatabase::empty().await;
    let owner = Login::make(&db, "only", "NOCREATEROLE").await;
    let grant = format!(
        "ALTER DATABASE {} OWNER TO {name}; GRANT plinth_app, plinth_system TO {name}",
        db.name(),
        name = owner.name
    );
    db.superuser().await.batch_execute(&grant).await.unwrap();
    let app = TestApp::start_with(db, |config| {
        config
            .database
            .address
            .as_mut()
            .unwrap()
            .user
            .clone_from(&owner.name);
        config.setup.domain_slug = Some(ACME.to_owned());
    })
    .await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    app.card(&admin, &board.column, "Card").await;
    // Policies hold it: the operator, in a domain of its own, sees none of it.
    let operator = app.operator().await;
    assert_eq!(
        operator.get("/api/v1/organizations").await.expect(200)["items"],
        json!([])
    );
    operator
        .get(&format!("/api/v1/boards/{}/cards", board.board))
        .await
        .problem(404);
    let made = format!(
        "SELECT FROM pg_roles WHERE rolname = 'plinth_app_{}'",
        app.db.name()
    );
    assert!(app.world.client().query(&made, &[]).await.unwrap().is_empty());
    drop((app, owner));
}

#[tokio::test]
async fn a_superuser_behind_a_pooler_that_knows_only_it_is_refused() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "mighty", "SUPERUSER").await;
    let Some(pooler) = PgBouncer::start(&[(&login.name, PASSWORD)], &[]) else {
        return;
    };
    let mut config = db.config();
    config
        .database
        .address
        .as_mut()
        .unwrap()
        .user
        .clone_from(&login.name);
    open_through(&mut config, pooler.address(&db, &login.name, PASSWORD));
    let error = open_as_configured(&config).await.unwrap_err();
    for word in [
        "is a superuser",
        &login.name,
        "DATABASE_DIRECT_URL",
        "known to the pooler",
    ] {
        assert!(error.contains(word), "{word} is missing: {error}");
    }
}

/// One user in both addresses, and a pooler that looks logins up: the API's own login is used.
#[tokio::test]
async fn a_pooler_that_looks_logins_up_serves_the_apis_own() {
    let db = TestDatabase::new().await;
    let asker = Login::make(&db, "asker", "SUPERUSER").await;
    let query = "auth_query = SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";
    let user = format!("auth_user = {}", asker.name);
    let Some(pooler) = PgBouncer::start(&[(&asker.name, PASSWORD)], &[query, &user]) else {
        return;
    };
    let pooled = pooler.address(&db, &db.address().user, PASSWORD);
    let app = TestApp::start_with(db, |config| open_through(config, pooled)).await;
    let admin = app.admin().await;
    admin.get("/api/v1/organizations").await.expect(200);
    let login = format!("plinth_app_{}", app.db.name());
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1";
    let count: i64 = app
        .world
        .client()
        .query_one(count, &[&login])
        .await
        .unwrap()
        .get(0);
    assert!(count > 0, "nobody is connected as {login}");
    drop((app, pooler, asker));
}

/// PgBouncer's word for a database that is away is no fault of ours.
#[tokio::test]
async fn a_pooler_without_its_database_answers_503() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let settings = [FEW, "query_wait_timeout = 1", "server_check_delay = 0"];
    let Some(pooler) = PgBouncer::start(&[(&login.name, PASSWORD)], &settings) else {
        return;
    };
    let pooled = pooler.address(&db, &login.name, PASSWORD);
    let app = TestApp::start_with(db, |config| open_through(config, pooled)).await;
    let admin = app.admin().await;
    admin.get("/api/v1/organizations").await.expect(200);
    let client = app.world.client();
    // Away for this login alone, the server being everybody's: it may not connect any more, and is thrown out.
    client
        .batch_execute(&format!("ALTER ROLE {} NOLOGIN", login.name))
        .await
        .unwrap();
    let throw_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
    client.execute(throw_out, &[&login.name]).await.unwrap();
    let started = Instant::now();
    let answers = join_all((0..10).map(|_| admin.get("/api/v1/organizations"))).await;
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    for answer in answers {
        assert_eq!(answer.problem(503), "database_unavailable");
    }
    client
        .batch_execute(&format!("ALTER ROLE {} LOGIN", login.name))
        .await
        .unwrap();
    let started = Instant::now();
    while admin.get("/readyz").await.status != 200 {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "not back: {}",
            pooler.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for answer in join_all((0..50).map(|_| admin.get("/api/v1/organizations"))).await {
        answer.expect(200);
    }
    drop((app, pooler, login));
}
