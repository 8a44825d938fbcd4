//! Background jobs: operators see and steer those of all domains, and a server runs them itself where it is told to.

use std::time::{Duration, Instant};

use db_core::Clock;
use db_core::jobs::housekeeping::EXPIRE_ASSIGNMENTS;
use serde_json::{Value, json};
use test_support::{ACME, Actor, GLOBEX, KEY, TestDatabase, World};
use uuid::Uuid;

use crate::app::{Server, TestApp};
use crate::process::{Program, url};

/// A job of a domain in a state, put there past the queue.
async fn job(world: &World, slug: &str, kind: &str, state: &str) -> Uuid {
    // Ids of one millisecond have no order.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let (id, domain) = (Clock::System.uuid(), world.domain(slug).await);
    let sql = "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, turn, run_at, attempt, max_attempts, started_at, finished_at,
                                       worker_id, payload, errors)
               VALUES ($1, $2::uuid, 'tests', $3, $4::text, 1, now() - interval '10 seconds', CASE WHEN $5 THEN 1 ELSE 0 END, 2,
                       CASE WHEN $5 THEN now() END, CASE WHEN $4 IN ('dead', 'cancelled', 'completed') THEN now() END,
                       CASE WHEN $4 = 'running' THEN $2 END, '{\"secret\": \"of the domain\"}',
                       CASE WHEN $4 = 'dead' THEN '[{\"attempt\": 1, \"error\": \"no luck\"}]'::jsonb ELSE '[]' END)";
    let begun = ["running", "completed", "dead"].contains(&state);
    world
        .client()
        .execute(sql, &[&domain, &id, &kind, &state, &begun])
        .await
        .unwrap();
    id
}

fn ids(answer: &Value) -> Vec<String> {
    let items = answer["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

/// What the stream of the installation has of a job.
async fn noted(world: &World, action: &str, target: Uuid) -> Vec<(Option<Value>, Option<Value>)> {
    let sql = "SELECT before, after FROM activity_stream
                WHERE domain_id = platform_domain_id() AND action = $1 AND target_id = $2 AND user_id IS NOT NULL";
    let rows = world.client().query(sql, &[&action, &target]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn operators_list_the_jobs_of_all_domains() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let mut all = Vec::new();
    for (slug, kind, state) in [
        (ACME, "mail", "dead"),
        (ACME, "mail", "available"),
        (GLOBEX, "mail", "dead"),
        (GLOBEX, "report", "scheduled"),
        ("platform", "report", "running"),
    ] {
        all.push(job(&app.world, slug, kind, state).await.to_string());
    }
    all.reverse();
    let list = async |query: &str| operator.get(&format!("/api/v1/jobs?{query}")).await.expect(200);
    assert_eq!(ids(&list("").await), all, "newest first");
    assert_eq!(ids(&list("state=dead").await), [all[2].clone(), all[4].clone()]);
    assert_eq!(ids(&list("kind=report").await), all[..2]);
    assert_eq!(
        ids(&list("queue=tests&kind=mail&state=available").await),
        [all[3].clone()]
    );
    let acme = app.world.domain(ACME).await;
    assert_eq!(ids(&list(&format!("domain_id={acme}")).await), all[3..]);
    assert!(ids(&list("queue=other").await).is_empty());

    let mut walked = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = list(&query).await;
        walked.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(cursor) => query = format!("limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(walked, all);
    operator.get("/api/v1/jobs?state=odd").await.problem(400);
    operator.get("/api/v1/jobs?colour=red").await.problem(400);
    // A domain's Admin is no operator.
    for path in [
        "/api/v1/jobs",
        "/api/v1/queues",
        "/api/v1/job-batches",
        "/api/v1/job-schedules",
    ] {
        app.admin().await.get(path).await.problem(403);
    }
    app.admin()
        .await
        .get(&format!("/api/v1/jobs/{}", all[4]))
        .await
        .problem(403);
}

#[tokio::test]
async fn a_job_shows_its_errors_and_no_domain_s_payload() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let theirs = job(&app.world, ACME, "mail", "dead").await;
    let shown = operator.get(&format!("/api/v1/jobs/{theirs}")).await.expect(200);
    assert_eq!(shown["payload"], Value::Null);
    assert_eq!(shown["errors"], json!([{"attempt": 1, "error": "no luck"}]));
    assert_eq!(shown["domain_id"], app.world.domain(ACME).await.to_string());
    let own = job(&app.world, "platform", EXPIRE_ASSIGNMENTS, "scheduled").await;
    let shown = operator.get(&format!("/api/v1/jobs/{own}")).await.expect(200);
    assert_eq!(shown["payload"], json!({"secret": "of the domain"}));
    let unknown = Clock::System.uuid();
    operator
        .get(&format!("/api/v1/jobs/{unknown}"))
        .await
        .problem(404);
}

#[tokio::test]
async fn jobs_are_retried_discarded_and_cancelled() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let call = async |id: Uuid, what: &str| {
        operator
            .post(&format!("/api/v1/jobs/{id}/{what}"), &Value::Null)
            .await
    };

    let dead = job(&app.world, ACME, "mail", "dead").await;
    assert_eq!(call(dead, "cancel").await.problem(409), "job_finished");
    let retried = call(dead, "retry").await.expect(200);
    assert_eq!(
        (&retried["state"], &retried["max_attempts"]),
        (&json!("available"), &json!(2))
    );
    assert_eq!(call(dead, "retry").await.problem(409), "job_not_retryable");
    assert_eq!(call(dead, "discard").await.problem(409), "job_not_dead");
    let rows = noted(&app.world, "job.retry", dead).await;
    assert_eq!(rows.len(), 1);
    let (before, after) = (rows[0].0.as_ref().unwrap(), rows[0].1.as_ref().unwrap());
    assert_eq!(
        (&before["state"], &after["state"]),
        (&json!("dead"), &json!("available"))
    );
    assert!(!after.to_string().contains("of the domain"), "{after}");

    let given_up = job(&app.world, GLOBEX, "mail", "dead").await;
    assert_eq!(call(given_up, "discard").await.expect(200)["state"], "cancelled");
    assert_eq!(noted(&app.world, "job.discard", given_up).await.len(), 1);

    let waiting = job(&app.world, GLOBEX, "mail", "available").await;
    assert_eq!(call(waiting, "cancel").await.expect(200)["state"], "cancelled");
    assert_eq!(noted(&app.world, "job.cancel", waiting).await.len(), 1);
    let running = job(&app.world, GLOBEX, "mail", "running").await;
    let asked = call(running, "cancel").await.expect(200);
    assert_eq!(asked["state"], "running");
    assert!(asked["cancel_requested_at"].is_string(), "{asked}");

    for what in ["retry", "discard", "cancel"] {
        assert_eq!(call(Clock::System.uuid(), what).await.problem(404), "not_found");
        let path = format!("/api/v1/jobs/{dead}/{what}");
        app.admin().await.post(&path, &Value::Null).await.problem(403);
    }
}

#[tokio::test]
async fn queues_are_counted_paused_and_resumed() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    for (slug, kind, state) in [
        (ACME, "mail", "available"),
        (GLOBEX, "mail", "available"),
        (GLOBEX, "mail", "dead"),
        (GLOBEX, "report", "scheduled"),
    ] {
        job(&app.world, slug, kind, state).await;
    }
    let queue = async || {
        let answer = operator.get("/api/v1/queues").await.expect(200);
        let items = answer["items"].as_array().unwrap().clone();
        items.into_iter().find(|queue| queue["name"] == "tests").unwrap()
    };
    let found = queue().await;
    assert_eq!(found["paused_at"], Value::Null);
    assert_eq!(found["kinds"][0]["kind"], "mail");
    assert_eq!(found["kinds"][0]["states"], json!({"available": 2, "dead": 1}));
    assert!(
        found["kinds"][0]["oldest_seconds"].as_f64().unwrap() >= 10.0,
        "{found}"
    );
    assert_eq!(found["kinds"][1]["states"], json!({"scheduled": 1}));
    assert_eq!(found["kinds"][1]["oldest_seconds"], 0.0);

    let call = async |path: &str| {
        operator
            .post(&format!("/api/v1/queues/{path}"), &Value::Null)
            .await
    };
    for _ in 0..2 {
        call("tests/pause").await.expect(204);
        assert!(queue().await["paused_at"].is_string());
    }
    call("tests/resume").await.expect(204);
    assert_eq!(queue().await["paused_at"], Value::Null);
    let platform = app.world.domain("platform").await;
    for action in ["queue.pause", "queue.resume"] {
        let rows = noted(&app.world, action, platform).await;
        assert_eq!(rows.len(), 1, "{action}: once done, once noted");
        assert_eq!(rows[0].1, Some(json!({"queue": "tests"})));
    }
    assert_eq!(call("nowhere/pause").await.problem(404), "not_found");
    assert_eq!(call("%00/resume").await.problem(404), "not_found");
    app.admin()
        .await
        .post("/api/v1/queues/tests/pause", &Value::Null)
        .await
        .problem(403);
}

#[tokio::test]
async fn batches_show_exact_progress() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let (acme, batch) = (app.world.domain(ACME).await, Clock::System.uuid());
    let sql = format!(
        "INSERT INTO queue_job_batches (domain_id, id, name, total, succeeded, open_until)
         VALUES ('{acme}', '{batch}', 'letters', 5, 1, now() + interval '1 day');
         INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total, succeeded, failed) VALUES
         ('{acme}', '{batch}', 2, 1, 0), ('{acme}', '{batch}', 0, 1, 1)"
    );
    app.world.client().batch_execute(&sql).await.unwrap();
    let shown = operator
        .get(&format!("/api/v1/job-batches/{batch}"))
        .await
        .expect(200);
    let counts: Vec<i64> = ["total", "pending", "succeeded", "failed", "cancelled"]
        .iter()
        .map(|name| shown[name].as_i64().unwrap())
        .collect();
    assert_eq!(counts, [7, 3, 3, 1, 0]);
    let listed = operator
        .get(&format!("/api/v1/job-batches?domain_id={acme}"))
        .await
        .expect(200);
    assert_eq!(listed["items"], json!([shown]));
    let globex = app.world.domain(GLOBEX).await;
    let none = operator
        .get(&format!("/api/v1/job-batches?domain_id={globex}"))
        .await
        .expect(200);
    assert_eq!(none["items"], json!([]));
    let unknown = Clock::System.uuid();
    operator
        .get(&format!("/api/v1/job-batches/{unknown}"))
        .await
        .problem(404);
    app.admin()
        .await
        .get(&format!("/api/v1/job-batches/{batch}"))
        .await
        .problem(403);
}

/// Waits until the query says true.
pub async fn until(world: &World, condition: &str) {
    let started = Instant::now();
    while !world
        .client()
        .query_one(condition, &[])
        .await
        .unwrap()
        .get::<_, bool>(0)
    {
        assert!(started.elapsed() < Duration::from_secs(30), "never: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An assignment that has just ended; the core's job takes it away.
pub async fn ended_assignment(world: &World) -> Uuid {
    let email = format!("{}@acme.test", Clock::System.uuid().simple());
    let user = world.user(ACME, &email).await;
    let role = db_core::rbac::SystemRole::Viewer;
    let id = world.assign(ACME, user, role, None, None).await;
    let sql = "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE id = $1";
    world.client().execute(sql, &[&id]).await.unwrap();
    id
}

/// A job of the core's, for whoever serves the queue.
pub async fn enqueue_expiry(world: &World) {
    let sql = "INSERT INTO queue_jobs (domain_id, id, queue, kind, state, turn, max_attempts, payload)
               VALUES (platform_domain_id(), $1, 'maintenance', $2, 'available', 1, 10, '{}')";
    let id = Clock::System.uuid();
    world
        .client()
        .execute(sql, &[&id, &EXPIRE_ASSIGNMENTS])
        .await
        .unwrap();
}

pub fn gone(assignment: Uuid) -> String {
    format!("SELECT NOT EXISTS (SELECT FROM user_roles WHERE id = '{assignment}')")
}

#[tokio::test]
async fn a_server_runs_jobs_itself_and_schedules_can_be_paused() {
    let app = TestApp::start_with(TestDatabase::new().await, |config| config.jobs.worker = true).await;
    until(&app.world, "SELECT count(*) = 4 FROM queue_schedules").await;
    let assignment = ended_assignment(&app.world).await;
    enqueue_expiry(&app.world).await;
    until(&app.world, &gone(assignment)).await;
    app.anonymous().get("/readyz").await.expect(200);

    let operator = app.operator().await;
    let list = async || {
        let answer = operator.get("/api/v1/job-schedules").await.expect(200);
        let items = answer["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .find(|it| it["name"] == EXPIRE_ASSIGNMENTS)
            .unwrap()
    };
    let schedule = list().await;
    assert_eq!(
        (&schedule["cron"], &schedule["missed"]),
        (&json!("* * * * *"), &json!("once"))
    );
    assert!(schedule["next_at"].is_string(), "{schedule}");
    let platform = app.world.domain("platform").await;
    let path = format!("/api/v1/job-schedules/{platform}/{EXPIRE_ASSIGNMENTS}");
    for (what, paused) in [("pause", true), ("pause", true), ("resume", false)] {
        let answer = operator
            .post(&format!("{path}/{what}"), &Value::Null)
            .await
            .expect(200);
        assert_eq!(answer["paused_at"].is_string(), paused, "{answer}");
        assert_eq!(list().await["paused_at"], answer["paused_at"]);
    }
    for action in ["schedule.pause", "schedule.resume"] {
        assert_eq!(noted(&app.world, action, platform).await.len(), 1, "{action}");
    }
    let unknown = format!("/api/v1/job-schedules/{platform}/nothing/pause");
    assert_eq!(
        operator.post(&unknown, &Value::Null).await.problem(404),
        "not_found"
    );
    app.admin()
        .await
        .post(&format!("{path}/pause"), &Value::Null)
        .await
        .problem(403);
}

#[tokio::test]
async fn without_a_worker_of_its_own_a_server_leaves_jobs_alone() {
    let app = TestApp::start().await;
    let assignment = ended_assignment(&app.world).await;
    enqueue_expiry(&app.world).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let there = format!("SELECT EXISTS (SELECT FROM user_roles WHERE id = '{assignment}')");
    until(&app.world, &there).await;
    until(&app.world, "SELECT NOT EXISTS (SELECT FROM queue_workers)").await;
    // Another server on the same database does.
    let mut config = app.db.config();
    config.jobs.worker = true;
    let _second = Server::start(config);
    until(&app.world, &gone(assignment)).await;
}

/// The lines of a metric in the text that a program serves.
async fn metric(base: &str, name: &str) -> Vec<String> {
    let answer = Actor::anonymous(base).get("/metrics").await;
    let lines = answer
        .text
        .lines()
        .filter(|line| line.starts_with(name) && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn metrics_say_how_full_the_queues_are_and_how_jobs_went() {
    let (db, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let world = World::new(db.superuser().await);
    job(&world, ACME, "mail", "available").await;
    job(&world, ACME, "mail", "dead").await;
    let program = Program::new(directory.path())
        .with("DATABASE_URL", &url(&db, "plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .serve()
        .await;
    let assignment = ended_assignment(&world).await;
    enqueue_expiry(&world).await;
    until(&world, &gone(assignment)).await;
    until(
        &world,
        "SELECT NOT EXISTS (SELECT FROM queue_jobs WHERE queue = 'maintenance')",
    )
    .await;

    let line = |lines: &[String], labels: &[&str]| {
        lines
            .iter()
            .find(|line| labels.iter().all(|label| line.contains(label)))
            .unwrap_or_else(|| panic!("no {labels:?} in {lines:#?}"))
            .clone()
    };
    let jobs = metric(&program.metrics, "job_queue_jobs").await;
    for (state, count) in [
        ("available", "1"),
        ("dead", "1"),
        ("running", "0"),
        ("scheduled", "0"),
    ] {
        let state = format!("state=\"{state}\"");
        let found = line(&jobs, &["queue=\"tests\"", "kind=\"mail\"", &state]);
        assert!(found.ends_with(&format!(" {count}")), "{found}");
    }
    let oldest = line(
        &metric(&program.metrics, "job_queue_oldest_seconds").await,
        &["kind=\"mail\""],
    );
    let seconds: f64 = oldest.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(seconds >= 10.0, "{oldest}");
    let kind = format!("kind=\"{EXPIRE_ASSIGNMENTS}\"");
    let labels = ["queue=\"maintenance\"", kind.as_str(), "outcome=\"completed\""];
    line(
        &metric(&program.metrics, "job_queue_attempts_total").await,
        &labels,
    );
    line(
        &metric(&program.metrics, "job_queue_run_seconds_bucket").await,
        &labels[..2],
    );
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_hands_its_jobs_back() {
    let (db, directory) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
    let world = World::new(db.superuser().await);
    let mut program = Program::new(directory.path())
        .with("DATABASE_URL", &url(&db, "plinth"))
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .with("PLINTH_JOBS_SHUTDOWN_GRACE", "1s")
        .serve()
        .await;
    until(
        &world,
        "SELECT EXISTS (SELECT FROM queue_workers WHERE fenced_at IS NULL)",
    )
    .await;
    // The job waits for a lock that the test holds.
    let holder = db.superuser().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE user_roles IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    enqueue_expiry(&world).await;
    until(
        &world,
        "SELECT EXISTS (SELECT FROM queue_jobs WHERE state = 'running')",
    )
    .await;
    program.terminate().await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    until(
        &world,
        "SELECT EXISTS (SELECT FROM queue_jobs WHERE queue = 'maintenance' AND state = 'available' AND attempt < max_attempts)",
    )
    .await;
}
