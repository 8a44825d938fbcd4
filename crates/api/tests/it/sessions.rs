//! Sessions: seen, ended, and what proves them.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, Actor, GLOBEX, PASSWORD};

use crate::app::TestApp;
use crate::people::{UNKNOWN, api_key, essence, noted, person, refused, rows, with};

const SESSIONS: &str = "/api/v1/me/sessions";
const NEW: &str = "a password that nobody has had before";

async fn sign_in(app: &TestApp, email: &str, password: &str) -> Actor {
    let body = json!({"domain": ACME, "email": email, "password": password});
    let answer = app
        .anonymous()
        .with_header("user-agent", "Tests/1")
        .post("/api/v1/sessions", &body)
        .await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    answer.expect(201);
    app.anonymous()
        .with_session(cookie.split(['=', ';']).nth(1).unwrap())
}

fn id(session: &Value) -> &str {
    session["id"].as_str().unwrap()
}

#[tokio::test]
async fn one_sees_and_ends_ones_own_sessions() {
    let app = TestApp::start().await;
    let here = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let there = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let listed = here.get(SESSIONS).await.expect(200);
    let sessions = listed["items"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    // Newest first.
    assert_eq!(
        (&sessions[0]["current"], &sessions[1]["current"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(sessions[0]["user_agent"], "Tests/1");
    assert_eq!(sessions[0]["ip"], "127.0.0.1");
    assert!(!listed.to_string().contains("token"), "{listed}");
    let first = here.get(&format!("{SESSIONS}?limit=1")).await.expect(200);
    let next = format!(
        "{SESSIONS}?limit=1&cursor={}",
        first["next_cursor"].as_str().unwrap()
    );
    assert_eq!(here.get(&next).await.expect(200)["items"][0], sessions[1]);

    let other = format!("{SESSIONS}/{}", id(&sessions[0]));
    here.delete(&other).await.expect(204);
    assert_eq!(there.get("/api/v1/me").await.problem(401), "unauthenticated");
    assert_eq!(here.delete(&other).await.problem(404), "not_found");
    assert_eq!(
        here.get(SESSIONS).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // One that lay idle too long has ended, and is no longer shown.
    let idle = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let age = "UPDATE sessions SET last_used_at = now() - interval '2 days' WHERE id = (SELECT id FROM sessions ORDER BY id DESC LIMIT 1)";
    app.world.client().execute(age, &[]).await.unwrap();
    assert_eq!(idle.get("/api/v1/me").await.problem(401), "unauthenticated");
    assert_eq!(
        here.get(SESSIONS).await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Signing out is ending the session that one has.
    here.delete("/api/v1/sessions/current").await.expect(204);
    assert_eq!(here.get(SESSIONS).await.problem(401), "unauthenticated");
    assert_eq!(noted(&app, "session.revoke", "success").await, 2);
}

#[tokio::test]
async fn sessions_of_others_take_their_permission() {
    let app = TestApp::start().await;
    let (admin, editor, target) = (
        app.admin().await,
        with(&app, SystemRole::Editor).await,
        person(&app).await,
    );
    let path = format!("/api/v1/users/{}/sessions", target.id);
    let listed = admin.get(&path).await.expect(200);
    let session = format!("{path}/{}", id(&listed["items"][0]));
    refused(&app, &editor.actor, "GET", &path, None, "session:read").await;
    refused(&app, &editor.actor, "DELETE", &session, None, "session:revoke").await;
    assert_eq!(app.anonymous().get(&path).await.problem(401), "unauthenticated");
    // A session belongs to its user, in whatever path it stands.
    let elsewhere = format!("/api/v1/users/{}/sessions/{}", editor.id, id(&listed["items"][0]));
    assert_eq!(admin.delete(&elsewhere).await.problem(404), "not_found");
    assert_eq!(
        editor
            .actor
            .delete(&format!("{SESSIONS}/{}", id(&listed["items"][0])))
            .await
            .problem(404),
        "not_found"
    );
    target.actor.get("/api/v1/me").await.expect(200);
    admin.delete(&session).await.expect(204);
    assert_eq!(
        target.actor.get("/api/v1/me").await.problem(401),
        "unauthenticated"
    );
    assert_eq!(admin.get(&path).await.expect(200)["items"], json!([]));

    // Of another domain: neither its users nor its sessions are there.
    let theirs = app.other_admin().await;
    let them = app.world.first_user(GLOBEX).await;
    let listed = theirs.get(SESSIONS).await.expect(200);
    let session = id(&listed["items"][0]);
    let foreign = admin.get(&format!("/api/v1/users/{them}/sessions")).await;
    let unknown = admin.get(&format!("/api/v1/users/{UNKNOWN}/sessions")).await;
    assert_eq!(foreign.problem(404), "not_found");
    assert_eq!(essence(&foreign, them), essence(&unknown, UNKNOWN));
    for path in [
        format!("/api/v1/users/{them}/sessions"),
        path,
        SESSIONS.to_owned(),
    ] {
        let foreign = admin.delete(&format!("{path}/{session}")).await;
        let unknown = admin.delete(&format!("{path}/{UNKNOWN}")).await;
        assert_eq!(foreign.problem(404), "not_found");
        assert_eq!(essence(&foreign, session), essence(&unknown, UNKNOWN));
    }
    theirs.get("/api/v1/me").await.expect(200);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    let app = TestApp::start().await;
    let here = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let there = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let bystander = app.with_role(Some(SystemRole::Viewer)).await;
    let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
    let path = "/api/v1/me/password";
    for (body, field) in [
        (change("not the password", NEW), "old_password"),
        (change(PASSWORD, "short"), "new_password"),
        (change("", NEW), "old_password"),
        (json!({"old_password": PASSWORD}), "new_password"),
        (
            json!({"old_password": PASSWORD, "new_password": 12_345_678_901_u64}),
            "new_password",
        ),
    ] {
        let answer = here.post(path, &body).await;
        assert_eq!(answer.problem(422), "invalid");
        assert!(
            answer.json()["errors"].to_string().contains(field),
            "{}",
            answer.text
        );
        assert!(
            !answer.text.contains(PASSWORD) && !answer.text.contains("12345678901"),
            "{}",
            answer.text
        );
    }
    there.get("/api/v1/me").await.expect(200);
    here.post(path, &change(PASSWORD, NEW)).await.expect(204);
    here.get("/api/v1/me").await.expect(200);
    bystander.get("/api/v1/me").await.expect(200);
    assert_eq!(there.get("/api/v1/me").await.problem(401), "unauthenticated");
    let old = json!({"domain": ACME, "email": "operator@plinth.test", "password": PASSWORD});
    assert_eq!(
        app.anonymous().post("/api/v1/sessions", &old).await.problem(401),
        "unauthenticated"
    );
    sign_in(&app, "operator@plinth.test", NEW).await;
    assert_eq!(
        app.anonymous()
            .post(path, &change(NEW, PASSWORD))
            .await
            .problem(401),
        "unauthenticated"
    );
    // An account without a password has none that fits.
    assert_eq!(
        bystander.post(path, &change(PASSWORD, NEW)).await.problem(422),
        "invalid"
    );

    assert_eq!(noted(&app, "user.change_password", "success").await, 1);
    let stream = rows(&app, "activity_stream").await;
    assert!(
        !stream.contains(PASSWORD) && !stream.contains(NEW) && !stream.contains("$2a$"),
        "{stream}"
    );
}

#[tokio::test]
async fn a_changed_password_ends_the_api_keys_when_asked() {
    let app = TestApp::start().await;
    let here = sign_in(&app, "operator@plinth.test", PASSWORD).await;
    let user = app.world.first_user(ACME).await;
    let stranger = with(&app, SystemRole::Viewer).await;
    let mut keys = Vec::new();
    for permissions in [None, Some(["card:read"].as_slice())] {
        let key = app.world.api_key(ACME, user, permissions).await;
        keys.push(app.anonymous().with_bearer(&key));
    }
    let other = api_key(&app, stranger.id, &["card:read"]).await;
    let path = "/api/v1/me/password";
    let change = |old: &str, new: &str, revoke: Value| json!({"old_password": old, "new_password": new, "revoke_api_keys": revoke});
    // They stay when nothing is said, when it is not asked for, and when the password does not fit.
    let silent = json!({"old_password": PASSWORD, "new_password": NEW});
    here.post(path, &silent).await.expect(204);
    here.post(path, &change(NEW, PASSWORD, json!(false)))
        .await
        .expect(204);
    let wrong = change("not the password", NEW, json!(true));
    assert_eq!(here.post(path, &wrong).await.problem(422), "invalid");
    let unclear = change(PASSWORD, NEW, json!("yes"));
    assert_eq!(here.post(path, &unclear).await.problem(422), "invalid");
    for key in &keys {
        key.get("/api/v1/me").await.expect(200);
    }
    here.post(path, &change(PASSWORD, NEW, json!(true)))
        .await
        .expect(204);
    for key in &keys {
        assert_eq!(key.get("/api/v1/me").await.problem(401), "unauthenticated");
    }
    other.get("/api/v1/me").await.expect(200);
    here.get("/api/v1/me").await.expect(200);
    assert_eq!(noted(&app, "api_key.revoke", "success").await, 2);
    // Also when there is none left.
    here.post(path, &change(NEW, PASSWORD, json!(true)))
        .await
        .expect(204);
}

#[tokio::test]
async fn the_session_cookie_is_this_hosts_alone() {
    let app = TestApp::start().await;
    let body = json!({"domain": ACME, "email": "operator@plinth.test", "password": PASSWORD});
    let visitor = app.anonymous().with_header("host", "plinth.test");
    let cookie = |answer: &test_support::Answer| answer.headers["set-cookie"].to_str().unwrap().to_owned();
    let set = cookie(&visitor.post("/api/v1/sessions", &body).await);
    // What browsers ask of the prefix. Source: RFC 6265bis, section 4.1.3.2.
    assert!(set.starts_with("__Host-plinth_session="), "{set}");
    for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(
            set.split("; ").any(|other| other == part),
            "{part} is missing: {set}"
        );
    }
    assert!(!set.contains("Domain"), "{set}");
    let token = set.split(['=', ';']).nth(1).unwrap();
    let (secure, plain) = (
        format!("__Host-plinth_session={token}"),
        format!("plinth_session={token}"),
    );
    visitor
        .with_header("cookie", &secure)
        .get("/api/v1/me")
        .await
        .expect(200);
    // A neighbour can set the other name, which counts for nothing here.
    assert_eq!(
        visitor
            .with_header("cookie", &plain)
            .get("/api/v1/me")
            .await
            .problem(401),
        "unauthenticated"
    );
    let both = format!("plinth_session=forged; {secure}");
    visitor
        .with_header("cookie", &both)
        .get("/api/v1/me")
        .await
        .expect(200);

    let loopback = app.anonymous();
    let set = cookie(&loopback.post("/api/v1/sessions", &body).await);
    assert!(
        set.starts_with("plinth_session=") && !set.contains("Secure"),
        "{set}"
    );
    assert_eq!(
        loopback
            .with_header("cookie", &secure)
            .get("/api/v1/me")
            .await
            .problem(401),
        "unauthenticated"
    );
    // Which of two is meant nobody can say.
    for twice in [
        format!("{plain}; {plain}"),
        format!("plinth_session=forged; {plain}"),
    ] {
        let answer = loopback.with_header("cookie", &twice).get("/api/v1/me").await;
        assert_eq!(answer.problem(400), "two_sessions");
    }
    let lines = loopback
        .with_header("cookie", &plain)
        .and_header("cookie", &plain);
    assert_eq!(lines.get("/api/v1/me").await.problem(400), "two_sessions");

    let signed_in = visitor.with_header("cookie", &secure);
    let gone = signed_in.delete("/api/v1/sessions/current").await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let gone = cookie(&gone);
    assert!(
        gone.starts_with("__Host-plinth_session=;") && gone.contains("Max-Age=0"),
        "{gone}"
    );
}

#[tokio::test]
async fn an_api_key_is_no_session() {
    let app = TestApp::start().await;
    let admin = with(&app, SystemRole::Admin).await;
    let whole = app
        .anonymous()
        .with_bearer(&app.world.api_key(ACME, admin.id, None).await);
    let listed = admin.actor.get(SESSIONS).await.expect(200);
    let own = format!("{SESSIONS}/{}", id(&listed["items"][0]));
    let password = json!({"old_password": PASSWORD, "new_password": NEW});
    let keys = [whole, api_key(&app, admin.id, &["card:read"]).await];
    for key in &keys {
        refused(
            &app,
            key,
            "POST",
            "/api/v1/me/password",
            Some(password.clone()),
            "own",
        )
        .await;
        refused(&app, key, "GET", SESSIONS, None, "own").await;
        refused(&app, key, "DELETE", &own, None, "own").await;
        refused(&app, key, "DELETE", "/api/v1/sessions/current", None, "own").await;
    }
    app.world
        .client()
        .execute("UPDATE api_keys SET revoked_at = now()", &[])
        .await
        .unwrap();
    for key in &keys {
        assert_eq!(key.get(SESSIONS).await.problem(401), "unauthenticated");
    }
    admin.actor.get("/api/v1/me").await.expect(200);
}

#[tokio::test]
async fn me_says_where_one_is_and_what_one_may_do() {
    let app = TestApp::start().await;
    let me = async |actor: &Actor| actor.get("/api/v1/me").await.expect(200);
    let names = |me: &Value| -> Vec<String> { serde_json::from_value(me["permissions"].clone()).unwrap() };
    let admin = me(&app.admin().await).await;
    assert_eq!(admin["domain"]["slug"], ACME);
    assert_eq!(admin["domain"]["id"], json!(app.world.domain(ACME).await));
    assert!(names(&admin).contains(&"role:create".to_owned()), "{admin}");
    assert!(
        !names(&admin).iter().any(|name| name.starts_with("domain:")),
        "of no effect in a tenant: {admin}"
    );
    let operator = me(&app.operator().await).await;
    assert_eq!(operator["domain"]["slug"], "platform");
    assert!(
        names(&operator).contains(&"domain:create".to_owned()),
        "{operator}"
    );
    let viewer = me(&app.with_role(Some(SystemRole::Viewer)).await).await;
    let expected: Vec<&str> = SystemRole::Viewer
        .permissions()
        .into_iter()
        .map(db_core::Permission::name)
        .collect();
    let mut shown = names(&viewer);
    assert!(shown.is_sorted(), "{shown:?}");
    shown.sort_by_key(|name| expected.iter().position(|known| known == name));
    assert_eq!(shown, expected);
    let limited = with(&app, SystemRole::Viewer).await;
    let key = api_key(&app, limited.id, &["card:read", "card:delete"]).await;
    assert_eq!(names(&me(&key).await), ["card:read"]);
    assert_eq!(names(&me(&person(&app).await.actor).await), [""; 0]);
}
