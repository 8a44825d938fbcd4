//! What the two addresses answer, and what everything else answers until then.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use test_support::{Method, PASSWORD, TestDatabase};

use super::{SETUP, TOKEN, files, fresh, owner};
use crate::operations;

#[tokio::test]
async fn the_bodies_are_those_that_are_promised() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous();
    let status = async || stranger.get("/api/db/status").await.expect(200);
    assert_eq!(
        status().await,
        json!({"configured": true, "initialized": false, "dialect": "postgresql"})
    );

    let body = json!({
        "type": "postgresql",
        "domain": {"slug": "acme", "name": "Acme"},
        "operator": {"email": "Boss@Acme.test", "password": PASSWORD},
    });
    assert_eq!(
        owner(&stranger).post(SETUP, &body).await.expect(200),
        json!({"message": "Plinth is set up", "restart_required": false, "database_type": "postgresql"})
    );
    assert_eq!(
        status().await,
        json!({"configured": true, "initialized": true, "dialect": "postgresql"})
    );
    assert_eq!(
        owner(&stranger).post(SETUP, &body).await.problem(409),
        "already_set_up"
    );

    assert_eq!(files(directory.path()), ["db.selection.json", "encryption.key"]);
    let key = directory.path().join("persistent_data/encryption.key");
    assert_eq!(
        std::fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let selection = directory.path().join("persistent_data/db.selection.json");
    let selection: Value = serde_json::from_str(&std::fs::read_to_string(selection).unwrap()).unwrap();
    assert_eq!(selection.as_object().unwrap().len(), 3, "{selection}");
    assert_eq!(
        (&selection["type"], &selection["version"]),
        (&json!("postgresql"), &json!("1.0"))
    );
    chrono::DateTime::parse_from_rfc3339(selection["selectedAt"].as_str().unwrap()).unwrap();

    stranger.get("/readyz").await.expect(200);
    // The operator of the platform is an Admin of the first domain too, and both are served at once.
    for domain in ["acme", "platform"] {
        let sign_in = json!({"domain": domain, "email": "boss@acme.test", "password": PASSWORD});
        stranger.post("/api/v1/sessions", &sign_in).await.expect(201);
    }
}

#[tokio::test]
async fn until_then_everything_points_to_setup() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous().with_session("whatever");
    stranger.get("/healthz").await.expect(200);
    let mut paths: Vec<_> = [
        "/readyz",
        "/",
        "/openapi.json",
        "/docs/",
        "/nowhere",
        "/api/v1/cards/no-id",
    ]
    .map(|path| (Method::GET, path.to_owned()))
    .into();
    for operation in operations::operations() {
        paths.push((operation.method, operation.path));
    }
    assert!(paths.len() > 30, "{paths:?}");
    // All at once: however many ask, nobody waits for the others.
    let started = Instant::now();
    let answers = join_all(paths.iter().map(|(method, path)| {
        let (stranger, method) = (stranger.clone(), method.clone());
        async move { stranger.send(method, path, Some(&json!({}))).await }
    }))
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    for ((method, path), answer) in paths.iter().zip(answers) {
        assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text);
        assert_eq!(answer.problem(503), "not_set_up", "{method} {path}");
        assert_eq!(
            answer.json()["detail"],
            "Plinth is not set up yet: POST /api/db/setup, or run `plinth-ops setup`"
        );
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let stranger = app.anonymous();
    let actors = [
        stranger.clone(),
        stranger.with_bearer("wrong"),
        stranger.with_bearer(""),
        stranger.with_header("authorization", "Basic c2V0dXA6dG9rZW4="),
        stranger.with_header("authorization", TOKEN),
    ];
    for actor in actors {
        for body in [
            "{\"type\":\"postgresql\"}",
            "{\"type\":\"mysql\"}",
            "not json",
            "",
        ] {
            let answer = actor
                .send_raw(Method::POST, SETUP, "application/json", body.into())
                .await;
            assert_eq!(answer.problem(401), "unauthenticated", "{body}");
        }
    }
    assert_eq!(files(directory.path()), Vec::<String>::new());
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    let count: i64 = app.world.client().query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(count, 0);
}

#[tokio::test]
async fn values_that_do_not_fit_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let app = fresh(TestDatabase::empty().await, directory.path()).await;
    let owner = owner(&app.anonymous());
    let with = |field: &str, value: Value| {
        let mut body = json!({
            "type": "postgresql",
            "domain": {"slug": "acme", "name": "Acme"},
            "operator": {"email": "boss@acme.test", "password": PASSWORD},
        });
        *body
            .pointer_mut(&format!("/{}", field.replace('.', "/")))
            .unwrap() = value;
        body
    };
    let cases = [
        ("type", json!("mysql")),
        ("type", json!(1)),
        ("domain.slug", json!("Not A Slug")),
        ("domain.slug", json!("platform")),
        ("domain.slug", json!("x".repeat(64))),
        ("domain.name", json!("")),
        ("domain.name", json!("a\u{0}b")),
        ("operator.email", json!("nobody")),
        ("operator.email", json!(format!("{}@acme.test", "x".repeat(300)))),
        ("operator.password", json!("short")),
        ("operator.password", json!("x".repeat(257))),
        ("operator.password", json!(12_345_678_901_u64)),
    ];
    for (field, value) in cases {
        let answer = owner.post(SETUP, &with(field, value.clone())).await;
        assert_eq!(answer.problem(422), "invalid", "{field} = {value}");
        let named: Vec<_> = answer.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(named, [field], "{}", answer.text);
        assert!(
            !answer.text.contains("12345678901"),
            "a password came back: {}",
            answer.text
        );
    }
    let several = json!({"type": "x", "domain": {"slug": "-", "name": ""}});
    let answer = owner.post(SETUP, &several).await;
    assert_eq!(answer.expect(422)["errors"].as_array().unwrap().len(), 3);
    assert_eq!(files(directory.path()), Vec::<String>::new());
    owner
        .post(SETUP, &json!({"type": "postgresql"}))
        .await
        .expect(200);
}
