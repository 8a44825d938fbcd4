//! People with rights of all kinds, and what they leave in the activity stream.

use db_core::Clock;
use db_core::rbac::SystemRole;
use db_core::secrets::token::ApiKeyToken;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use test_support::{ACME, Actor, Answer};
use uuid::Uuid;

use crate::app::{TestApp, make};

/// An id that nothing has.
pub const UNKNOWN: Uuid = Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001);

/// An account of acme, signed in.
pub struct Person {
    pub id: Uuid,
    pub actor: Actor,
}

impl Person {
    pub fn roles(&self) -> String {
        format!("/api/v1/users/{}/roles", self.id)
    }
}

/// Somebody without roles.
pub async fn person(app: &TestApp) -> Person {
    let email = format!("{}@acme.test", Clock::System.uuid().simple());
    let id = app.world.user(ACME, &email).await;
    let actor = app.anonymous().with_session(&app.world.session(ACME, id).await);
    Person { id, actor }
}

/// Somebody with a system role for the whole domain.
pub async fn with(app: &TestApp, role: SystemRole) -> Person {
    let person = person(app).await;
    app.world.assign(ACME, person.id, role, None, None).await;
    person
}

/// Somebody with a system role for one organization.
pub async fn within(app: &TestApp, role: SystemRole, organization: &str) -> Person {
    let person = person(app).await;
    app.world
        .assign(ACME, person.id, role, Some(organization.parse().unwrap()), None)
        .await;
    person
}

/// The Admin that the domain began with.
pub async fn first_admin(app: &TestApp) -> Person {
    Person {
        id: app.world.first_user(ACME).await,
        actor: app.admin().await,
    }
}

/// A role of the domain's own, made by its Admin. Returns its id.
pub async fn role(app: &TestApp, name: &str, permissions: &[&str]) -> String {
    make(
        &app.admin().await,
        "/api/v1/roles",
        json!({"name": name, "permissions": permissions}),
    )
    .await
}

/// Somebody with a new role of the domain's own, for the whole domain.
pub async fn with_permissions(app: &TestApp, name: &str, permissions: &[&str]) -> (Person, String) {
    let person = person(app).await;
    let role = role(app, name, permissions).await;
    app.admin()
        .await
        .post(&person.roles(), &json!({"role_id": role}))
        .await
        .expect(201);
    (person, role)
}

/// An API key of an account, limited to these permissions.
pub async fn api_key(app: &TestApp, user: Uuid, permissions: &[&str]) -> Actor {
    let key = ApiKeyToken::generate(Clock::System.id());
    app.world
        .client()
        .execute(
            "INSERT INTO api_keys (domain_id, id, user_id, name, secret_hash, last_four, permissions)
             SELECT u.domain_id, $1, u.id, 'robot', crypt($2, gen_salt('bf', 4)), $3, $4 FROM users u WHERE u.id = $5",
            &[&key.id.uuid(), &key.proof(), &key.last_four(), &permissions, &user],
        )
        .await
        .unwrap();
    app.anonymous().with_bearer(key.reveal().expose_secret())
}

/// How many rows of that action and outcome the whole stream has.
pub async fn noted(app: &TestApp, action: &str, outcome: &str) -> i64 {
    app.world
        .client()
        .query_one(
            "SELECT count(*) FROM activity_stream WHERE action = $1 AND outcome = $2",
            &[&action, &outcome],
        )
        .await
        .unwrap()
        .get(0)
}

/// How many rows the whole stream has.
pub async fn noted_at_all(app: &TestApp) -> i64 {
    app.world
        .client()
        .query_one("SELECT count(*) FROM activity_stream", &[])
        .await
        .unwrap()
        .get(0)
}

/// A table's rows as one text, to compare byte for byte.
pub async fn rows(app: &TestApp, table: &str) -> String {
    app.world
        .client()
        .query_one(
            &format!("SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t"),
            &[],
        )
        .await
        .unwrap()
        .get(0)
}

/// Sends a request that must be denied, leave one row of that denial, and leave these tables as they were.
pub async fn refused(
    app: &TestApp,
    actor: &Actor,
    method: &str,
    path: &str,
    body: Option<Value>,
    permission: &str,
) {
    let (before, all) = (noted(app, permission, "denied").await, noted_at_all(app).await);
    let tables = ["roles", "role_permissions", "user_roles", "organization_members"];
    let mut stored = Vec::new();
    for table in tables {
        stored.push(rows(app, table).await);
    }
    let answer = actor.send(method.parse().unwrap(), path, body.as_ref()).await;
    assert_eq!(answer.problem(403), "forbidden", "{method} {path} {body:?}");
    assert_eq!(
        noted(app, permission, "denied").await,
        before + 1,
        "{method} {path}: a denial leaves one row"
    );
    assert_eq!(noted_at_all(app).await, all + 1, "{method} {path}: and no other");
    for (table, stored) in tables.iter().zip(stored) {
        assert_eq!(rows(app, table).await, stored, "{method} {path} changed {table}");
    }
}

/// What of an answer may not differ between an unknown id and another domain's.
pub fn essence(answer: &Answer, id: impl std::fmt::Display) -> (u16, Value) {
    let mut body = answer.json();
    body["request_id"] = json!(null);
    let text = body.to_string().replace(&id.to_string(), "<id>");
    (answer.status.as_u16(), serde_json::from_str(&text).unwrap())
}
