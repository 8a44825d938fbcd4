//! Accounts: made, changed, deactivated, and never by whoever holds less than they do.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, Actor, GLOBEX, PASSWORD};

use crate::app::TestApp;
use crate::people::{
    Person, UNKNOWN, api_key, essence, first_admin, person, refused, rows, with, with_permissions,
};

const SECRET: &str = "a secret of ten words, none of them written down";

fn user(person: &Person) -> String {
    format!("/api/v1/users/{}", person.id)
}

fn sign_in(email: &str, password: &str) -> Value {
    json!({"domain": ACME, "email": email, "password": password})
}

#[tokio::test]
async fn an_account_is_made_found_and_changed() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let new = json!({"email": "Ann@Example.test", "name": "Ann", "password": SECRET});
    let answer = admin.post("/api/v1/users", &new).await;
    let (location, etag) = (answer.headers["location"].clone(), answer.headers["etag"].clone());
    let ann = answer.expect(201);
    assert_eq!(ann["email"], "ann@example.test");
    assert_eq!((&ann["status"], &ann["version"]), (&json!("active"), &json!(1)));
    assert_eq!(etag, "\"1\"");
    let path = location.to_str().unwrap();
    assert_eq!(path, format!("/api/v1/users/{}", ann["id"].as_str().unwrap()));
    assert_eq!(admin.get(path).await.expect(200), ann);

    // Without a role she signs in, and may do nothing.
    let in_ = app
        .anonymous()
        .post("/api/v1/sessions", &sign_in("ANN@example.test", SECRET))
        .await;
    let token = in_.headers["set-cookie"]
        .to_str()
        .unwrap()
        .split(['=', ';'])
        .nth(1)
        .unwrap()
        .to_owned();
    let hers = app.anonymous().with_session(&token);
    assert_eq!(hers.get("/api/v1/me").await.expect(200)["permissions"], json!([]));
    assert_eq!(hers.get("/api/v1/users").await.problem(403), "forbidden");

    let found = admin
        .get("/api/v1/users?email=ANN%40example.test")
        .await
        .expect(200);
    assert_eq!(found, json!({"items": [ann], "next_cursor": null}));
    let none = admin
        .get("/api/v1/users?email=an%40example.test")
        .await
        .expect(200);
    assert_eq!(none["items"], json!([]), "a part of an address finds nobody");
    let first = admin.get("/api/v1/users?limit=1").await.expect(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = admin
        .get(&format!("/api/v1/users?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        (&second["items"][0], &second["next_cursor"]),
        (&ann, &json!(null))
    );

    let rename = json!({"name": "Ann Other"});
    let stale = admin.with_header("if-match", "\"7\"").patch(path, &rename).await;
    assert_eq!(stale.problem(412), "stale_version");
    let renamed = admin
        .with_header("if-match", "\"1\"")
        .patch(path, &rename)
        .await
        .expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["version"]),
        (&json!("Ann Other"), &json!(2))
    );
    admin
        .patch(path, &json!({"email": "Other@Example.test"}))
        .await
        .expect(200);
    app.anonymous()
        .post("/api/v1/sessions", &sign_in("ann@example.test", SECRET))
        .await
        .problem(401);
    app.anonymous()
        .post("/api/v1/sessions", &sign_in("other@example.test", SECRET))
        .await
        .expect(201);

    let taken = json!({"email": "OTHER@example.test", "name": "Bob", "password": SECRET});
    assert_eq!(
        admin.post("/api/v1/users", &taken).await.problem(409),
        "email_taken"
    );
    let taken = json!({"email": "operator@plinth.test"});
    assert_eq!(admin.patch(path, &taken).await.problem(409), "email_taken");
    // The same address in the other domain is another account.
    app.other_admin()
        .await
        .post(
            "/api/v1/users",
            &json!({"email": "other@example.test", "name": "Bob", "password": SECRET}),
        )
        .await
        .expect(201);
    let stream = rows(&app, "activity_stream").await;
    assert!(stream.contains("user.create") && stream.contains("user.update"));
    assert!(!stream.contains(SECRET) && !stream.contains("$2a$"), "{stream}");
}

#[tokio::test]
async fn what_does_not_fit_is_named_and_not_repeated() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let before = rows(&app, "users").await;
    let good = json!({"email": "ann@example.test", "name": "Ann", "password": SECRET});
    let long = format!("{}@x.test", "a".repeat(250));
    // In lower case it is twice as long: what is stored must fit.
    let grows = format!("{}@x.test", "İ".repeat(200));
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("a@b@c")),
        ("email", json!("a\u{0}@b.test")),
        ("email", json!(long)),
        ("email", json!(grows)),
        ("email", json!(null)),
        ("name", json!("")),
        ("name", json!("two\nlines")),
        ("name", json!("a".repeat(201))),
        ("password", json!("short")),
        ("password", json!("p".repeat(257))),
        ("password", json!(1_234_567_890)),
        ("password", json!([SECRET])),
        ("role", json!("Admin")),
        ("status", json!("active")),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = admin.post("/api/v1/users", &body).await;
        assert_eq!(answer.problem(422), "invalid", "{field} {value}");
        let problem = answer.json();
        let named = problem["errors"][0].to_string();
        assert!(named.contains(field), "{field} {value}: {named}");
        assert!(
            !answer.text.contains(SECRET) && !answer.text.contains("1234567890"),
            "{}",
            answer.text
        );
    }
    let ann = admin.post("/api/v1/users", &good).await.expect(201);
    let path = format!("/api/v1/users/{}", ann["id"].as_str().unwrap());
    for body in [
        json!({"password": SECRET}),
        json!({"status": "deactivated"}),
        json!({"email": "none"}),
    ] {
        assert_eq!(admin.patch(&path, &body).await.problem(422), "invalid", "{body}");
    }
    for query in [
        "email=none",
        "email=a%00@b",
        "status=active",
        "limit=0",
        "cursor=x",
    ] {
        let answer = admin.get(&format!("/api/v1/users?{query}")).await;
        assert_eq!(answer.problem(400), "invalid_query", "{query}");
    }
    assert_eq!(
        rows(&app, "users").await.lines().count(),
        before.lines().count() + 1
    );
}

/// Each way to change an account, and the permission that it takes.
fn changes(person: &Person) -> [(&'static str, String, Option<Value>, &'static str); 4] {
    let path = user(person);
    [
        (
            "PATCH",
            path.clone(),
            Some(json!({"name": "Mine"})),
            "user:update",
        ),
        (
            "PATCH",
            path.clone(),
            Some(json!({"email": format!("mine-{}@example.test", person.id)})),
            "user:update",
        ),
        ("POST", format!("{path}/deactivate"), None, "user:deactivate"),
        ("POST", format!("{path}/reactivate"), None, "user:deactivate"),
    ]
}

async fn all_refused(app: &TestApp, actor: &Actor, target: &Person) {
    let before = rows(app, "users").await;
    for (method, path, body, permission) in changes(target) {
        refused(app, actor, method, &path, body, permission).await;
    }
    assert_eq!(rows(app, "users").await, before);
}

async fn all_done(actor: &Actor, target: &Person) {
    for (method, path, body, _) in changes(target) {
        actor
            .send(method.parse().unwrap(), &path, body.as_ref())
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn nobody_changes_an_account_that_holds_more() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let board = app.board(&admin.actor).await;
    let manager = with(&app, SystemRole::Manager).await;
    all_refused(&app, &manager.actor, &admin).await;
    // More in one project is more.
    let of_project = person(&app).await;
    let project = board.project.parse().unwrap();
    let assignment = app
        .world
        .assign(ACME, of_project.id, SystemRole::Admin, None, Some(project))
        .await;
    all_refused(&app, &manager.actor, &of_project).await;
    // What has ended counts no more.
    let end = "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE id = $1";
    app.world.client().execute(end, &[&assignment]).await.unwrap();
    all_done(&manager.actor, &of_project).await;
    all_done(&admin.actor, &manager).await;

    let (clerk, _) = with_permissions(&app, "Clerk", &["user:update", "user:deactivate"]).await;
    let viewer = with(&app, SystemRole::Viewer).await;
    all_refused(&app, &clerk.actor, &viewer).await;
    all_done(&clerk.actor, &person(&app).await).await;

    // A key that may change accounts holds less than its Admin does: not even the Admin's own account is its to change.
    let key = api_key(&app, admin.id, &["user:update", "user:deactivate"]).await;
    all_refused(&app, &key, &admin).await;
    all_refused(&app, &key, &viewer).await;
}

#[tokio::test]
async fn who_may_not_gets_nowhere() {
    let app = TestApp::start().await;
    let viewer = with(&app, SystemRole::Viewer).await;
    let target = person(&app).await;
    viewer.actor.get("/api/v1/users").await.expect(200);
    viewer.actor.get(&user(&target)).await.expect(200);
    all_refused(&app, &viewer.actor, &target).await;
    let new = json!({"email": "x@example.test", "name": "X", "password": PASSWORD});
    refused(
        &app,
        &viewer.actor,
        "POST",
        "/api/v1/users",
        Some(new.clone()),
        "user:create",
    )
    .await;
    let nobody = app.anonymous();
    assert_eq!(
        nobody.post("/api/v1/users", &new).await.problem(401),
        "unauthenticated"
    );
    assert_eq!(nobody.get("/api/v1/users").await.problem(401), "unauthenticated");
    for (method, path, body, _) in changes(&target) {
        let answer = nobody.send(method.parse().unwrap(), &path, body.as_ref()).await;
        assert_eq!(answer.problem(401), "unauthenticated");
    }
}

#[tokio::test]
async fn accounts_of_another_domain_do_not_exist() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let theirs = Person {
        id: app.world.first_user(GLOBEX).await,
        actor: app.other_admin().await,
    };
    let nobody = Person {
        id: UNKNOWN,
        actor: app.anonymous(),
    };
    for ((method, path, body, _), (_, unknown, ..)) in changes(&theirs).into_iter().zip(changes(&nobody)) {
        let method: test_support::Method = method.parse().unwrap();
        let foreign = admin.send(method.clone(), &path, body.as_ref()).await;
        assert_eq!(foreign.problem(404), "not_found");
        let unknown = admin.send(method, &unknown, body.as_ref()).await;
        assert_eq!(essence(&foreign, theirs.id), essence(&unknown, UNKNOWN));
    }
    assert_eq!(admin.get(&user(&theirs)).await.problem(404), "not_found");
    let found = admin
        .get("/api/v1/users?email=admin%40globex.test")
        .await
        .expect(200);
    assert_eq!(found["items"], json!([]));
    theirs.actor.get("/api/v1/me").await.expect(200);
}
