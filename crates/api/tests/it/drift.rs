//! A schema that somebody changed by hand: said in readiness and in the metrics, and no reason not to serve.

use test_support::{Actor, KEY, TestDatabase};

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
