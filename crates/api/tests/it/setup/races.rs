//! Several at once, two servers, a database that is away or breaks off.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use test_support::{Actor, TestDatabase, test_server};

use super::{SETUP, files, fresh, owner, unconfigured};
use crate::app::{Server, TestApp};

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
    let second = Server::start(second_config);
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
    let waiting = Server::start(config);
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

/// What the environment asks for is done as soon as the database is there.
#[tokio::test]
async fn a_server_that_starts_before_its_database_sets_it_up_later() {
    let directory = tempfile::tempdir().unwrap();
    let db = TestDatabase::empty().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let host = elsewhere.path().join("pg");
    let app = TestApp::start_with(db, |config| {
        unconfigured(config, directory.path());
        config.database.address.as_mut().unwrap().host = host.to_string_lossy().into_owned();
        config.setup.domain_slug = Some("acme".to_owned());
    })
    .await;
    let stranger = app.anonymous();
    assert_eq!(stranger.get("/readyz").await.problem(503), "database_unavailable");
    std::os::unix::fs::symlink(&test_server().socket_dir, &host).unwrap();
    let started = Instant::now();
    while stranger.get("/readyz").await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(20), "it is not set up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let slugs = "SELECT count(*) FROM domains WHERE slug = 'acme'";
    let count: i64 = app.world.client().query_one(slugs, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
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
    db_migrate::Migrator::new(app.db.owner().connector(), Duration::from_secs(30))
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
