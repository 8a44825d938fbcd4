//! API keys: shown once, never more than their user and their maker, gone with the next request.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, Actor, GLOBEX};

use crate::app::TestApp;
use crate::people::{UNKNOWN, api_key, essence, noted, person, refused, rows, with};

const KEYS: &str = "/api/v1/api-keys";

fn path(key: &Value) -> String {
    format!("{KEYS}/{}", key["id"].as_str().unwrap())
}

/// Makes a key; returns its row and somebody who uses it.
async fn make(app: &TestApp, actor: &Actor, body: Value) -> (Value, Actor) {
    let made = actor.post(KEYS, &body).await.expect(201);
    let user = app.anonymous().with_bearer(made["key"].as_str().unwrap());
    (made, user)
}

#[tokio::test]
async fn a_key_is_shown_once_used_renamed_and_revoked() {
    let app = TestApp::start().await;
    let editor = with(&app, SystemRole::Editor).await;
    let answer = editor.actor.post(KEYS, &json!({"name": "Robot"})).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let made = answer.expect(201);
    let secret = made["key"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("plinth_key_") && secret.ends_with(made["last_four"].as_str().unwrap()));
    assert_eq!(location, path(&made));
    let mut shown = made.clone();
    shown.as_object_mut().unwrap().remove("key");
    assert_eq!(editor.actor.get(&path(&made)).await.expect(200), shown);
    let listed = editor.actor.get(KEYS).await.expect(200);
    assert_eq!(listed, json!({"items": [shown], "next_cursor": null}));

    let robot = app.anonymous().with_bearer(&secret);
    assert_eq!(robot.get("/api/v1/me").await.expect(200)["id"], json!(editor.id));
    let renamed = editor
        .actor
        .patch(&path(&made), &json!({"name": "Robot 2"}))
        .await
        .expect(200);
    assert_eq!(renamed["name"], "Robot 2");
    robot.get("/api/v1/me").await.expect(200);
    let forged = format!(
        "{}{}",
        &secret[..secret.len() - 1],
        if secret.ends_with('A') { 'B' } else { 'A' }
    );
    assert_eq!(
        app.anonymous()
            .with_bearer(&forged)
            .get("/api/v1/me")
            .await
            .problem(401),
        "unauthenticated"
    );

    // The server has confirmed it a moment ago, and must not go by that.
    robot.get("/api/v1/organizations").await.expect(200);
    editor.actor.delete(&path(&made)).await.expect(204);
    assert_eq!(
        robot.get("/api/v1/organizations").await.problem(401),
        "unauthenticated"
    );
    assert_eq!(editor.actor.delete(&path(&made)).await.problem(404), "not_found");
    assert_eq!(editor.actor.get(&path(&made)).await.problem(404), "not_found");
    assert_eq!(
        editor
            .actor
            .patch(&path(&made), &json!({"name": "X"}))
            .await
            .problem(404),
        "not_found"
    );
    assert_eq!(editor.actor.get(KEYS).await.expect(200)["items"], json!([]));

    let stored = rows(&app, "api_keys").await;
    assert!(stored.contains("$2a$04$"), "{stored}");
    let stream = rows(&app, "activity_stream").await;
    for action in ["api_key.create", "api_key.update", "api_key.revoke"] {
        assert_eq!(noted(&app, action, "success").await, 1, "{action}");
    }
    // The part of the key that proves, in the middle of it.
    let proof = &secret["plinth_key_".len() + 22..secret.len() - 6];
    assert!(!stored.contains(proof) && !stream.contains(proof) && !stream.contains("$2a$"));
}

#[tokio::test]
async fn a_key_is_held_to_its_limits_and_its_user() {
    let app = TestApp::start().await;
    let admin = with(&app, SystemRole::Admin).await;
    let board = app.board(&admin.actor).await;
    let (_, reader) = make(
        &app,
        &admin.actor,
        json!({"name": "R", "permissions": ["card:read", "card:read"]}),
    )
    .await;
    let (made, all) = make(&app, &admin.actor, json!({"name": "All", "permissions": null})).await;
    assert_eq!(made["permissions"], json!(null));
    let cards = format!("/api/v1/boards/{}/cards", board.board);
    reader.get(&cards).await.expect(200);
    let card = format!("/api/v1/columns/{}/cards", board.column);
    refused(
        &app,
        &reader,
        "POST",
        &card,
        Some(json!({"title": "X"})),
        "card:create",
    )
    .await;
    refused(
        &app,
        &reader,
        "GET",
        "/api/v1/organizations",
        None,
        "organization:read",
    )
    .await;
    all.post(&card, &json!({"title": "X"})).await.expect(201);
    // What its user loses, the key has lost at its next request.
    let demote = "UPDATE user_roles SET role_id = $1 WHERE user_id = $2";
    let viewer = SystemRole::Viewer.id().uuid();
    app.world
        .client()
        .execute(demote, &[&viewer, &admin.id])
        .await
        .unwrap();
    refused(
        &app,
        &all,
        "POST",
        &card,
        Some(json!({"title": "X"})),
        "card:create",
    )
    .await;
    reader.get(&cards).await.expect(200);
    app.world
        .client()
        .execute("DELETE FROM user_roles WHERE user_id = $1", &[&admin.id])
        .await
        .unwrap();
    assert_eq!(reader.get(&cards).await.problem(403), "forbidden");
    // And what has ended by itself counts no more.
    app.world
        .client()
        .execute("UPDATE api_keys SET expires_at = now()", &[])
        .await
        .unwrap();
    assert_eq!(reader.get("/api/v1/me").await.problem(401), "unauthenticated");
}

#[tokio::test]
async fn nobody_makes_a_key_of_what_they_do_not_hold() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let want = |names: &[&str]| json!({"name": "K", "permissions": names});
    let denied = "api_key:create";
    let editor = with(&app, SystemRole::Editor).await.actor;
    refused(
        &app,
        &editor,
        "POST",
        KEYS,
        Some(want(&["card:read", "role:assign"])),
        denied,
    )
    .await;
    editor.post(KEYS, &want(&["card:read"])).await.expect(201);
    let viewer = with(&app, SystemRole::Viewer).await.actor;
    refused(&app, &viewer, "POST", KEYS, Some(want(&["card:read"])), denied).await;
    // In a tenant the rights of operators are nobody's, although the role's name is the same.
    refused(&app, &admin, "POST", KEYS, Some(want(&["domain:create"])), denied).await;
    app.operator()
        .await
        .post(KEYS, &want(&["domain:create"]))
        .await
        .expect(201);
    // Held in one project is held: that is where the key will count.
    let local = person(&app).await;
    let project = board.project.parse().unwrap();
    app.world
        .assign(ACME, local.id, SystemRole::Editor, None, Some(project))
        .await;
    let (_, key) = make(&app, &local.actor, want(&["card:read"])).await;
    key.get(&format!("/api/v1/boards/{}/cards", board.board))
        .await
        .expect(200);
    let elsewhere = app.board(&admin).await;
    assert_eq!(
        key.get(&format!("/api/v1/boards/{}/cards", elsewhere.board))
            .await
            .problem(403),
        "forbidden"
    );
    assert_eq!(
        app.anonymous()
            .post(KEYS, &want(&["card:read"]))
            .await
            .problem(401),
        "unauthenticated"
    );
}

#[tokio::test]
async fn a_key_makes_no_key_that_is_more_than_itself() {
    let app = TestApp::start().await;
    let admin = with(&app, SystemRole::Admin).await;
    let limits = json!(["card:read", "api_key:create"]);
    let until = "2100-01-01T00:00:00Z";
    let own = json!({"name": "Maker", "permissions": limits, "expires_at": until});
    let (made, maker) = make(&app, &admin.actor, own).await;
    let (sibling, other) = make(&app, &admin.actor, json!({"name": "Sibling"})).await;
    let rows_before = rows(&app, "api_keys").await.lines().count();
    for body in [
        json!({"name": "K", "expires_at": until}),
        json!({"name": "K", "permissions": null, "expires_at": until}),
        json!({"name": "K", "permissions": ["card:read", "card:delete"], "expires_at": until}),
        json!({"name": "K", "permissions": ["card:read"]}),
        json!({"name": "K", "permissions": ["card:read"], "expires_at": "2100-01-01T00:00:01Z"}),
    ] {
        refused(&app, &maker, "POST", KEYS, Some(body), "api_key:create").await;
    }
    assert_eq!(rows(&app, "api_keys").await.lines().count(), rows_before);
    let less = json!({"name": "K", "permissions": ["card:read"], "expires_at": until});
    make(&app, &maker, less).await;
    // A key without limits makes what its user may make.
    make(&app, &other, json!({"name": "K", "permissions": ["role:assign"]})).await;

    // Of its user's other keys a limited one sees nothing, and changes nothing.
    let seen = maker.get(KEYS).await.expect(200);
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert_eq!(seen["items"][0]["id"], made["id"]);
    assert_eq!(
        other.get(KEYS).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    for method in ["GET", "PATCH", "DELETE"] {
        let body = (method == "PATCH").then(|| json!({"name": "Mine"}));
        let hidden = maker
            .send(method.parse().unwrap(), &path(&sibling), body.as_ref())
            .await;
        let unknown = maker
            .send(
                method.parse().unwrap(),
                &format!("{KEYS}/{UNKNOWN}"),
                body.as_ref(),
            )
            .await;
        assert_eq!(hidden.problem(404), "not_found", "{method}");
        assert_eq!(
            essence(&hidden, sibling["id"].as_str().unwrap()),
            essence(&unknown, UNKNOWN)
        );
    }
    // It may give itself up.
    maker.delete(&path(&made)).await.expect(204);
    assert_eq!(maker.get("/api/v1/me").await.problem(401), "unauthenticated");
    other.get("/api/v1/me").await.expect(200);
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (body, field) in [
        (json!({"name": " "}), "name"),
        (json!({"name": "a\u{0}"}), "name"),
        (json!({}), "name"),
        (json!({"name": "K", "permissions": []}), "permissions"),
        (
            json!({"name": "K", "permissions": ["card:read", "card:fly"]}),
            "permissions[1]",
        ),
        (json!({"name": "K", "permissions": "card:read"}), "permissions"),
        (
            json!({"name": "K", "expires_at": "2001-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"name": "K", "expires_at": "+200000-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (json!({"name": "K", "expires_at": "tomorrow"}), "expires_at"),
        (json!({"name": "K", "user_id": UNKNOWN}), "user_id"),
    ] {
        let answer = admin.post(KEYS, &body).await;
        assert_eq!(answer.problem(422), "invalid", "{body}");
        assert_eq!(
            answer.json()["errors"][0]["field"],
            field,
            "{body}: {}",
            answer.text
        );
    }
    let (made, _) = make(&app, &admin, json!({"name": "K"})).await;
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "K", "permissions": null}),
    ] {
        assert_eq!(
            admin.patch(&path(&made), &body).await.problem(422),
            "invalid",
            "{body}"
        );
    }
    for query in ["limit=201", "cursor=x", "name=K"] {
        assert_eq!(
            admin.get(&format!("{KEYS}?{query}")).await.problem(400),
            "invalid_query",
            "{query}"
        );
    }
}

#[tokio::test]
async fn keys_of_others_take_their_permission() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (target, editor) = (
        with(&app, SystemRole::Editor).await,
        with(&app, SystemRole::Editor).await,
    );
    let (made, robot) = make(&app, &target.actor, json!({"name": "Robot"})).await;
    robot.get("/api/v1/me").await.expect(200);
    let keys = format!("/api/v1/users/{}/api-keys", target.id);
    let one = format!("{keys}/{}", made["id"].as_str().unwrap());
    let listed = admin.get(&keys).await;
    assert!(!listed.text.contains(made["key"].as_str().unwrap()));
    assert_eq!(listed.expect(200)["items"][0]["id"], made["id"]);
    refused(&app, &editor.actor, "GET", &keys, None, "api_key:read").await;
    refused(&app, &editor.actor, "DELETE", &one, None, "api_key:revoke").await;
    assert_eq!(app.anonymous().get(&keys).await.problem(401), "unauthenticated");
    // Somebody else's key is not one's own, and belongs to its user in whatever path it stands.
    for method in ["GET", "DELETE"] {
        let answer = editor
            .actor
            .send(method.parse().unwrap(), &path(&made), None)
            .await;
        assert_eq!(answer.problem(404), "not_found");
    }
    let elsewhere = format!(
        "/api/v1/users/{}/api-keys/{}",
        editor.id,
        made["id"].as_str().unwrap()
    );
    assert_eq!(admin.delete(&elsewhere).await.problem(404), "not_found");
    robot.get("/api/v1/me").await.expect(200);
    admin.delete(&one).await.expect(204);
    assert_eq!(robot.get("/api/v1/me").await.problem(401), "unauthenticated");
    assert_eq!(admin.delete(&one).await.problem(404), "not_found");
    assert_eq!(admin.get(&keys).await.expect(200)["items"], json!([]));

    let theirs = app.other_admin().await;
    let them = app.world.first_user(GLOBEX).await;
    let (made, robot) = make(&app, &theirs, json!({"name": "Theirs"})).await;
    let foreign_id = made["id"].as_str().unwrap();
    let foreign = admin.get(&format!("/api/v1/users/{them}/api-keys")).await;
    let unknown = admin.get(&format!("/api/v1/users/{UNKNOWN}/api-keys")).await;
    assert_eq!(foreign.problem(404), "not_found");
    assert_eq!(essence(&foreign, them), essence(&unknown, UNKNOWN));
    for base in [KEYS.to_owned(), keys, format!("/api/v1/users/{them}/api-keys")] {
        let foreign = admin.delete(&format!("{base}/{foreign_id}")).await;
        let unknown = admin.delete(&format!("{base}/{UNKNOWN}")).await;
        assert_eq!(foreign.problem(404), "not_found");
        assert_eq!(essence(&foreign, foreign_id), essence(&unknown, UNKNOWN));
    }
    robot.get("/api/v1/me").await.expect(200);
    let key = api_key(&app, target.id, &["card:read"]).await;
    assert_eq!(
        key.get(&format!("{KEYS}/{foreign_id}")).await.problem(404),
        "not_found"
    );
}
