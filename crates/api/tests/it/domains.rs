//! Domains: made, suspended and given host names by platform operators, and by nobody else.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, Actor, Answer, GLOBEX, PASSWORD};

use crate::app::TestApp;
use crate::people::{UNKNOWN, noted, refused, rows};

const DOMAINS: &str = "/api/v1/domains";
const SECRET: &str = "what the first admin says to come in";

fn new(slug: &str) -> Value {
    json!({"slug": slug, "name": "Initech",
           "admin": {"email": "Peter@Initech.test", "name": "Peter", "password": SECRET}})
}

async fn sign_in(actor: &Actor, domain: Option<&str>, email: &str, password: &str) -> Answer {
    let mut body = json!({"email": email, "password": password});
    if let Some(domain) = domain {
        body["domain"] = json!(domain);
    }
    actor.post("/api/v1/sessions", &body).await
}

fn signed_in(app: &TestApp, answer: &Answer) -> Actor {
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    app.anonymous()
        .with_session(cookie.split(['=', ';']).nth(1).unwrap())
}

#[tokio::test]
async fn an_operator_makes_a_domain_and_its_admin_moves_in() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let answer = operator.post(DOMAINS, &new("initech")).await;
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    let made = answer.expect(201);
    assert_eq!(
        (&made["slug"], &made["status"]),
        (&json!("initech"), &json!("active"))
    );
    let listed = operator.get(DOMAINS).await.expect(200);
    let slugs: Vec<&str> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["slug"].as_str().unwrap())
        .collect();
    assert_eq!(
        slugs,
        [ACME, GLOBEX, "initech"],
        "the installation's own is no domain of the list"
    );
    let first = operator.get(&format!("{DOMAINS}?limit=2")).await.expect(200);
    let next = format!(
        "{DOMAINS}?limit=2&cursor={}",
        first["next_cursor"].as_str().unwrap()
    );
    assert_eq!(operator.get(&next).await.expect(200)["items"], json!([made]));
    let mut shown = made.clone();
    shown["hosts"] = json!([]);
    assert_eq!(operator.get(&path).await.expect(200), shown);

    let peter = sign_in(&app.anonymous(), Some("initech"), "peter@initech.test", SECRET).await;
    let peter = signed_in(&app, &peter);
    let me = peter.get("/api/v1/me").await.expect(200);
    assert_eq!((&me["name"], &me["domain"]["id"]), (&json!("Peter"), &made["id"]));
    app.board(&peter).await;
    assert_eq!(peter.get(DOMAINS).await.problem(403), "forbidden");
    // The domain's own stream begins with its making, and says who was let in but not how.
    let told = peter
        .get("/api/v1/activity?action=domain.create")
        .await
        .expect(200);
    assert_eq!(told["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        noted(&app, "domain.create", "success").await,
        2,
        "and the installation's says so too"
    );

    assert_eq!(
        operator.post(DOMAINS, &new("initech")).await.problem(409),
        "slug_taken"
    );
    let rename = json!({"name": "Initrode"});
    assert_eq!(
        operator
            .with_header("if-match", "\"9\"")
            .patch(&path, &rename)
            .await
            .problem(412),
        "stale_version"
    );
    let renamed = operator
        .with_header("if-match", "\"1\"")
        .patch(&path, &rename)
        .await
        .expect(200);
    assert_eq!(
        (&renamed["name"], &renamed["version"]),
        (&json!("Initrode"), &json!(2))
    );
    let stream = rows(&app, "activity_stream").await;
    assert!(stream.contains("domain.update"));
    assert!(!stream.contains(SECRET) && !stream.contains("$2a$"), "{stream}");
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let before = rows(&app, "domains").await;
    for (pointer, field, value) in [
        ("/slug", "slug", json!("Initech")),
        ("/slug", "slug", json!("-a")),
        ("/slug", "slug", json!("platform")),
        ("/slug", "slug", json!("a".repeat(64))),
        ("/name", "name", json!("")),
        ("/admin/email", "admin.email", json!("peter")),
        ("/admin/name", "admin.name", json!(" ")),
        ("/admin/password", "admin.password", json!("short")),
        ("/admin/password", "admin.password", json!(1_234_567_890)),
        ("/admin", "admin", json!(null)),
    ] {
        let mut body = new("initech");
        *body.pointer_mut(pointer).unwrap() = value.clone();
        let answer = operator.post(DOMAINS, &body).await;
        assert_eq!(answer.problem(422), "invalid", "{pointer} {value}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.text);
        assert!(
            !answer.text.contains(SECRET) && !answer.text.contains("1234567890"),
            "{}",
            answer.text
        );
    }
    let acme = format!("{DOMAINS}/{}", app.world.domain(ACME).await);
    for body in [
        json!({"slug": "acme2"}),
        json!({"status": "suspended"}),
        json!({"name": "a\u{0}"}),
    ] {
        assert_eq!(
            operator.patch(&acme, &body).await.problem(422),
            "invalid",
            "{body}"
        );
    }
    assert_eq!(rows(&app, "domains").await, before);
}

#[tokio::test]
async fn a_suspended_domain_is_shut_at_the_next_request() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let (session, elsewhere) = (app.admin().await, app.other_admin().await);
    let user = app.world.first_user(ACME).await;
    let key = app
        .anonymous()
        .with_bearer(&app.world.api_key(ACME, user, None).await);
    for actor in [&session, &key] {
        actor.get("/api/v1/me").await.expect(200);
    }
    let path = format!("{DOMAINS}/{}", app.world.domain(ACME).await);
    let suspended = operator
        .post(&format!("{path}/suspend"), &json!({}))
        .await
        .expect(200);
    assert_eq!(suspended["status"], "suspended");
    for actor in [&session, &key] {
        assert_eq!(actor.get("/api/v1/me").await.problem(401), "unauthenticated");
        assert_eq!(
            actor.get("/api/v1/organizations").await.problem(401),
            "unauthenticated"
        );
    }
    let refused = sign_in(&app.anonymous(), Some(ACME), "operator@plinth.test", PASSWORD).await;
    assert_eq!(refused.problem(401), "unauthenticated");
    elsewhere.get("/api/v1/me").await.expect(200);
    let again = operator
        .post(&format!("{path}/suspend"), &json!({}))
        .await
        .expect(200);
    assert_eq!(again, suspended);

    let resumed = operator
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&resumed["status"], &resumed["version"]),
        (&json!("active"), &json!(3))
    );
    for actor in [&session, &key] {
        actor.get("/api/v1/me").await.expect(200);
    }
    sign_in(&app.anonymous(), Some(ACME), "operator@plinth.test", PASSWORD)
        .await
        .expect(201);
    for action in ["domain.suspend", "domain.resume"] {
        assert_eq!(noted(&app, action, "success").await, 1);
    }
}

/// `plinth-ops domain erase` has begun, and was perhaps broken off: half of the rows may be gone.
#[tokio::test]
async fn a_domain_that_is_being_erased_stays_shut() {
    let app = TestApp::start().await;
    let (operator, session) = (app.operator().await, app.admin().await);
    let domain = app.world.domain(ACME).await;
    app.world
        .client()
        .execute("UPDATE domains SET status = 'erasing' WHERE id = $1", &[&domain])
        .await
        .unwrap();
    let path = format!("{DOMAINS}/{domain}");
    let before = operator.get(&path).await.expect(200);
    assert_eq!(before["status"], "erasing");
    for (method, path, body, _) in operations(domain) {
        if method == "GET" || path == DOMAINS {
            continue;
        }
        let answer = operator.send(method.parse().unwrap(), &path, body.as_ref()).await;
        assert_eq!(answer.problem(409), "domain_erasing", "{method} {path}");
    }
    assert_eq!(operator.get(&path).await.expect(200), before);
    for action in ["domain.suspend", "domain.resume", "domain.update"] {
        assert_eq!(noted(&app, action, "success").await, 0, "{action}");
    }
    assert_eq!(session.get("/api/v1/me").await.problem(401), "unauthenticated");
    let refused = sign_in(&app.anonymous(), Some(ACME), "operator@plinth.test", PASSWORD).await;
    assert_eq!(refused.problem(401), "unauthenticated");
}

#[tokio::test]
async fn a_host_name_leads_to_one_domain() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let acme = format!("{DOMAINS}/{}", app.world.domain(ACME).await);
    let globex = format!("{DOMAINS}/{}", app.world.domain(GLOBEX).await);
    operator
        .put(&format!("{acme}/hosts/work.acme.test"))
        .await
        .expect(204);
    operator.put(&format!("{acme}/hosts/acme.test")).await.expect(204);
    operator.put(&format!("{acme}/hosts/acme.test")).await.expect(204);
    let shown = operator.get(&acme).await;
    assert_eq!(shown.headers["etag"], "\"3\"", "two changes; the third was none");
    assert_eq!(shown.expect(200)["hosts"], json!(["acme.test", "work.acme.test"]));
    assert_eq!(
        operator
            .put(&format!("{globex}/hosts/acme.test"))
            .await
            .problem(409),
        "host_taken"
    );
    for host in ["ACME.test", "acme.test:80", "-a", "a%00b", "a%2Fb", "%C3%A9"] {
        let answer = operator.put(&format!("{acme}/hosts/{host}")).await;
        assert_eq!(answer.problem(422), "invalid", "{host}");
    }

    // The host name that was called goes before what the caller says.
    let there = app.anonymous().with_header("host", "Work.ACME.test:8080");
    for said in [None, Some(GLOBEX)] {
        let come_in = sign_in(&there, said, "operator@plinth.test", PASSWORD).await;
        assert_eq!(
            come_in.expect(201)["domain_id"],
            json!(app.world.domain(ACME).await)
        );
    }
    let wrong = sign_in(&there, Some(GLOBEX), "admin@globex.test", PASSWORD).await;
    assert_eq!(wrong.problem(401), "unauthenticated");

    operator
        .delete(&format!("{globex}/hosts/acme.test"))
        .await
        .problem(404);
    operator
        .delete(&format!("{acme}/hosts/acme.test"))
        .await
        .expect(204);
    operator
        .delete(&format!("{acme}/hosts/acme.test"))
        .await
        .problem(404);
    operator
        .put(&format!("{globex}/hosts/acme.test"))
        .await
        .expect(204);
    assert_eq!(
        operator.get(&acme).await.expect(200)["hosts"],
        json!(["work.acme.test"])
    );
}

/// Every operation on domains: method, path, body, permission.
fn operations(id: impl std::fmt::Display) -> Vec<(&'static str, String, Option<Value>, &'static str)> {
    let one = format!("{DOMAINS}/{id}");
    vec![
        ("GET", DOMAINS.to_owned(), None, "domain:read"),
        ("POST", DOMAINS.to_owned(), Some(new("initech")), "domain:create"),
        ("GET", one.clone(), None, "domain:read"),
        (
            "PATCH",
            one.clone(),
            Some(json!({"name": "Mine"})),
            "domain:update",
        ),
        ("POST", format!("{one}/suspend"), None, "domain:suspend"),
        ("POST", format!("{one}/resume"), None, "domain:suspend"),
        ("PUT", format!("{one}/hosts/mine.test"), None, "domain:update"),
        ("DELETE", format!("{one}/hosts/mine.test"), None, "domain:update"),
    ]
}

#[tokio::test]
async fn domains_are_the_operators_alone() {
    let app = TestApp::start().await;
    let before = (
        rows(&app, "domains").await,
        rows(&app, "domain_hosts").await,
        rows(&app, "users").await,
    );
    let acme = app.world.domain(ACME).await;
    // The Admin of a tenant, also on their own domain; and somebody of the platform who only looks on.
    let admin = app.admin().await;
    let guest = app.world.user("platform", "guest@plinth.test").await;
    app.world
        .assign("platform", guest, SystemRole::Viewer, None, None)
        .await;
    let guest = app
        .anonymous()
        .with_session(&app.world.session("platform", guest).await);
    let operator = app.world.first_user("platform").await;
    let key = app.anonymous().with_bearer(
        &app.world
            .api_key("platform", operator, Some(&["card:read"]))
            .await,
    );
    for actor in [&admin, &guest, &key] {
        for (method, path, body, permission) in operations(acme) {
            refused(&app, actor, method, &path, body, permission).await;
        }
    }
    for (method, path, body, _) in operations(acme) {
        let answer = app
            .anonymous()
            .send(method.parse().unwrap(), &path, body.as_ref())
            .await;
        assert_eq!(answer.problem(401), "unauthenticated");
    }
    // Unknown domains, and the installation's own, are none to be changed.
    let operator = app.operator().await;
    for id in [UNKNOWN, app.world.domain("platform").await] {
        for (method, path, body, _) in operations(id).into_iter().filter(|(_, path, ..)| path != DOMAINS) {
            let answer = operator.send(method.parse().unwrap(), &path, body.as_ref()).await;
            assert_eq!(answer.problem(404), "not_found", "{method} {path}");
        }
    }
    let after = (
        rows(&app, "domains").await,
        rows(&app, "domain_hosts").await,
        rows(&app, "users").await,
    );
    assert!(before.0 == after.0 && before.1 == after.1);
    assert_eq!(
        after.2.lines().count(),
        before.2.lines().count() + 1,
        "the guest alone is new"
    );
}

#[tokio::test]
async fn the_door_for_new_domains_opens_from_the_platform_alone() {
    let app = TestApp::start().await;
    let sql = app.db.app().await;
    let platform = app.world.domain("platform").await;
    let call = |slug: &str| {
        let id = || db_core::Clock::System.uuid();
        format!(
            "SELECT domain_create('{}', '{slug}', 'X', '{}', 'x@x.test', 'X', 'proof', 1, 10, '{}', '{}', '{}')",
            id(),
            id(),
            id(),
            id(),
            SystemRole::Admin.id(),
        )
    };
    let acme = app.world.domain(ACME).await;
    for (slug, context) in [("nowhere", String::new()), ("inside", acme.to_string())] {
        let set = format!("BEGIN; SELECT set_config('plinth.domain_id', '{context}', true)");
        sql.batch_execute(&set).await.unwrap();
        let error = sql.batch_execute(&call(slug)).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "PL403", "{error:?}");
        sql.batch_execute("ROLLBACK").await.unwrap();
    }
    // It is the context that is refused: the same call in the platform's works.
    let set = format!("BEGIN; SELECT set_config('plinth.domain_id', '{platform}', true)");
    sql.batch_execute(&set).await.unwrap();
    sql.batch_execute(&call("within")).await.unwrap();
    sql.batch_execute("COMMIT").await.unwrap();
    let made = rows(&app, "domains").await;
    assert!(
        made.contains("within") && !made.contains("inside") && !made.contains("nowhere"),
        "{made}"
    );
    // And a row of domains is not to be had past it.
    let set = format!("BEGIN; SELECT set_config('plinth.domain_id', '{acme}', true)");
    sql.batch_execute(&set).await.unwrap();
    let insert = format!("INSERT INTO domains (id, slug, name) VALUES ('{UNKNOWN}', 'planted', 'X')");
    let error = sql.batch_execute(&insert).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501", "{error:?}");
}
