//! Poolers that are wrongly set, or before a database that is away.

use std::time::{Duration, Instant};

use app_config::{Config, DatabaseAddress};
use db_core::secrets::keyring::Keyring;
use db_core::{Clock, Db, Owner};
use futures_util::future::join_all;
use secrecy::SecretString;
use test_support::{KEY, PASSWORD, TestDatabase};

use super::{FEW, Login, PgBouncer, open_through};
use crate::app::TestApp;

async fn open(db: &TestDatabase, pooled: DatabaseAddress) -> Result<Db, String> {
    let mut config = db.config();
    open_through(&mut config, pooled);
    open_as_configured(&config).await
}

async fn open_as_configured(config: &Config) -> Result<Db, String> {
    let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
    let owner = Owner::from_config(&config.database, "tests").unwrap();
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
