//! What was run with backups: platform operators see it, and nobody else.

use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn an_operator_sees_runs_and_how_old_the_last_proof_is() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let nothing = operator.get("/api/v1/backups/latest").await.expect(200);
    assert_eq!(nothing, json!({"backup": null, "drill": null, "restore": null}));
    app.db
        .superuser()
        .await
        .batch_execute(
            "INSERT INTO backup_runs (id, kind, state, backup, location, snapshot_at, started_at, finished_at, size_bytes, details, error, plinth_version)
             SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, kind, state, 'b' || n, '/var/backups', now() - age, now() - age, now() - age,
                    7, '{\"rows\": 5}', CASE state WHEN 'failed' THEN 'the disk is full' END, '0.1.0'
               FROM (VALUES (1, 'backup', 'succeeded', interval '2 days'), (2, 'drill', 'succeeded', interval '2 days'),
                            (3, 'backup', 'succeeded', interval '1 day'), (4, 'drill', 'failed', interval '1 day')) v(n, kind, state, age)",
        )
        .await
        .unwrap();
    let latest = operator.get("/api/v1/backups/latest").await.expect(200);
    assert_eq!(latest["backup"]["run"]["backup"], "b3");
    assert_eq!(
        latest["drill"]["run"]["backup"], "b2",
        "a failed drill proves nothing"
    );
    let age = |kind: &str| latest[kind]["age_seconds"].as_f64().unwrap();
    assert!(
        (86_400.0..86_500.0).contains(&age("backup")) && (172_800.0..172_900.0).contains(&age("drill")),
        "{latest}"
    );
    assert!(latest["restore"].is_null());

    let listed = operator.get("/api/v1/backups?limit=3").await.expect(200);
    let names: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["backup"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["b4", "b3", "b2"]);
    assert_eq!(listed["items"][0]["error"], "the disk is full");
    assert_eq!(listed["items"][0]["details"]["rows"], 5);
    let next = format!(
        "/api/v1/backups?limit=3&cursor={}",
        listed["next_cursor"].as_str().unwrap()
    );
    assert_eq!(
        operator.get(&next).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let drills = operator.get("/api/v1/backups?kind=drill").await.expect(200);
    assert_eq!(drills["items"].as_array().unwrap().len(), 2);

    let admin = app.admin().await;
    admin.get("/api/v1/backups").await.expect(403);
    admin.get("/api/v1/backups/latest").await.expect(403);
}
