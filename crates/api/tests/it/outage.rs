//! PostgreSQL goes away under a running server, and comes back.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use app_config::{Config, DatabaseAddress};
use futures_util::future::join_all;
use local_postgres::{Durability, LocalPostgres, Options};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;
use test_support::{Actor, KEY, Method, TestDatabase, World};

use crate::app::{Server, TestApp};
use crate::jobs;

/// How long an answer may take while the database is away: its own limits add up to less, and the machine may be busy.
const BOUND: Duration = Duration::from_secs(10);

/// A cluster of the test's own, which may be stopped without hurting others, and a server before it.
struct Outage {
    server: Server,
    postgres: Option<LocalPostgres>,
    directory: TempDir,
    admin: Actor,
    /// Path of the cards of a column.
    cards: String,
}

fn start(directory: &TempDir) -> LocalPostgres {
    let mut options = Options::new(directory.path(), Durability::Disposable);
    // What is acknowledged must survive the server, though not the machine.
    options
        .settings
        .push(("synchronous_commit".to_owned(), "on".to_owned()));
    std::thread::spawn(|| LocalPostgres::start(options).unwrap())
        .join()
        .unwrap()
}

impl Outage {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = start(&directory);
        let address = DatabaseAddress::from(postgres.address());
        let mut config = Config::default();
        config.database.address = Some(address.clone());
        config.database.pool_size = 8;
        config.security.encryption_key = Some(SecretString::from(KEY));
        config.setup.domain_slug = Some("acme".to_owned());
        config.paths.persistent_dir = directory.path().join("persistent_data");
        let server = Server::start(config);
        let world = world(&address).await;
        let user = world.first_user("acme").await;
        let admin = Actor::anonymous(&server.base).with_session(&world.session("acme", user).await);
        let (_, column) = world.column("acme").await;
        let outage = Self {
            server,
            postgres: Some(postgres),
            directory,
            admin,
            cards: format!("/api/v1/columns/{column}/cards"),
        };
        // Both workers have connections that will be dead.
        outage.fifty_requests("Before").await;
        outage
    }

    fn stranger(&self) -> Actor {
        Actor::anonymous(&self.server.base)
    }

    /// Reads and writes at once, none of which may fail.
    async fn fifty_requests(&self, title: &str) {
        let answers = join_all((0..50).map(|n| {
            let title = format!("{title} {n}");
            async move {
                if n % 2 == 0 {
                    self.admin
                        .post(&self.cards, &json!({"title": title}))
                        .await
                        .expect(201);
                } else {
                    self.admin.get(&self.cards).await.expect(200);
                }
            }
        }));
        answers.await;
    }

    async fn titles(&self) -> i64 {
        let address = DatabaseAddress::from(self.postgres.as_ref().unwrap().address());
        let world = world(&address).await;
        let count = "SELECT count(DISTINCT title) FROM cards";
        world.client().query_one(count, &[]).await.unwrap().get(0)
    }
}

async fn world(address: &DatabaseAddress) -> World {
    let libpq = format!(
        "host={} port={} dbname={} user={}",
        address.host, address.port, address.database, address.user
    );
    let (client, connection) = tokio_postgres::connect(&libpq, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    World::new(client)
}

#[tokio::test]
async fn a_stopped_database_is_said_to_be_away_and_served_again_when_back() {
    let mut outage = Outage::new().await;
    let stranger = outage.stranger();
    stranger.get("/readyz").await.expect(200);
    let postgres = outage.postgres.take().unwrap();
    std::thread::spawn(|| postgres.stop().unwrap()).join().unwrap();

    let stopped = Instant::now();
    let ready = stranger.get("/readyz").await;
    assert!(
        stopped.elapsed() < Duration::from_secs(2),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(ready.problem(503), "database_unavailable");
    assert!(ready.headers.contains_key("retry-after"));
    let started = Instant::now();
    let answers = join_all((0..40).map(|n| {
        let (outage, stranger) = (&outage, &stranger);
        async move {
            match n % 4 {
                0 => (503, outage.admin.get(&outage.cards).await),
                1 => (
                    503,
                    outage.admin.post(&outage.cards, &json!({"title": "Lost"})).await,
                ),
                2 => {
                    let body = json!({"domain": "acme", "email": "a@b.test", "password": "0123456789"});
                    (503, stranger.post("/api/v1/sessions", &body).await)
                }
                _ => (200, stranger.get("/healthz").await),
            }
        }
    }))
    .await;
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    for (wanted, answer) in answers {
        assert_eq!(answer.status, wanted, "{}", answer.text);
        if wanted == 503 {
            assert_eq!(answer.problem(503), "database_unavailable");
            assert!(answer.headers.contains_key("retry-after"));
            assert!(
                !answer.text.contains("socket"),
                "it tells of the inside: {}",
                answer.text
            );
        }
    }
    assert_eq!(
        stranger.get("/api/db/status").await.expect(200),
        json!({"configured": false, "initialized": false, "dialect": "postgresql"})
    );

    outage.postgres = Some(start(&outage.directory));
    tokio::time::sleep(Duration::from_secs(1)).await;
    stranger.get("/readyz").await.expect(200);
    outage.fifty_requests("After").await;
    assert_eq!(
        outage.titles().await,
        50,
        "each acknowledged card is there, and the lost one is not"
    );
}

/// Nobody notices in between: every connection of the pools is dead when the next request comes.
#[tokio::test]
async fn after_an_immediate_restart_no_dead_connection_is_felt() {
    let outage = Outage::new().await;
    for round in 0..3 {
        let postgres = outage.postgres.as_ref().unwrap();
        let pid = postgres.postmaster_pid().unwrap().to_string();
        // An immediate shutdown: no farewell to the clients, recovery at the next start.
        assert!(
            Command::new("kill")
                .args(["-QUIT", &pid])
                .status()
                .unwrap()
                .success()
        );
        while postgres.postmaster_pid().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::thread::scope(|scope| scope.spawn(|| postgres.ensure_running().unwrap()).join().unwrap());
        outage.fifty_requests(&format!("Round {round}")).await;
    }
    assert_eq!(outage.titles().await, 25 * 4);
}

/// Requests that are under way get their answer or a 503, never a fault of ours.
#[tokio::test]
async fn a_restart_under_load_gives_nothing_but_answers_and_503() {
    let outage = Outage::new().await;
    let load = async {
        let mut statuses = Vec::new();
        let until = Instant::now() + Duration::from_secs(4);
        while Instant::now() < until {
            let batch = join_all((0..20).map(|n| {
                let outage = &outage;
                async move {
                    let (method, body) = match n % 2 {
                        0 => (Method::GET, None),
                        _ => (Method::POST, Some(json!({"title": "Under load"}))),
                    };
                    let answer = outage.admin.send(method, &outage.cards, body.as_ref()).await;
                    let status = answer.status.as_u16();
                    assert!(matches!(status, 200 | 201 | 503), "{}", answer.text);
                    status
                }
            }));
            statuses.extend(batch.await);
        }
        statuses
    };
    let postgres = outage.postgres.as_ref().unwrap();
    let restart = async {
        for signal in ["-QUIT", "-INT"] {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let pid = postgres.postmaster_pid().unwrap().to_string();
            assert!(
                Command::new("kill")
                    .args([signal, &pid])
                    .status()
                    .unwrap()
                    .success()
            );
            while postgres.postmaster_pid().is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            std::thread::scope(|scope| scope.spawn(|| postgres.ensure_running().unwrap()).join().unwrap());
        }
    };
    let (statuses, ()) = futures_util::future::join(load, restart).await;
    let served = statuses.iter().filter(|status| **status != 503).count();
    assert!(served > 100, "{served} of {}", statuses.len());
    outage.fifty_requests("After").await;
}

/// The worker in the server outlives the outage as the pools of requests do.
#[tokio::test]
async fn jobs_go_on_when_the_database_is_back() {
    let mut outage = Outage::new().await;
    let postgres = outage.postgres.take().unwrap();
    std::thread::spawn(|| postgres.stop().unwrap()).join().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    outage.postgres = Some(start(&outage.directory));
    let address = DatabaseAddress::from(outage.postgres.as_ref().unwrap().address());
    let world = world(&address).await;
    let assignment = jobs::ended_assignment(&world).await;
    jobs::enqueue_expiry(&world).await;
    jobs::until(&world, &jobs::gone(assignment)).await;
}

/// The answer of the time limit comes from outside of any handler, and is a whole answer all the same.
#[tokio::test]
async fn a_request_that_takes_too_long_is_told_so() {
    let app = TestApp::start_with(TestDatabase::new().await, |config| {
        config.server.request_timeout = Duration::from_millis(400);
    })
    .await;
    let admin = app.admin().await;
    admin.get("/api/v1/organizations").await.expect(200);
    let client = app.world.client();
    client
        .batch_execute("BEGIN; LOCK TABLE organizations IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let answer = admin.get("/api/v1/organizations").await;
    assert_eq!(answer.problem(503), "timeout");
    for header in ["retry-after", "x-content-type-options", "content-security-policy"] {
        assert!(
            answer.headers.contains_key(header),
            "{header} is missing: {:?}",
            answer.headers
        );
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    admin.get("/api/v1/organizations").await.expect(200);
}
