//! SQL as the app role: without a domain nothing is visible, with one nothing of another.
//!
//! A blocked SELECT, UPDATE or DELETE gives no rows and no error: the tests assert absence, of rows known to exist.

use test_support::{ACME, GLOBEX, TestDatabase, World};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

/// Every tenant table with a row of globex in it.
async fn fill(world: &World, slug: &str) {
    let (domain, user) = (world.domain(slug).await, world.first_user(slug).await);
    world.session(slug, user).await;
    let id = || db_core::Clock::System.uuid();
    let (org, project, board, column, card, tag, role) = (id(), id(), id(), id(), id(), id(), id());
    world
        .client()
        .batch_execute(&format!(
            "INSERT INTO organizations (domain_id, id, slug, name) VALUES ('{domain}', '{org}', 'ops', 'Ops');
             INSERT INTO organization_members (domain_id, organization_id, user_id) VALUES ('{domain}', '{org}', '{user}');
             INSERT INTO projects (domain_id, id, organization_id, key, name) VALUES ('{domain}', '{project}', '{org}', 'OPS', 'Ops');
             INSERT INTO boards (domain_id, id, project_id, name) VALUES ('{domain}', '{board}', '{project}', 'Main');
             INSERT INTO board_columns (domain_id, id, project_id, board_id, name, rank)
                 VALUES ('{domain}', '{column}', '{project}', '{board}', 'To do', 'a0');
             INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title)
                 VALUES ('{domain}', '{card}', '{project}', '{board}', '{column}', 1, 'a0', 'Secret plan');
             INSERT INTO tags (domain_id, id, project_id, name, name_key, color) VALUES ('{domain}', '{tag}', '{project}', 'Red', 'red', '#ff0000');
             INSERT INTO card_tags (domain_id, project_id, card_id, tag_id) VALUES ('{domain}', '{project}', '{card}', '{tag}');
             INSERT INTO roles (domain_id, id, name, name_key) VALUES ('{domain}', '{role}', 'Own', 'own');
             INSERT INTO role_permissions (domain_id, role_id, permission) VALUES ('{domain}', '{role}', 'card:read');
             INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four)
                 VALUES ('{domain}', '{}', '{user}', 'Key', '$2a$04$x', 'abcd');
             INSERT INTO domain_hosts (domain_id, host) VALUES ('{domain}', '{slug}.example');
             INSERT INTO activity_stream (domain_id, id, action) VALUES ('{domain}', '{}', 'test');",
            id(),
            id()
        ))
        .await
        .unwrap();
}

/// Tenant tables, asked of the catalogue, and a column that the app role may read.
async fn tenant_tables(client: &Client) -> Vec<String> {
    let rows = client
        .query(
            "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'domain_id'
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 15, "{tables:?}");
    tables
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
}

async fn scene() -> Scene {
    let db = TestDatabase::new().await;
    let world = World::new(db.superuser().await);
    fill(&world, ACME).await;
    fill(&world, GLOBEX).await;
    let app = db.app().await;
    let (acme, globex) = (world.domain(ACME).await, world.domain(GLOBEX).await);
    Scene {
        db,
        world,
        app,
        acme,
        globex,
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
    for table in tenant_tables(world.client()).await {
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
    } = scene().await;
    act_in(&app, acme).await;
    for table in tenant_tables(world.client()).await {
        let theirs = format!("domain_id = '{globex}'");
        assert!(
            count(world.client(), &table, &theirs).await > 0,
            "{table} has no row of globex"
        );
        assert_eq!(
            count(&app, &table, &theirs).await,
            0,
            "{table}: rows of globex are visible"
        );
        // Rows of one's own are there; roles also show the platform's.
        let own = format!("domain_id = '{acme}'");
        assert!(
            count(&app, &table, &own).await > 0,
            "{table}: rows of acme are missing"
        );
    }
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
    let platform = "domain_id = platform_domain_id()";
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
    } = scene().await;
    let theirs: Uuid = world
        .client()
        .query_one("SELECT id FROM projects WHERE domain_id = $1", &[&globex])
        .await
        .unwrap()
        .get(0);
    act_in(&app, acme).await;
    let board = db_core::Clock::System.uuid();
    for project in [theirs, Uuid::from_u128(7)] {
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
    let before = count(world.client(), "cards", &format!("domain_id = '{globex}'")).await;
    app.batch_execute(
        "DELETE FROM card_tags; DELETE FROM tags; DELETE FROM cards; DELETE FROM board_columns; DELETE FROM boards;
         DELETE FROM projects; DELETE FROM user_roles; DELETE FROM organizations",
    )
    .await
    .unwrap();
    for table in [
        "cards",
        "tags",
        "card_tags",
        "boards",
        "projects",
        "organizations",
        "organization_members",
    ] {
        assert_eq!(
            count(world.client(), table, &format!("domain_id = '{acme}'")).await,
            0,
            "{table}"
        );
        assert!(
            count(world.client(), table, &format!("domain_id = '{globex}'")).await >= before,
            "{table}"
        );
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
