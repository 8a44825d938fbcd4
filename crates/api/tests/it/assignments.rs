//! Who has which role, and where: given, counted, expired, taken away.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::GLOBEX;
use uuid::Uuid;

use crate::app::{TestApp, make};
use crate::people::{UNKNOWN, essence, first_admin, noted, noted_at_all, person, refused, role, rows};

const FAR: &str = "2999-01-01T00:00:00Z";

fn give(role: SystemRole) -> Value {
    json!({"role_id": role.id()})
}

fn give_to(user: Uuid, role: SystemRole) -> Value {
    json!({"user_id": user, "role_id": role.id()})
}

#[tokio::test]
async fn a_role_given_counts_at_once_and_taken_away_no_more() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let somebody = person(&app).await;
    let before = noted_at_all(&app).await;
    assert_eq!(
        somebody.actor.get("/api/v1/roles").await.problem(403),
        "forbidden"
    );
    let answer = admin
        .actor
        .post(&somebody.roles(), &give(SystemRole::Viewer))
        .await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let given = answer.expect(201);
    assert_eq!(given["role"], "Viewer");
    assert_eq!(given["granted_by"], json!(admin.id));
    for field in ["organization_id", "project_id", "expires_at"] {
        assert_eq!(given[field], json!(null), "{field}");
    }
    assert_eq!(
        somebody.actor.get(&somebody.roles()).await.expect(200)["items"],
        json!([given])
    );
    let again = admin
        .actor
        .post(&somebody.roles(), &give(SystemRole::Viewer))
        .await;
    assert_eq!(again.problem(409), "already_assigned");

    admin.actor.delete(&location).await.expect(204);
    assert_eq!(
        somebody.actor.get("/api/v1/roles").await.problem(403),
        "forbidden"
    );
    assert_eq!(admin.actor.delete(&location).await.problem(404), "not_found");
    assert_eq!(noted(&app, "role.assign", "success").await, 1);
    assert_eq!(noted(&app, "role.revoke", "success").await, 1);
    assert_eq!(
        noted_at_all(&app).await,
        before + 4,
        "two denials, two changes, nothing else"
    );
    let stream = admin
        .actor
        .get(&format!("/api/v1/activity?target_id={}", somebody.id))
        .await
        .expect(200);
    assert_eq!(stream["items"][0]["action"], "role.revoke");
    assert_eq!(stream["items"][0]["before"], stream["items"][1]["after"]);
    assert_eq!(stream["items"][0]["before"]["role"], "Viewer");
}

#[tokio::test]
async fn a_scoped_role_counts_in_its_scope_alone() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (here, there) = (app.board(&admin).await, app.board(&admin).await);
    for (scope, id) in [("organization", &here.organization), ("project", &here.project)] {
        let somebody = person(&app).await;
        let path = format!("/api/v1/{scope}s/{id}/roles");
        let given = admin
            .post(&path, &give_to(somebody.id, SystemRole::Editor))
            .await
            .expect(201);
        assert_eq!(given[format!("{scope}_id")], json!(id));
        assert_eq!(admin.get(&path).await.expect(200)["items"], json!([given]));
        app.card(&somebody.actor, &here.column, "Here").await;
        let elsewhere = format!("/api/v1/columns/{}/cards", there.column);
        assert_eq!(
            somebody
                .actor
                .post(&elsewhere, &json!({"title": "There"}))
                .await
                .problem(403),
            "forbidden"
        );
        // An Editor of a part sees the roles of that part, not everyone's.
        somebody.actor.get(&path).await.expect(200);
        somebody
            .actor
            .get(&format!("/api/v1/organizations/{}/roles", there.organization))
            .await
            .problem(403);
        somebody.actor.get(&somebody.roles()).await.problem(403);

        let taken = format!("{path}/{}", given["id"].as_str().unwrap());
        admin.delete(&taken).await.expect(204);
        let card = json!({"title": "Late"});
        let here = format!("/api/v1/columns/{}/cards", here.column);
        assert_eq!(somebody.actor.post(&here, &card).await.problem(403), "forbidden");
    }
    // The scope comes from the path; a body that says another is refused.
    let body = json!({"user_id": UNKNOWN, "role_id": SystemRole::Viewer.id(), "project_id": there.project});
    let path = format!("/api/v1/projects/{}/roles", here.project);
    assert_eq!(admin.post(&path, &body).await.problem(422), "invalid");
}

#[tokio::test]
async fn an_expired_role_gives_nothing_and_may_be_given_anew() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let somebody = person(&app).await;
    let body = json!({"role_id": SystemRole::Manager.id(), "expires_at": FAR});
    let given = admin.post(&somebody.roles(), &body).await.expect(201);
    somebody.actor.get("/api/v1/roles").await.expect(200);
    app.world
        .client()
        .execute(
            "UPDATE user_roles SET expires_at = now() WHERE user_id = $1",
            &[&somebody.id],
        )
        .await
        .unwrap();
    assert_eq!(
        somebody.actor.get("/api/v1/roles").await.problem(403),
        "forbidden"
    );
    refused(
        &app,
        &somebody.actor,
        "POST",
        &somebody.roles(),
        Some(give(SystemRole::Viewer)),
        "role:assign",
    )
    .await;
    // It is listed still, with its end; and does not stand in the way.
    let listed = admin.get(&somebody.roles()).await.expect(200);
    assert_eq!(listed["items"][0]["id"], given["id"]);
    let before = noted_at_all(&app).await;
    let anew = admin.post(&somebody.roles(), &body).await.expect(201);
    assert_ne!(anew["id"], given["id"]);
    assert_eq!(noted_at_all(&app).await, before + 1, "one mutation, one row");
    somebody.actor.get("/api/v1/roles").await.expect(200);
    assert_eq!(
        admin.get(&somebody.roles()).await.expect(200)["items"],
        json!([anew])
    );
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let somebody = person(&app).await;
    let viewer = SystemRole::Viewer.id();
    let stored = rows(&app, "user_roles").await;
    for (body, field) in [
        (
            json!({"role_id": viewer, "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"role_id": viewer, "expires_at": "+200000-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"role_id": viewer, "expires_at": "-4800-01-01T00:00:00Z"}),
            "expires_at",
        ),
        (
            json!({"role_id": viewer, "organization_id": UNKNOWN, "project_id": UNKNOWN}),
            "project_id",
        ),
        (
            json!({"role_id": viewer, "organization_id": UNKNOWN}),
            "organization_id",
        ),
        (json!({"role_id": viewer, "project_id": UNKNOWN}), "project_id"),
        (json!({"role_id": UNKNOWN}), "role_id"),
        (json!({"role_id": "Viewer"}), "role_id"),
        (json!({"role_id": viewer, "until": FAR}), "until"),
    ] {
        let answer = admin.post(&somebody.roles(), &body).await;
        assert_eq!(answer.problem(422), "invalid", "{body}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(
        admin
            .get(&format!("{}?role=x", somebody.roles()))
            .await
            .problem(400),
        "invalid_query"
    );
    assert_eq!(rows(&app, "user_roles").await, stored);
}

#[tokio::test]
async fn another_domains_ids_answer_as_unknown_ones() {
    let app = TestApp::start().await;
    let (ours, theirs) = (app.admin().await, app.other_admin().await);
    let board = app.board(&theirs).await;
    let their_role = make(
        &theirs,
        "/api/v1/roles",
        json!({"name": "Theirs", "permissions": []}),
    )
    .await;
    let their_user = app.world.user(GLOBEX, "somebody@globex.test").await;
    let path = format!("/api/v1/users/{their_user}/roles");
    let their_assignment = theirs.post(&path, &give(SystemRole::Viewer)).await.expect(201)["id"].clone();
    let their_assignment = their_assignment.as_str().unwrap().to_owned();
    let somebody = person(&app).await;
    let own = app.board(&ours).await;
    let stored = rows(&app, "user_roles").await;

    let (somebody, viewer) = (somebody.id, SystemRole::Viewer.id());
    let their_user = their_user.to_string();
    let at = |scope: &str| format!("/api/v1/{scope}/roles");
    let of_somebody = at(&format!("users/{somebody}"));
    let own_organization = at(&format!("organizations/{}", own.organization));
    // Everywhere an id can stand, <id> stands for it.
    for (method, theirs, path, body) in [
        ("POST", &their_role, &of_somebody, json!({"role_id": "<id>"})),
        (
            "POST",
            &board.organization,
            &of_somebody,
            json!({"role_id": viewer, "organization_id": "<id>"}),
        ),
        (
            "POST",
            &board.project,
            &of_somebody,
            json!({"role_id": viewer, "project_id": "<id>"}),
        ),
        ("POST", &their_user, &at("users/<id>"), json!({"role_id": viewer})),
        ("GET", &their_user, &at("users/<id>"), Value::Null),
        (
            "POST",
            &their_user,
            &own_organization,
            json!({"user_id": "<id>", "role_id": viewer}),
        ),
        (
            "POST",
            &their_role,
            &own_organization,
            json!({"user_id": somebody, "role_id": "<id>"}),
        ),
        (
            "POST",
            &board.organization,
            &at("organizations/<id>"),
            json!({"user_id": somebody, "role_id": viewer}),
        ),
        (
            "POST",
            &board.project,
            &at("projects/<id>"),
            json!({"user_id": somebody, "role_id": viewer}),
        ),
        ("GET", &board.organization, &at("organizations/<id>"), Value::Null),
        ("GET", &board.project, &at("projects/<id>"), Value::Null),
        (
            "DELETE",
            &their_assignment,
            &format!("{of_somebody}/<id>"),
            Value::Null,
        ),
        (
            "DELETE",
            &their_assignment,
            &format!("{}/<id>", at(&format!("users/{their_user}"))),
            Value::Null,
        ),
        (
            "DELETE",
            &their_assignment,
            &format!("{own_organization}/<id>"),
            Value::Null,
        ),
    ] {
        let mut answers = Vec::new();
        for id in [theirs, &UNKNOWN.to_string()] {
            let body: Value = serde_json::from_str(&body.to_string().replace("<id>", id)).unwrap();
            let body = (!body.is_null()).then_some(&body);
            let answer = ours
                .send(method.parse().unwrap(), &path.replace("<id>", id), body)
                .await;
            answers.push(essence(&answer, id));
        }
        assert_eq!(answers[0], answers[1], "{method} {path} {body}");
        assert!(
            matches!(answers[0].0, 404 | 422),
            "{method} {path} {body}: {:?}",
            answers[0]
        );
    }
    assert_eq!(rows(&app, "user_roles").await, stored);
}

#[tokio::test]
async fn many_changes_at_once_end_without_a_fault() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let board = app.board(&admin.actor).await;
    let (organization, project) = (&board.organization, &board.project);
    let people = [person(&app).await, person(&app).await];
    for round in 0..10 {
        // Some round may have deleted the one before.
        let role = role(&app, &format!("Tester {round}"), &["card:read"]).await;
        let role = role.as_str();
        let mut requests = Vec::new();
        for person in &people {
            let (user, actor) = (person.id, &admin.actor);
            let body = json!({"user_id": user, "role_id": role});
            let members = format!("/api/v1/organizations/{organization}/members");
            let asks = [
                ("POST", members.clone(), Some(body.clone())),
                (
                    "POST",
                    format!("/api/v1/organizations/{organization}/roles"),
                    Some(body.clone()),
                ),
                ("POST", format!("/api/v1/projects/{project}/roles"), Some(body)),
                ("DELETE", format!("{members}/{user}"), None),
                (
                    "PATCH",
                    format!("/api/v1/roles/{role}"),
                    Some(json!({"permissions": ["card:read", "card:update"]})),
                ),
                (
                    "PATCH",
                    format!("/api/v1/roles/{role}"),
                    Some(json!({"permissions": ["card:read"]})),
                ),
                ("DELETE", format!("/api/v1/roles/{role}"), None),
                ("DELETE", format!("{members}/{user}"), None),
            ];
            requests.extend(asks.map(|(method, path, body)| async move {
                (
                    method,
                    actor.send(method.parse().unwrap(), &path, body.as_ref()).await,
                )
            }));
        }
        for (method, answer) in futures_util::future::join_all(requests).await {
            let status = answer.status.as_u16();
            assert!(
                matches!(status, 200 | 201 | 204 | 404 | 409 | 422),
                "{method}: {status} {}",
                answer.text
            );
        }
    }
    // Whatever came first: a role that counts somewhere is there.
    let orphans: i64 = app
        .world
        .client()
        .query_one(
            "SELECT count(*) FROM user_roles ur LEFT JOIN roles r ON r.domain_id = ur.role_domain_id AND r.id = ur.role_id
              WHERE r.id IS NULL",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(orphans, 0);
}
