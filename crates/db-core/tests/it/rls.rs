//! SQL as the app role: without a domain nothing is visible, with one nothing of another.
//!
//! A blocked SELECT, UPDATE or DELETE gives no rows and no error: the tests assert absence, of rows known to exist.

use std::collections::BTreeMap;

use db_core::Clock;
use test_support::{ACME, GLOBEX, TestDatabase, World};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Tables whose rows all belong to the platform domain.
const OF_THE_PLATFORM: [&str; 3] = ["backup_runs", "queue_queues", "queue_workers"];

/// A row of the domain in every tenant table of domains. Returns the ids of the fixture.
async fn fill(world: &World, slug: &str) -> BTreeMap<&'static str, Uuid> {
    let ids = world.fixture(slug).await;
    let (domain, role, card) = (ids["domain_id"], ids["role_id"], ids["card_id"]);
    world
        .client()
        .batch_execute(&format!(
            "INSERT INTO role_permissions (domain_id, role_id, permission) VALUES ('{domain}', '{role}', 'card:read');
             INSERT INTO domain_hosts (domain_id, host) VALUES ('{domain}', '{slug}.example');
             INSERT INTO activity_stream (domain_id, id, action) VALUES ('{domain}', '{card}', 'test');
             INSERT INTO queue_job_batches (domain_id, id, name, open_until) VALUES ('{domain}', '{card}', 'Test', now());
             INSERT INTO queue_job_batch_deltas (domain_id, batch_id) VALUES ('{domain}', '{card}');
             INSERT INTO queue_jobs (domain_id, id, queue, kind, state, max_attempts, payload)
                 VALUES ('{domain}', '{card}', 'test', 'test', 'scheduled', 1, '{{}}');
             INSERT INTO queue_schedules (domain_id, name, queue, kind, max_attempts, payload, cron, time_zone, missed)
                 VALUES ('{domain}', 'Test', 'test', 'test', 1, '{{}}', '* * * * *', 'UTC', 'skip');"
        ))
        .await
        .unwrap();
    ids
}

async fn count(client: &Client, table: &str, filter: &str) -> i64 {
    client
        .query_one(
            &format!("SELECT count(domain_id) FROM {table} WHERE {filter}"),
            &[],
        )
        .await
        .unwrap()
        .get(0)
}

struct Scene {
    db: TestDatabase,
    world: World,
    app: Client,
    acme: Uuid,
    globex: Uuid,
    /// A project of globex.
    their_project: Uuid,
}

async fn scene() -> Scene {
    let db = TestDatabase::new().await;
    let world = World::new(db.superuser().await);
    let (ours, theirs) = (fill(&world, ACME).await, fill(&world, GLOBEX).await);
    world
        .client()
        .batch_execute(
            "INSERT INTO queue_queues (name) VALUES ('test');
             INSERT INTO queue_workers (id, name, queues, concurrency, lease_until)
                 VALUES (gen_random_uuid(), 'test', '{test}', 1, now() + interval '1 hour');
             INSERT INTO backup_runs (id, kind, backup, location, plinth_version)
                 VALUES (gen_random_uuid(), 'backup', 'test', 'test', '0');",
        )
        .await
        .unwrap();
    let app = db.app().await;
    Scene {
        db,
        world,
        app,
        acme: ours["domain_id"],
        globex: theirs["domain_id"],
        their_project: theirs["project_id"],
    }
}

async fn act_in(client: &Client, domain: Uuid) {
    client
        .query(
            "SELECT set_config('plinth.domain_id', $1, false)",
            &[&domain.to_string()],
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn without_a_domain_no_row_is_visible_and_none_can_be_written() {
    let Scene {
        db: _db,
        world,
        app,
        acme,
        ..
    } = scene().await;
    for table in world.tenant_tables().await {
        assert!(
            count(world.client(), &table, "true").await > 0,
            "{table} has no row to hide"
        );
        assert_eq!(count(&app, &table, "true").await, 0, "{table}");
    }
    let written = app
        .execute(
            "INSERT INTO organizations (domain_id, id, slug, name) VALUES ($1, $1, 'x', 'X')",
            &[&acme],
        )
        .await;
    assert_eq!(
        written.unwrap_err().code(),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    );
    assert_eq!(app.execute("UPDATE cards SET title = 'x'", &[]).await.unwrap(), 0);
    assert_eq!(app.execute("DELETE FROM cards", &[]).await.unwrap(), 0);
}

#[tokio::test]
async fn with_one_domain_nothing_of_another_can_be_seen_changed_or_taken() {
    let Scene {
        db: _db,
        world,
        app,
        acme,
        globex,
        ..
    } = scene().await;
    act_in(&app, acme).await;
    let (ours, theirs) = (format!("domain_id = '{acme}'"), format!("domain_id = '{globex}'"));
    let platform = "domain_id = platform_domain_id()";
    let mut tables = world.tenant_tables().await;
    tables.retain(|table| !OF_THE_PLATFORM.contains(&table.as_str()));
    for table in tables {
        let hidden = count(world.client(), &table, &theirs).await;
        assert!(hidden > 0, "{table} has no row of globex");
        let seen = count(&app, &table, &theirs).await;
        assert_eq!(seen, 0, "{table}: rows of globex are visible");
        // Rows of one's own are there; roles also show the platform's.
        let own = count(&app, &table, &ours).await;
        assert!(own > 0, "{table}: rows of acme are missing");
    }
    // Queues are for all; who serves them, and what backups there are, is the operators' affair.
    assert_eq!(count(&app, "queue_queues", platform).await, 1);
    assert_eq!(count(&app, "queue_workers", platform).await, 0);
    assert_eq!(count(&app, "backup_runs", platform).await, 0);
    assert_eq!(
        app.execute("UPDATE cards SET title = 'x' WHERE domain_id = $1", &[&globex])
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        app.execute("DELETE FROM cards WHERE domain_id = $1", &[&globex])
            .await
            .unwrap(),
        0
    );
    // Nor can a row be given to another domain, nor made there.
    let moved = app
        .execute(
            "UPDATE tags SET name = 'x', name_key = 'x' WHERE domain_id = $1",
            &[&globex],
        )
        .await;
    assert_eq!(moved.unwrap(), 0);
    let planted = app
        .execute(
            "INSERT INTO organizations (domain_id, id, slug, name) VALUES ($1, $1, 'x', 'X')",
            &[&globex],
        )
        .await;
    assert_eq!(
        planted.unwrap_err().code(),
        Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    );
    // System roles are readable and immutable, from the platform domain itself too.
    assert_eq!(count(&app, "roles", platform).await, 4);
    act_in(&app, db_core::PLATFORM_DOMAIN.uuid()).await;
    assert_eq!(count(&app, "roles", platform).await, 4);
    assert_eq!(
        app.execute(&format!("DELETE FROM roles WHERE {platform}"), &[])
            .await
            .unwrap(),
        0
    );
    act_in(&app, acme).await;
    assert_eq!(
        app.execute(&format!("UPDATE roles SET name = 'x' WHERE {platform}"), &[])
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        app.execute(&format!("DELETE FROM role_permissions WHERE {platform}"), &[])
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn rows_of_another_domain_cannot_be_referred_to_nor_deleted_by_cascade() {
    let Scene {
        db: _db,
        world,
        app,
        acme,
        globex,
        their_project,
    } = scene().await;
    act_in(&app, acme).await;
    let board = Clock::System.uuid();
    for project in [their_project, Uuid::from_u128(7)] {
        let attached = app
            .execute(
                "INSERT INTO boards (id, project_id, name) VALUES ($1, $2, 'Spy')",
                &[&board, &project],
            )
            .await;
        // The same answer for a project of globex and for one that is nowhere.
        assert_eq!(
            attached.unwrap_err().code(),
            Some(&SqlState::FOREIGN_KEY_VIOLATION)
        );
    }
    let emptied = [
        "cards",
        "tags",
        "card_tags",
        "boards",
        "projects",
        "organizations",
        "organization_members",
    ];
    let theirs = format!("domain_id = '{globex}'");
    let mut before = Vec::new();
    for table in emptied {
        before.push(count(world.client(), table, &theirs).await);
    }
    // What keeps its owner from being deleted goes before it.
    app.batch_execute(
        "DELETE FROM card_tags; DELETE FROM tags; DELETE FROM cards; DELETE FROM board_columns; DELETE FROM boards;
         DELETE FROM projects; DELETE FROM user_roles; DELETE FROM organizations",
    )
    .await
    .unwrap();
    for (table, before) in emptied.into_iter().zip(before) {
        let ours = format!("domain_id = '{acme}'");
        assert_eq!(count(world.client(), table, &ours).await, 0, "{table}");
        assert!(before > 0, "{table}");
        assert_eq!(count(world.client(), table, &theirs).await, before, "{table}");
    }
}

#[tokio::test]
async fn the_app_role_may_do_nothing_that_it_does_not_need() {
    let Scene {
        db: _db, app, acme, ..
    } = scene().await;
    act_in(&app, acme).await;
    for forbidden in [
        "SELECT password_hash FROM users",
        "SELECT token_hash FROM sessions",
        "SELECT secret_hash FROM api_keys",
        "SELECT * FROM installation_secrets",
        "SELECT * FROM activity_stream_default",
        "UPDATE activity_stream SET action = 'x'",
        "DELETE FROM activity_stream",
        "TRUNCATE cards",
        "ALTER TABLE cards DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE mine (x int)",
        "CREATE TEMPORARY TABLE mine (x int)",
        "UPDATE users SET domain_id = platform_domain_id()",
        "UPDATE cards SET domain_id = platform_domain_id()",
        "UPDATE cards SET number = 7",
        "DELETE FROM users",
        "DELETE FROM sessions",
        "SET ROLE plinth_system",
        "SELECT set_context(NULL, NULL, NULL, NULL, true, 1)",
        "COPY cards FROM PROGRAM 'true'",
    ] {
        let error = app.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{forbidden}: {error:?}"
        );
    }
    let made = app
        .execute(
            "SELECT domain_create($1, 'evil', 'Evil', $1, 'a@b', 'A', 'x', 1, 10, $1, $1, $1)",
            &[&Uuid::from_u128(9)],
        )
        .await;
    assert_eq!(made.unwrap_err().code().map(SqlState::code), Some("PL403"));
}
