//! How often a password may be tried.

use serde_json::{Value, json};
use test_support::{ACME, GLOBEX, PASSWORD, TestDatabase};

use crate::app::TestApp;
use crate::people::rows;

const NEW: &str = "a password that nobody has had before";

fn must_wait(answer: &test_support::Answer) {
    assert_eq!(answer.problem(429), "too_many_attempts");
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_account_cannot_be_guessed_at_for_long() {
    let change = |config: &mut app_config::Config| config.security.login_rate_per_account = 3;
    let app = TestApp::start_with(TestDatabase::new().await, change).await;
    let attempt = |domain: Value, email: &str, password: &str| json!({"domain": domain, "email": email, "password": password});
    let nobody = app.anonymous();
    for email in [
        "operator@plinth.test",
        "Operator@plinth.test",
        "OPERATOR@PLINTH.TEST",
    ] {
        let answer = nobody
            .post("/api/v1/sessions", &attempt(json!(ACME), email, "wrong"))
            .await;
        assert_eq!(answer.problem(401), "unauthenticated");
    }
    let before = rows(&app, "activity_stream").await;
    // Not even the right password counts now, whatever way the domain is said.
    for (domain, host) in [
        (json!(ACME), "localhost"),
        (json!("nowhere"), "localhost"),
        (json!(null), "a.test"),
        (json!(null), "b.test"),
    ] {
        let nobody = nobody
            .with_header("host", host)
            .with_header("x-forwarded-for", "203.0.113.9");
        must_wait(
            &nobody
                .post(
                    "/api/v1/sessions",
                    &attempt(domain, "operator@plinth.test", PASSWORD),
                )
                .await,
        );
    }
    assert_eq!(
        rows(&app, "activity_stream").await,
        before,
        "the database was not asked"
    );
    let other = attempt(json!(GLOBEX), "admin@globex.test", PASSWORD);
    nobody.post("/api/v1/sessions", &other).await.expect(201);

    // Whoever found a session open guesses the password no faster.
    let found = app.admin().await;
    let guess = json!({"old_password": "wrong", "new_password": NEW});
    for _ in 0..3 {
        assert_eq!(
            found.post("/api/v1/me/password", &guess).await.problem(422),
            "invalid"
        );
    }
    let right = json!({"old_password": PASSWORD, "new_password": NEW});
    must_wait(&found.post("/api/v1/me/password", &right).await);
    let again = app.admin().await;
    must_wait(&again.post("/api/v1/me/password", &right).await);
}

#[tokio::test]
async fn who_guesses_from_one_network_does_not_lock_the_owner_out_of_others() {
    let app = TestApp::start_with(TestDatabase::new().await, |config| {
        config.security.login_rate_per_account = 2;
        config.security.login_rate_per_account_total = 6;
        config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    let attempt = async |ip: &str, password: &str| {
        let body = json!({"domain": ACME, "email": "operator@plinth.test", "password": password});
        let from = app.anonymous().with_header("x-forwarded-for", ip);
        from.post("/api/v1/sessions", &body).await
    };
    for ip in ["203.0.113.1", "203.0.113.2"] {
        assert_eq!(attempt(ip, "wrong").await.problem(401), "unauthenticated");
    }
    // The whole network has to wait, even with the right password; others do not.
    must_wait(&attempt("203.0.113.3", PASSWORD).await);
    attempt("198.51.100.7", PASSWORD).await.expect(201);
    for ip in ["2001:db8:1:2::1", "2001:db8:1:2:3::1"] {
        assert_eq!(attempt(ip, "wrong").await.problem(401), "unauthenticated");
    }
    must_wait(&attempt("2001:db8:1:2:4::1", PASSWORD).await);
    // From everywhere together there is an end to it too.
    assert_eq!(
        attempt("192.0.2.1", "wrong").await.problem(401),
        "unauthenticated"
    );
    must_wait(&attempt("192.0.3.1", PASSWORD).await);
}

#[tokio::test]
async fn an_address_cannot_try_one_account_after_the_other() {
    let change = |config: &mut app_config::Config| config.security.login_rate_per_address = 3;
    let app = TestApp::start_with(TestDatabase::new().await, change).await;
    let attempt = |number: usize| json!({"domain": ACME, "email": format!("user{number}@acme.test"), "password": "wrong"});
    for number in 0..3 {
        let answer = app.anonymous().post("/api/v1/sessions", &attempt(number)).await;
        assert_eq!(answer.problem(401), "unauthenticated");
    }
    // A stranger's word on where it comes from counts for nothing.
    let liar = app.anonymous().with_header("x-forwarded-for", "203.0.113.9");
    must_wait(&liar.post("/api/v1/sessions", &attempt(4)).await);
}
