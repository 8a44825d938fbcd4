//! Deactivated accounts: out at their next request; and the last Admin is never one.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, Actor, PASSWORD};

use crate::app::TestApp;
use crate::people::{Person, api_key, first_admin, noted, noted_at_all, with};

fn user(person: &Person) -> String {
    format!("/api/v1/users/{}", person.id)
}

fn sign_in(email: &str, password: &str) -> Value {
    json!({"domain": ACME, "email": email, "password": password})
}

#[tokio::test]
async fn a_deactivated_account_is_out_at_its_next_request() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let new = json!({"email": "ann@example.test", "name": "Ann", "password": PASSWORD});
    let ann = admin.post("/api/v1/users", &new).await.expect(201);
    let id = ann["id"].as_str().unwrap().parse().unwrap();
    let session = app.anonymous().with_session(&app.world.session(ACME, id).await);
    let key = api_key(&app, id, &["card:read"]).await;
    for actor in [&session, &key] {
        actor.get("/api/v1/me").await.expect(200);
    }
    let path = format!("/api/v1/users/{id}");
    let gone = admin
        .post(&format!("{path}/deactivate"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&gone["status"], &gone["version"]),
        (&json!("deactivated"), &json!(2))
    );
    for actor in [&session, &key] {
        assert_eq!(actor.get("/api/v1/me").await.problem(401), "unauthenticated");
    }
    app.anonymous()
        .post("/api/v1/sessions", &sign_in("ann@example.test", PASSWORD))
        .await
        .problem(401);
    let before = noted_at_all(&app).await;
    let again = admin
        .post(&format!("{path}/deactivate"), &json!({}))
        .await
        .expect(200);
    assert_eq!(again, gone);
    assert_eq!(
        noted_at_all(&app).await,
        before,
        "nothing was changed, nothing is noted"
    );

    let back = admin
        .post(&format!("{path}/reactivate"), &json!({}))
        .await
        .expect(200);
    assert_eq!(back["status"], "active");
    assert_eq!(session.get("/api/v1/me").await.problem(401), "unauthenticated");
    key.get("/api/v1/me").await.expect(200);
    app.anonymous()
        .post("/api/v1/sessions", &sign_in("ann@example.test", PASSWORD))
        .await
        .expect(201);
    for action in ["user.deactivate", "user.reactivate"] {
        assert_eq!(noted(&app, action, "success").await, 1);
    }
}

#[tokio::test]
async fn the_last_admin_cannot_be_deactivated() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let away = format!("{}/deactivate", user(&admin));
    assert_eq!(
        admin.actor.post(&away, &json!({})).await.problem(409),
        "last_admin"
    );
    admin.actor.get("/api/v1/users").await.expect(200);
    with(&app, SystemRole::Admin).await;
    admin.actor.post(&away, &json!({})).await.expect(200);
    assert_eq!(
        admin.actor.get("/api/v1/users").await.problem(401),
        "unauthenticated"
    );
    // The last operator of the platform is its last Admin.
    let operator = app.operator().await;
    let id = app.world.first_user("platform").await;
    let away = format!("/api/v1/users/{id}/deactivate");
    assert_eq!(operator.post(&away, &json!({})).await.problem(409), "last_admin");
}

/// Holds the domain's Admin lock until both requests wait for it, so that neither is decided before both are under way.
async fn at_once(app: &TestApp, requests: [(Actor, &str, String); 2]) -> Vec<(u16, Value)> {
    let holder = app.db.superuser().await;
    let domain = app.world.domain(ACME).await.to_string();
    let lock = "SELECT pg_advisory_lock(hashtextextended('plinth_last_admin ' || $1, 0))";
    holder.execute(lock, &[&domain]).await.unwrap();
    let tasks = requests.map(|(actor, method, path)| {
        let method = method.parse().unwrap();
        tokio::spawn(async move { actor.send(method, &path, None).await })
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for attempt in 0.. {
        let count: i64 = app.world.client().query_one(waiting, &[]).await.unwrap().get(0);
        if count == 2 {
            break;
        }
        assert!(attempt < 500, "{count} of two wait");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    holder
        .execute("SELECT pg_advisory_unlock_all()", &[])
        .await
        .unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        outcomes.push((answer.status.as_u16(), answer.json()["code"].clone()));
    }
    outcomes.sort_by_key(|(status, _)| *status);
    outcomes
}

#[tokio::test]
async fn two_at_once_do_not_deactivate_the_last_two_admins() {
    let app = TestApp::start().await;
    let (one, two) = (first_admin(&app).await, with(&app, SystemRole::Admin).await);
    let away = |person: &Person| format!("{}/deactivate", user(person));
    let active = "SELECT count(*) FROM users WHERE status = 'active' AND id = ANY ($1)";
    let assignment = app
        .world
        .client()
        .query_one("SELECT id FROM user_roles WHERE user_id = $1", &[&two.id])
        .await
        .unwrap()
        .get::<_, uuid::Uuid>(0);
    for pair in [
        // Each the other, each themselves, one deactivated while the other is demoted.
        [(&one, "POST", away(&two)), (&two, "POST", away(&one))],
        [(&one, "POST", away(&one)), (&two, "POST", away(&two))],
        [
            (&one, "POST", away(&one)),
            (&two, "DELETE", format!("{}/{assignment}", two.roles())),
        ],
    ] {
        app.world
            .client()
            .execute("UPDATE users SET status = 'active'", &[])
            .await
            .unwrap();
        app.world
            .client()
            .execute("UPDATE sessions SET revoked_at = NULL", &[])
            .await
            .unwrap();
        let requests = pair.map(|(person, method, path)| (person.actor.clone(), method, path));
        let outcomes = at_once(&app, requests).await;
        assert!(outcomes[0].0 < 300, "{outcomes:?}");
        assert_eq!(outcomes[1], (409, json!("last_admin")), "{outcomes:?}");
        let admins =
            "SELECT count(*) FROM user_roles ur JOIN users u ON u.id = ur.user_id WHERE u.status = 'active'
                         AND ur.role_id = $1 AND u.id = ANY ($2)";
        let (role, ids) = (SystemRole::Admin.id().uuid(), [one.id, two.id]);
        let left: i64 = app
            .world
            .client()
            .query_one(admins, &[&role, &ids.as_slice()])
            .await
            .unwrap()
            .get(0);
        assert_eq!(left, 1);
        let alive: i64 = app
            .world
            .client()
            .query_one(active, &[&ids.as_slice()])
            .await
            .unwrap()
            .get(0);
        assert!(alive >= 1);
    }
}
