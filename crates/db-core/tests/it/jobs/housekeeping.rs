//! The core's jobs: what must go goes, in every domain, and what must stay stays.

use db_core::jobs::housekeeping::{
    DELETE_ACTIVITY, DELETE_SESSIONS, DeleteActivity, DeleteSessions, EXPIRE_ASSIGNMENTS, ExpireAssignments,
    MAKE_ACTIVITY_PARTITIONS,
};
use db_core::jobs::{Handlers, Job};
use db_core::rbac::SystemRole;
use db_core::{Clock, JobId, PLATFORM_DOMAIN};
use test_support::{ACME, GLOBEX};
use uuid::Uuid;

use super::{Scene, config, start};

impl Scene {
    /// Runs a job of the installation to its end.
    pub(super) async fn run<J: Job>(&self, handlers: Handlers, job: &J) {
        let id: JobId = Clock::System.id();
        let worker = start(handlers);
        self.owner
            .system(async |tx| tx.enqueue(id, PLATFORM_DOMAIN, job).await)
            .await
            .unwrap();
        let done = if J::KEEP_COMPLETED { "completed" } else { "gone" };
        self.until(id.uuid(), done).await;
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_assignments_go_and_the_stream_says_so() {
    let scene = Scene::new().await;
    let mut ended = Vec::new();
    let mut kept = Vec::new();
    for slug in [ACME, GLOBEX] {
        let user = scene.world.user(slug, &format!("temp@{slug}.test")).await;
        for (role, expires) in [
            (SystemRole::Admin, "now() - interval '1 second'"),
            (SystemRole::Editor, "now() + interval '1 hour'"),
            (SystemRole::Viewer, "NULL"),
        ] {
            let id = scene.world.assign(slug, user, role, None, None).await;
            let sql = format!("UPDATE user_roles SET expires_at = {expires} WHERE id = $1");
            scene.world.client().execute(&sql, &[&id]).await.unwrap();
            if role == SystemRole::Admin {
                ended.push((slug, user, id))
            } else {
                kept.push(id)
            }
        }
    }
    let others = scene.number("SELECT count(*) FROM user_roles").await;
    scene.run(scene.handlers(), &ExpireAssignments {}).await;

    let left = scene.number("SELECT count(*) FROM user_roles").await;
    assert_eq!(left, others - 2, "nothing but the two that had ended");
    for id in kept {
        let sql = "SELECT count(*) FROM user_roles WHERE id = $1";
        assert_eq!(
            scene
                .world
                .client()
                .query_one(sql, &[&id])
                .await
                .unwrap()
                .get::<_, i64>(0),
            1
        );
    }
    for (slug, user, id) in ended {
        let rows = scene
            .world
            .client()
            .query(
                "SELECT domain_id, user_id, target_id, before ->> 'role', before ->> 'id', before ->> 'user_id'
                   FROM activity_stream WHERE action = 'role.expire' AND target_id = $1",
                &[&user],
            )
            .await
            .unwrap();
        assert_eq!(rows.len(), 1, "one row for one assignment of {slug}");
        let row = &rows[0];
        assert_eq!(row.get::<_, Uuid>(0), scene.world.domain(slug).await);
        assert_eq!(row.get::<_, Option<Uuid>>(1), None, "the system did it");
        let texts: [String; 3] = [row.get(3), row.get(4), row.get(5)];
        assert_eq!(texts, ["Admin".to_owned(), id.to_string(), user.to_string()]);
    }
    // Once more: there is nothing left to do, and nothing is noted.
    scene.run(scene.handlers(), &ExpireAssignments {}).await;
    assert_eq!(
        scene
            .number("SELECT count(*) FROM activity_stream WHERE action = 'role.expire'")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_sessions_go_after_a_week() {
    let scene = Scene::new().await;
    let client = scene.world.client();
    let mut kept = Vec::new();
    for slug in [ACME, GLOBEX] {
        let (domain, user) = (scene.world.domain(slug).await, scene.world.first_user(slug).await);
        // Expiry, end by hand, last use; and whether the row is to stay.
        for (expires, revoked, used, stays) in [
            ("8 days ago", "NULL", "9 days ago", false),
            ("1 day hence", "8 days ago", "9 days ago", false),
            ("1 day hence", "NULL", "9 days ago", false),
            ("6 days ago", "NULL", "7 days ago", true),
            ("1 day hence", "6 days ago", "7 days ago", true),
            ("1 day hence", "NULL", "7 days ago", true),
            ("1 day hence", "NULL", "0 days ago", true),
        ] {
            let time = |text: &str| match text.split_once(' ') {
                Some((days, tail)) => {
                    let sign = if tail.ends_with("ago") { '-' } else { '+' };
                    format!("now() {sign} interval '{days} days'")
                }
                None => "NULL".to_owned(),
            };
            let id = Clock::System.uuid();
            let sql = format!(
                "INSERT INTO sessions (domain_id, id, user_id, token_hash, idle_seconds, expires_at, revoked_at, last_used_at)
                 VALUES ($1, $2, $3, digest(gen_random_uuid()::text, 'sha256'), 86400, {}, {}, {})",
                time(expires), time(revoked), time(used)
            );
            client.execute(&sql, &[&domain, &id, &user]).await.unwrap();
            if stays {
                kept.push(id);
            }
        }
    }
    // More than one portion, so that the walk has to go on where it stopped.
    let many = "INSERT INTO sessions (domain_id, id, user_id, token_hash, idle_seconds, expires_at)
                SELECT u.domain_id, gen_random_uuid(), u.id, digest(n::text, 'sha256'), 60,
                       now() + CASE WHEN n % 2 = 0 THEN interval '-30 days' ELSE interval '1 day' END
                  FROM users u, generate_series(1, 2500) n WHERE u.id = $1";
    let user = scene.world.first_user(ACME).await;
    client.execute(many, &[&user]).await.unwrap();
    let before = scene.number("SELECT count(*) FROM sessions").await;
    scene.run(scene.handlers(), &DeleteSessions {}).await;
    assert_eq!(
        scene.number("SELECT count(*) FROM sessions").await,
        before - 6 - 1250
    );
    let sql = "SELECT count(*) FROM sessions WHERE id = ANY ($1)";
    let left: i64 = client.query_one(sql, &[&kept]).await.unwrap().get(0);
    assert_eq!(left, 8, "four of each domain");
}

/// A UUIDv7 of so many days ago.
fn id_of(days: i64) -> Uuid {
    let time = Clock::System.now() - chrono::TimeDelta::days(days);
    Clock::fixed(time).uuid()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_kept_as_long_as_the_setting_says() {
    let scene = Scene::new().await;
    let client = scene.world.client();
    let insert = "INSERT INTO activity_stream (domain_id, id, action) VALUES ($1, $2, 'test.row')";
    for slug in [ACME, GLOBEX, "platform"] {
        let domain = scene.world.domain(slug).await;
        for days in [29, 31, 400] {
            client.execute(insert, &[&domain, &id_of(days)]).await.unwrap();
        }
    }
    let acme = scene.world.domain(ACME).await;
    // More than one portion.
    let ids: Vec<Uuid> = (0..2100).map(|_| id_of(100)).collect();
    client
        .execute(
            "INSERT INTO activity_stream (domain_id, id, action) SELECT $1, id, 'test.row' FROM unnest($2::uuid[]) id",
            &[&acme, &ids],
        )
        .await
        .unwrap();
    let others = scene
        .number("SELECT count(*) FROM activity_stream WHERE action <> 'test.row'")
        .await;
    let handlers = |days| {
        let mut config = config();
        config.keep_activity_days = days;
        Handlers::core(&scene.owner, &scene.db, &config, |_, _| false).unwrap()
    };
    // For ever is for ever.
    scene.run(handlers(0), &DeleteActivity {}).await;
    assert_eq!(
        scene
            .number("SELECT count(*) FROM activity_stream WHERE action = 'test.row'")
            .await,
        2109
    );

    scene.run(handlers(30), &DeleteActivity {}).await;
    assert_eq!(
        scene
            .number("SELECT count(*) FROM activity_stream WHERE action = 'test.row'")
            .await,
        3
    );
    let after: serde_json::Value = client
        .query_one(
            "SELECT after FROM activity_stream WHERE action = 'activity.delete' AND domain_id = platform_domain_id()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        after,
        serde_json::json!({ "rows": 2106, "domains": 3, "keep_days": 30 })
    );
    assert_eq!(
        scene
            .number("SELECT count(*) FROM activity_stream WHERE action <> 'test.row'")
            .await,
        others + 1,
        "nothing else was touched"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedules_are_in_the_database_however_many_workers_start() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        let workers = [start(scene.handlers()), start(scene.handlers())];
        let started = std::time::Instant::now();
        while scene.number("SELECT count(*) FROM queue_workers").await < 2 {
            assert!(started.elapsed().as_secs() < 20, "no worker registers");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        for worker in workers {
            worker.stop().await;
        }
    }
    let names: Vec<String> = scene
        .world
        .client()
        .query_one(
            "SELECT array_agg(name ORDER BY name) FROM queue_schedules WHERE domain_id = platform_domain_id() AND next_at > now()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        names,
        [
            DELETE_ACTIVITY,
            DELETE_SESSIONS,
            EXPIRE_ASSIGNMENTS,
            MAKE_ACTIVITY_PARTITIONS
        ]
    );
}
