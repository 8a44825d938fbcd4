//! Which login requests run as, when one user stands in both addresses or there is only one.

use serde_json::json;
use test_support::{ACME, GLOBEX, Method, PASSWORD, TestDatabase};

use super::load::mixed_load;
use super::{FEW, Login, PgBouncer, open_through, patient};
use crate::app::TestApp;

/// One user in both addresses, and a pooler that knows only that: the API's own login would not be let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_login_behind_a_pooler_takes_on_the_role() {
    let db = TestDatabase::empty().await;
    let owner = Login::make(&db, "owner", "CREATEROLE").await;
    let grant = format!(
        "ALTER DATABASE {} OWNER TO {name}; GRANT plinth_app, plinth_system TO {name} WITH ADMIN OPTION",
        db.name(),
        name = owner.name
    );
    db.superuser().await.batch_execute(&grant).await.unwrap();
    let Some(pooler) = PgBouncer::start(&[(&owner.name, PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &owner.name, PASSWORD);
    let directory = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(db, |config| {
        config
            .database
            .address
            .as_mut()
            .unwrap()
            .user
            .clone_from(&owner.name);
        patient(config);
        open_through(config, pooled);
        config.setup.domain_slug = Some(ACME.to_owned());
        config.paths.persistent_dir = directory.path().to_owned();
    })
    .await;
    let globex = json!({"slug": GLOBEX, "name": "Globex",
        "admin": {"email": "admin@globex.test", "name": "Admin", "password": PASSWORD}});
    app.operator()
        .await
        .post("/api/v1/domains", &globex)
        .await
        .expect(201);
    mixed_load(&app).await;
    // It was indeed that login, and no other.
    let logins: Vec<String> = app
        .world
        .client()
        .query(
            "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND application_name = 'plinth-api'",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(logins, [owner.name.as_str()]);
    // Also sign-in and its refusal, which enter their domain by other doors.
    let stranger = app.anonymous();
    let wrong = json!({"domain": GLOBEX, "email": "admin@globex.test", "password": "not the password"});
    stranger.post("/api/v1/sessions", &wrong).await.problem(401);
    let right = json!({"domain": GLOBEX, "email": "admin@globex.test", "password": PASSWORD});
    stranger.post("/api/v1/sessions", &right).await.expect(201);
    stranger
        .send(Method::GET, "/api/db/status", None)
        .await
        .expect(200);
    drop((app, pooler, owner));
}

/// No pooler at all, and an owner that may not make roles: the only login there is takes on the role.
#[tokio::test]
async fn one_login_that_may_not_make_roles_takes_on_the_role() {
    let db = TestDatabase::empty().await;
    let owner = Login::make(&db, "only", "NOCREATEROLE").await;
    let grant = format!(
        "ALTER DATABASE {} OWNER TO {name}; GRANT plinth_app, plinth_system TO {name}",
        db.name(),
        name = owner.name
    );
    db.superuser().await.batch_execute(&grant).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(db, |config| {
        config
            .database
            .address
            .as_mut()
            .unwrap()
            .user
            .clone_from(&owner.name);
        config.setup.domain_slug = Some(ACME.to_owned());
        config.paths.persistent_dir = directory.path().to_owned();
    })
    .await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    app.card(&admin, &board.column, "Card").await;
    // Policies hold it: the operator, in a domain of its own, sees none of it.
    let operator = app.operator().await;
    assert_eq!(
        operator.get("/api/v1/organizations").await.expect(200)["items"],
        json!([])
    );
    operator
        .get(&format!("/api/v1/boards/{}/cards", board.board))
        .await
        .problem(404);
    let made = format!(
        "SELECT FROM pg_roles WHERE rolname = 'plinth_app_{}'",
        app.db.name()
    );
    assert!(app.world.client().query(&made, &[]).await.unwrap().is_empty());
    drop((app, owner));
}

/// One user in both addresses, and a pooler that looks logins up: the API's own login is used.
#[tokio::test]
async fn a_pooler_that_looks_logins_up_serves_the_apis_own() {
    let db = TestDatabase::new().await;
    let asker = Login::make(&db, "asker", "SUPERUSER").await;
    let query = "auth_query = SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";
    let user = format!("auth_user = {}", asker.name);
    let Some(pooler) = PgBouncer::start(&[(&asker.name, PASSWORD)], &[query, &user]) else {
        return;
    };
    let pooled = pooler.address(&db, &db.address().user, PASSWORD);
    let app = TestApp::start_with(db, |config| open_through(config, pooled)).await;
    let admin = app.admin().await;
    admin.get("/api/v1/organizations").await.expect(200);
    let login = format!("plinth_app_{}", app.db.name());
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1";
    let count: i64 = app
        .world
        .client()
        .query_one(count, &[&login])
        .await
        .unwrap()
        .get(0);
    assert!(count > 0, "nobody is connected as {login}");
    drop((app, pooler, asker));
}
