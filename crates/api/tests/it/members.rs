//! Members of organizations: added with a role, removed with all their roles there.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::{ACME, GLOBEX};
use uuid::Uuid;

use crate::app::{TestApp, make};
use crate::people::{
    UNKNOWN, api_key, essence, first_admin, noted_at_all, person, refused, rows, with, with_permissions,
    within,
};

fn members(organization: &str) -> String {
    format!("/api/v1/organizations/{organization}/members")
}

fn joining(user: Uuid, role: SystemRole) -> Value {
    json!({"user_id": user, "role_id": role.id()})
}

#[tokio::test]
async fn a_member_comes_with_a_role_and_goes_with_all_of_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (here, there) = (app.board(&admin).await, app.board(&admin).await);
    let somebody = person(&app).await;
    let project = format!("/api/v1/projects/{}", here.project);
    assert_eq!(somebody.actor.get(&project).await.problem(403), "forbidden");

    let before = noted_at_all(&app).await;
    let added = admin
        .post(
            &members(&here.organization),
            &joining(somebody.id, SystemRole::Viewer),
        )
        .await;
    let added = added.expect(201);
    assert_eq!(added["user_id"], json!(somebody.id));
    assert_eq!(
        admin.get(&members(&here.organization)).await.expect(200)["items"],
        json!([added])
    );
    assert_eq!(
        noted_at_all(&app).await,
        before + 1,
        "membership and role are one change"
    );
    somebody.actor.get(&project).await.expect(200);
    let again = admin
        .post(
            &members(&here.organization),
            &joining(somebody.id, SystemRole::Viewer),
        )
        .await;
    assert_eq!(again.problem(409), "already_member");

    // More roles: of the organization, of its project, of another project, of the domain.
    for (organization, project) in [
        (Some(&here.organization), None),
        (None, Some(&here.project)),
        (None, Some(&there.project)),
    ] {
        let id = |id: Option<&String>| id.map(|id| id.parse().unwrap());
        app.world
            .assign(
                ACME,
                somebody.id,
                SystemRole::Editor,
                id(organization),
                id(project),
            )
            .await;
    }
    app.card(&somebody.actor, &here.column, "Mine").await;

    let path = format!("{}/{}", members(&here.organization), somebody.id);
    let before = noted_at_all(&app).await;
    admin.delete(&path).await.expect(204);
    assert_eq!(
        noted_at_all(&app).await,
        before + 1,
        "membership and roles are one change"
    );
    assert_eq!(
        somebody.actor.get(&project).await.problem(403),
        "forbidden",
        "from the next request on"
    );
    let card = json!({"title": "Late"});
    let column = format!("/api/v1/columns/{}/cards", here.column);
    assert_eq!(
        somebody.actor.post(&column, &card).await.problem(403),
        "forbidden"
    );
    somebody
        .actor
        .get(&format!("/api/v1/projects/{}", there.project))
        .await
        .expect(200);
    let left = admin
        .get(&format!("/api/v1/users/{}/roles", somebody.id))
        .await
        .expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["project_id"], json!(there.project));
    assert_eq!(admin.delete(&path).await.problem(404), "not_found");

    let stream = admin
        .get(&format!("/api/v1/activity?target_id={}", here.organization))
        .await
        .expect(200);
    assert_eq!(stream["items"][0]["action"], "member.delete");
    assert_eq!(stream["items"][0]["before"]["roles"].as_array().unwrap().len(), 3);
    assert_eq!(stream["items"][1]["after"]["role"], "Viewer");
}

#[tokio::test]
async fn a_role_that_the_new_member_has_there_stays_and_an_expired_one_is_given_anew() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let somebody = within(&app, SystemRole::Viewer, &board.organization).await;
    admin
        .post(
            &members(&board.organization),
            &joining(somebody.id, SystemRole::Viewer),
        )
        .await
        .expect(201);
    let roles = admin.get(&somebody.roles()).await.expect(200);
    assert_eq!(roles["items"].as_array().unwrap().len(), 1);

    let late = within(&app, SystemRole::Viewer, &board.organization).await;
    app.world
        .client()
        .execute(
            "UPDATE user_roles SET expires_at = now() WHERE user_id = $1",
            &[&late.id],
        )
        .await
        .unwrap();
    admin
        .post(
            &members(&board.organization),
            &joining(late.id, SystemRole::Viewer),
        )
        .await
        .expect(201);
    let roles = admin.get(&late.roles()).await.expect(200);
    assert_eq!(roles["items"].as_array().unwrap().len(), 1);
    assert_eq!(roles["items"][0]["expires_at"], json!(null));
    late.actor
        .get(&format!("/api/v1/organizations/{}", board.organization))
        .await
        .expect(200);
}

#[tokio::test]
async fn nobody_adds_or_removes_members_with_more_than_they_hold() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let (here, there) = (app.board(&admin.actor).await, app.board(&admin.actor).await);
    let lead = within(&app, SystemRole::Manager, &here.organization).await;
    let friend = person(&app).await;
    let (path, elsewhere) = (members(&here.organization), members(&there.organization));
    for (actor, path, body) in [
        (&lead.actor, &path, joining(friend.id, SystemRole::Admin)),
        (&lead.actor, &path, joining(lead.id, SystemRole::Admin)),
        (&lead.actor, &elsewhere, joining(friend.id, SystemRole::Viewer)),
        (
            &with(&app, SystemRole::Manager).await.actor,
            &path,
            joining(friend.id, SystemRole::Admin),
        ),
        (
            &with(&app, SystemRole::Editor).await.actor,
            &path,
            joining(friend.id, SystemRole::Viewer),
        ),
        (
            &api_key(&app, admin.id, &["member:create"]).await,
            &path,
            joining(friend.id, SystemRole::Viewer),
        ),
        (
            &with_permissions(&app, "Host", &["member:create"]).await.0.actor,
            &path,
            joining(friend.id, SystemRole::Viewer),
        ),
    ] {
        refused(&app, actor, "POST", path, Some(body), "member:create").await;
    }
    lead.actor
        .post(&path, &joining(friend.id, SystemRole::Editor))
        .await
        .expect(201);

    // A member who holds more, in the organization or in one of its projects, is not the lead's to remove.
    let chief = person(&app).await;
    admin
        .actor
        .post(&path, &joining(chief.id, SystemRole::Admin))
        .await
        .expect(201);
    refused(
        &app,
        &lead.actor,
        "DELETE",
        &format!("{path}/{}", chief.id),
        None,
        "member:delete",
    )
    .await;
    app.world
        .assign(
            ACME,
            friend.id,
            SystemRole::Admin,
            None,
            Some(here.project.parse().unwrap()),
        )
        .await;
    refused(
        &app,
        &lead.actor,
        "DELETE",
        &format!("{path}/{}", friend.id),
        None,
        "member:delete",
    )
    .await;
    admin
        .actor
        .delete(&format!("{path}/{}", friend.id))
        .await
        .expect(204);
    admin
        .actor
        .delete(&format!("{path}/{}", chief.id))
        .await
        .expect(204);
}

#[tokio::test]
async fn members_are_listed_in_pages_to_those_who_may_see_them() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let path = members(&board.organization);
    let mut wanted = Vec::new();
    for _ in 0..5 {
        let member = person(&app).await;
        admin
            .post(&path, &joining(member.id, SystemRole::Viewer))
            .await
            .expect(201);
        wanted.push(json!(member.id));
    }
    let (mut found, mut next) = (Vec::new(), format!("{path}?limit=2"));
    loop {
        let page = admin.get(&next).await.expect(200);
        found.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|member| member["user_id"].clone()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        next = format!("{path}?limit=2&cursor={cursor}");
    }
    assert_eq!(found, wanted);
    assert_eq!(
        person(&app).await.actor.get(&path).await.problem(403),
        "forbidden"
    );
    assert_eq!(
        admin.get(&format!("{path}?email=x")).await.problem(400),
        "invalid_query"
    );
}

#[tokio::test]
async fn another_domains_ids_answer_as_unknown_ones() {
    let app = TestApp::start().await;
    let (ours, theirs) = (app.admin().await, app.other_admin().await);
    let (own, board) = (app.board(&ours).await, app.board(&theirs).await);
    let their_user = app.world.user(GLOBEX, "somebody@globex.test").await;
    let their_role = make(
        &theirs,
        "/api/v1/roles",
        json!({"name": "Theirs", "permissions": []}),
    )
    .await;
    let path = members(&board.organization);
    theirs
        .post(&path, &joining(their_user, SystemRole::Viewer))
        .await
        .expect(201);
    let somebody = person(&app).await;
    let viewer = SystemRole::Viewer.id();
    let stored = (
        rows(&app, "organization_members").await,
        rows(&app, "user_roles").await,
    );

    let unknown = UNKNOWN.to_string();
    for (theirs, status) in [
        (board.organization.clone(), 404),
        (their_user.to_string(), 422),
        (their_role.clone(), 422),
    ] {
        let mut answers = Vec::new();
        for id in [&theirs, &unknown] {
            let pick = |other: &str, own: String| if other == theirs { id.clone() } else { own };
            let organization = pick(&board.organization, own.organization.clone());
            let user = pick(&their_user.to_string(), somebody.id.to_string());
            let role = pick(&their_role, viewer.to_string());
            let body = json!({"user_id": user, "role_id": role});
            answers.push(essence(&ours.post(&members(&organization), &body).await, id));
        }
        assert_eq!(answers[0], answers[1], "{theirs}");
        assert_eq!(answers[0].0, status, "{theirs}: {:?}", answers[0]);
    }
    for id in [&board.organization, &unknown] {
        assert_eq!(ours.get(&members(id)).await.problem(404), "not_found");
        let path = format!("{}/{}", members(id), somebody.id);
        assert_eq!(ours.delete(&path).await.problem(404), "not_found");
    }
    for id in [&their_user.to_string(), &unknown] {
        let path = format!("{}/{id}", members(&own.organization));
        assert_eq!(ours.delete(&path).await.problem(404), "not_found");
    }
    assert_eq!(
        (
            rows(&app, "organization_members").await,
            rows(&app, "user_roles").await
        ),
        stored
    );
}
