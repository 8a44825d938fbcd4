//! A sign-in that is under way while its account changes; and limits that a proxy's client cannot talk its way around.

use std::time::Duration;

use serde_json::{Value, json};
use test_support::{ACME, PASSWORD, TestDatabase};

use crate::app::TestApp;

const EMAIL: &str = "operator@plinth.test";

fn sign_in(password: &str) -> Value {
    json!({"domain": ACME, "email": EMAIL, "password": password})
}

#[tokio::test]
async fn a_password_change_ends_a_sign_in_that_was_under_way() {
    let app = TestApp::start().await;
    let user = app.world.first_user(ACME).await;
    for round in 0..3 {
        let (old, new) = if round % 2 == 0 {
            (PASSWORD, "another good password")
        } else {
            ("another good password", PASSWORD)
        };
        let owner = app.anonymous().with_session(&app.world.session(ACME, user).await);
        let (base, body) = (app.anonymous(), sign_in(old));
        let attackers: Vec<_> = [0, 20, 40, 60]
            .map(|delay| {
                let (base, body) = (base.clone(), body.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    base.post("/api/v1/sessions", &body).await
                })
            })
            .into();
        let change = json!({"old_password": old, "new_password": new});
        owner.post("/api/v1/me/password", &change).await.expect(204);
        for attacker in attackers {
            let answer = attacker.await.unwrap();
            let Some(cookie) = answer.headers.get("set-cookie") else {
                continue;
            };
            let token = cookie
                .to_str()
                .unwrap()
                .split(['=', ';'])
                .nth(1)
                .unwrap()
                .to_owned();
            app.anonymous()
                .with_session(&token)
                .get("/api/v1/me")
                .await
                .problem(401);
        }
        owner.get("/api/v1/me").await.expect(200);
    }
}

#[tokio::test]
async fn a_forged_address_before_a_trusted_proxys_own_counts_for_nothing() {
    let db = TestDatabase::new().await;
    let app = TestApp::start_with(db, |config| {
        config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.security.login_rate_per_address = 3;
    })
    .await;
    let mut statuses = Vec::new();
    for n in 0..5 {
        // One line from the client, one from the proxy.
        let actor = app
            .anonymous()
            .with_header("x-forwarded-for", &format!("7.7.7.{n}"))
            .and_header("x-forwarded-for", "8.8.8.8");
        let body =
            json!({"domain": ACME, "email": format!("nobody-{n}@acme.test"), "password": "not the password"});
        statuses.push(actor.post("/api/v1/sessions", &body).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}

#[tokio::test]
async fn a_key_that_ends_gives_nothing_that_outlasts_it() {
    let app = TestApp::start().await;
    let user = app.world.first_user(ACME).await;
    let key = app.world.api_key(ACME, user, None).await;
    let end = "UPDATE api_keys SET expires_at = now() + interval '2 minutes'";
    app.world.client().execute(end, &[]).await.unwrap();
    let program = app.anonymous().with_bearer(&key);
    let puppet = app.world.user(ACME, "puppet@acme.test").await;
    let path = format!("/api/v1/users/{puppet}/roles");
    let forever = json!({"role_id": db_core::rbac::SystemRole::Admin.id().uuid()});
    assert_eq!(program.post(&path, &forever).await.problem(403), "forbidden");
    app.admin().await.post(&path, &forever).await.expect(201);
}

#[tokio::test]
async fn clients_that_hang_up_cost_no_connection() {
    let app = TestApp::start().await;
    let address = app.base.trim_start_matches("http://").to_owned();
    app.admin().await.get("/api/v1/me").await.expect(200);
    let backends = async || -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE 'plinth_app_%' ORDER BY 1";
        app.world
            .client()
            .query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let request = format!(
            "GET /api/v1/me HTTP/1.1\r\nHost: {address}\r\nCookie: plinth_session={}\r\n\r\n",
            "0".repeat(64)
        );
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        drop(stream);
        seen.extend(backends().await);
    }
    assert!(
        seen.len() <= 8,
        "connections were thrown away: {} backends for 200 requests",
        seen.len()
    );
}
