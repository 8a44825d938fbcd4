//! A schema that somebody changed by hand: said in readiness and in the metrics, and no reason not to serve.

use std::sync::atomic::Ordering;
use std::time::Duration;

use db_core::Clock;
use test_support::{Actor, KEY, TestDatabase};

use crate::app::{Server, metrics};
use crate::process::{Program, url};

#[tokio::test]
async fn a_drifted_schema_is_said_and_served() {
    let db = TestDatabase::new().await;
    for (sql, schema, metric) in [
        ("SELECT 1", "clean", "plinth_schema_drift 0"),
        ("DROP INDEX cards_board_idx", "drifted", "plinth_schema_drift 1"),
        (
            "UPDATE plinth_migrations SET schema_fingerprint = NULL",
            "unknown",
            "plinth_schema_drift NaN",
        ),
    ] {
        db.superuser().await.batch_execute(sql).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let program = Program::new(directory.path())
            .with("DATABASE_URL", &url(&db, "plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
            .serve()
            .await;
        let ready = program.actor().get("/readyz").await.expect(200);
        assert_eq!(ready["status"], "ok");
        assert_eq!(ready["schema"], schema);
        let metrics = Actor::anonymous(&program.metrics).get("/metrics").await;
        assert!(
            metrics.text.lines().any(|line| line == metric),
            "no {metric} in {}",
            metrics.text
        );
        assert_eq!(
            program.log().contains("plinth-ops migrate drift"),
            schema == "drifted"
        );
    }
}

#[tokio::test]
async fn it_is_looked_at_again_after_five_minutes() {
    let db = TestDatabase::new().await;
    let client = db.superuser().await;
    let clock = Clock::fixed(Clock::System.now());
    let server = Server::start_by(db.config(), clock.clone());
    let stranger = Actor::anonymous(&server.base);
    let pass = |milliseconds: i64| {
        let Clock::Fixed(now) = &clock else { unreachable!() };
        now.fetch_add(milliseconds, Ordering::Relaxed);
    };
    let says = async |schema: &str, drift: &str| {
        let ready = stranger.get("/readyz").await.expect(200);
        let line = format!("plinth_schema_drift {drift}");
        ready["schema"] == schema && metrics().lines().any(|found| found == line)
    };
    let comes_to_say = async |schema: &str, drift: &str| {
        // Who asks does not wait for the look that it begins.
        for _ in 0..400 {
            if says(schema, drift).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never {schema}:\n{}", metrics());
    };
    assert!(says("clean", "0").await);

    client
        .batch_execute("ALTER TABLE cards ADD COLUMN color text")
        .await
        .unwrap();
    pass(300_000);
    assert!(says("clean", "0").await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        says("clean", "0").await,
        "looked again before five minutes were over"
    );
    pass(1);
    comes_to_say("drifted", "1").await;

    client
        .batch_execute("ALTER TABLE cards DROP COLUMN color")
        .await
        .unwrap();
    pass(300_000);
    assert!(says("drifted", "1").await);
    pass(1);
    comes_to_say("clean", "0").await;

    // A clock that is set back does not stop it.
    client.batch_execute("DROP INDEX cards_board_idx").await.unwrap();
    pass(-86_400_000);
    comes_to_say("drifted", "1").await;
}
