//! Metrics, on an address of their own.

use test_support::{Actor, KEY, TestDatabase};

use crate::process::{Program, url};

#[tokio::test]
async fn metrics_have_requests_and_transactions_on_an_address_of_their_own() {
    let (db, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let program = Program::new(directory.path())
        .with("DATABASE_URL", &url(&db, "plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .serve()
        .await;
    let stranger = program.actor().with_session("unknown");
    stranger.get("/api/v1/organizations").await.problem(401);
    stranger.get("/nowhere").await.problem(404);
    stranger
        .send("BREW".parse().unwrap(), "/healthz", None)
        .await
        .problem(405);

    let metrics = Actor::anonymous(&program.metrics).get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert_eq!(
        metrics.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let line = |start: &str, labels: &[&str]| {
        let found = metrics.text.lines().find(|line| {
            line.starts_with(start) && labels.iter().all(|label| line.contains(label)) && line.ends_with(" 1")
        });
        assert!(
            found.is_some(),
            "no {start} with {labels:?} once in {}",
            metrics.text
        );
    };
    let route = [
        "method=\"GET\"",
        "route=\"/api/v1/organizations\"",
        "status=\"401\"",
    ];
    line("plinth_http_request_seconds_count{", &route);
    line(
        "plinth_http_request_seconds_bucket{",
        &[&route[..], &["le=\"+Inf\""]].concat(),
    );
    // What strangers write in their requests is no label.
    line(
        "plinth_http_request_seconds_count{",
        &["method=\"GET\"", "route=\"none\"", "status=\"404\""],
    );
    line(
        "plinth_http_request_seconds_count{",
        &["method=\"other\"", "status=\"405\""],
    );
    assert!(
        !metrics.text.contains("nowhere") && !metrics.text.contains("BREW"),
        "{}",
        metrics.text
    );
    line(
        "plinth_transaction_seconds_count{",
        &["name=\"domain_of\"", "outcome=\"refused\""],
    );
    line(
        "plinth_transaction_seconds_bucket{",
        &["name=\"domain_of\"", "le=\"+Inf\""],
    );
    // Neither address serves what is the other's.
    program.actor().get("/metrics").await.problem(404);
    assert_eq!(
        Actor::anonymous(&program.metrics)
            .get("/api/v1/organizations")
            .await
            .status,
        404
    );
}
