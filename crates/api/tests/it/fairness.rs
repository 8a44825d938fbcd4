//! Nobody takes all: not the connections by slow requests, not the activity stream by denials.

use std::cell::Cell;
use std::time::Duration;

use app_config::Config;
use db_core::rbac::SystemRole;
use futures_util::future::{join, join_all};
use serde_json::json;
use test_support::{ACME, Actor, GLOBEX, PASSWORD, TestDatabase};

use crate::app::{TestApp, make};
use crate::people::{api_key, noted, noted_at_all, with};

/// Two workers with four connections each, of which one domain may hold three.
fn eight_connections(config: &mut Config) {
    config.database.pool_size = 8;
    config.database.domain_share = 0.75;
    config.database.acquire_timeout = Duration::from_secs(1);
}

fn is_told_to_wait(answer: &test_support::Answer, code: &str, most: u64) {
    assert_eq!(answer.problem(429), code);
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=most).contains(&seconds), "{seconds}");
}

/// Requests of acme that wait for a row until the test lets go of it, by so many sessions, each at once.
async fn with_acme_slow<T>(
    app: &TestApp,
    actors: &[Actor],
    meanwhile: impl AsyncFnOnce() -> T,
) -> (Vec<test_support::Answer>, T) {
    let organization = make(
        &app.admin().await,
        "/api/v1/organizations",
        json!({"slug": "slow", "name": "Slow"}),
    )
    .await;
    let client = app.db.superuser().await;
    client
        .batch_execute("BEGIN; SELECT FROM organizations WHERE slug = 'slow' FOR UPDATE")
        .await
        .unwrap();
    let path = format!("/api/v1/organizations/{organization}");
    let slow = join_all((0..32).map(|number| {
        let (actor, path) = (&actors[number % actors.len()], &path);
        async move { actor.patch(path, &json!({"name": "Slower"})).await }
    }));
    let meanwhile = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let seen = meanwhile().await;
        // Until those who wait for a share have given up.
        tokio::time::sleep(Duration::from_millis(5_600)).await;
        client.batch_execute("ROLLBACK").await.unwrap();
        seen
    };
    join(slow, meanwhile).await
}

async fn others_are_served(app: &TestApp) {
    let theirs = app.other_admin().await;
    let fresh = app.other_admin().await;
    let key = app.anonymous().with_bearer(
        &app.world
            .api_key(GLOBEX, app.world.first_user(GLOBEX).await, None)
            .await,
    );
    let answers = join_all(
        [&theirs, &fresh, &key, &theirs, &fresh, &key, &theirs, &fresh]
            .map(|actor| actor.get("/api/v1/organizations")),
    )
    .await;
    for answer in answers {
        answer.expect(200);
    }
    app.anonymous().get("/readyz").await.expect(200);
    // Signing in too, even to the domain that is slow.
    for (domain, email) in [(GLOBEX, "admin@globex.test"), (ACME, "operator@plinth.test")] {
        let body = json!({"domain": domain, "email": email, "password": PASSWORD});
        app.anonymous().post("/api/v1/sessions", &body).await.expect(201);
    }
}

#[tokio::test]
async fn a_domain_with_slow_requests_leaves_connections_to_others() {
    let app = TestApp::start_with(TestDatabase::new().await, eight_connections).await;
    let hostile = [app.admin().await];
    let (answers, ()) = with_acme_slow(&app, &hostile, async || others_are_served(&app).await).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(
        (3..=6).contains(&done.len()),
        "{} were under way at once",
        done.len()
    );
    for answer in &refused {
        is_told_to_wait(answer, "too_many_at_once", 1);
    }
    // Over is over.
    hostile[0].get("/api/v1/organizations").await.expect(200);
}

#[tokio::test]
async fn many_sessions_and_keys_of_a_domain_have_one_share() {
    let app = TestApp::start_with(TestDatabase::new().await, eight_connections).await;
    let mut hostile = Vec::new();
    for _ in 0..4 {
        // Neither was seen by this process before.
        hostile.push(app.admin().await);
        let key = app
            .world
            .api_key(ACME, app.world.first_user(ACME).await, None)
            .await;
        hostile.push(app.anonymous().with_bearer(&key));
    }
    let (answers, ()) = with_acme_slow(&app, &hostile, async || others_are_served(&app).await).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((3..=6).contains(&done), "{done} were under way at once");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        is_told_to_wait(answer, "too_many_at_once", 1);
    }
}

/// Who has a turn at hashing while their domain waits for connections would keep all others from theirs.
#[tokio::test]
async fn a_domain_that_waits_for_its_share_keeps_nobody_from_hashing() {
    let app = TestApp::start_with(TestDatabase::new().await, eight_connections).await;
    let hostile = [app.admin().await];
    let (theirs, ours) = (app.other_admin().await, app.admin().await);
    let account = |email: &str| json!({"email": email, "name": "New", "password": PASSWORD});
    let given_up = Cell::new(0);
    with_acme_slow(&app, &hostile, async || {
        let stuck = join_all((0..4).map(|number| {
            let (ours, given_up, body) = (&ours, &given_up, account(&format!("n{number}@acme.test")));
            async move {
                ours.post("/api/v1/users", &body).await;
                given_up.set(given_up.get() + 1);
            }
        }));
        let other = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            theirs
                .post("/api/v1/users", &account("new@globex.test"))
                .await
                .expect(201);
            assert_eq!(given_up.get(), 0, "it had to wait for the others");
        };
        join(stuck, other).await
    })
    .await;
}

#[tokio::test]
async fn who_is_denied_too_often_has_to_wait() {
    let change = |config: &mut Config| config.security.denial_rate_per_credential = 5;
    let app = TestApp::start_with(TestDatabase::new().await, change).await;
    let viewer = with(&app, SystemRole::Viewer).await;
    let beside = app
        .anonymous()
        .with_session(&app.world.session(ACME, viewer.id).await);
    let new = json!({"slug": "new", "name": "New"});
    let path = "/api/v1/organizations";
    // Each denial has its row, and so has the one that is one too many.
    for number in 1..=6 {
        assert_eq!(viewer.actor.post(path, &new).await.problem(403), "forbidden");
        assert_eq!(noted(&app, "organization:create", "denied").await, number);
    }
    let rows = noted_at_all(&app).await;
    for _ in 0..3 {
        is_told_to_wait(&viewer.actor.post(path, &new).await, "too_many_denials", 13);
        is_told_to_wait(&viewer.actor.get(path).await, "too_many_denials", 13);
    }
    assert_eq!(noted_at_all(&app).await, rows, "nothing more was written");
    // Neither the person's other session nor anybody else has to wait.
    beside.get(path).await.expect(200);
    assert_eq!(beside.post(path, &new).await.problem(403), "forbidden");
    app.admin().await.get(path).await.expect(200);

    let key = api_key(&app, viewer.id, &["card:read"]).await;
    for _ in 0..6 {
        assert_eq!(key.get("/api/v1/me/sessions").await.problem(403), "forbidden");
    }
    is_told_to_wait(&key.get("/api/v1/me").await, "too_many_denials", 13);
}
