//! Nobody gives or takes away a role that holds more than they do, wherever they stand and whatever they come with.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::ACME;
use uuid::Uuid;

use crate::app::TestApp;
use crate::people::{api_key, first_admin, person, refused, role, with, with_permissions, within};

const FAR: &str = "2999-01-01T00:00:00Z";

fn give(role: SystemRole) -> Value {
    json!({"role_id": role.id()})
}

fn give_to(user: Uuid, role: SystemRole) -> Value {
    json!({"user_id": user, "role_id": role.id()})
}

#[tokio::test]
async fn a_manager_gives_and_takes_no_admin_role() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let manager = with(&app, SystemRole::Manager).await;
    let friend = with(&app, SystemRole::Viewer).await;
    let board = app.board(&admin.actor).await;
    let organization = format!("/api/v1/organizations/{}/roles", board.organization);
    let project = format!("/api/v1/projects/{}/roles", board.project);
    let until = json!({"role_id": SystemRole::Admin.id(), "expires_at": FAR});
    let scoped = json!({"role_id": SystemRole::Admin.id(), "organization_id": board.organization});
    for (path, body) in [
        (&friend.roles(), give(SystemRole::Admin)),
        (&manager.roles(), give(SystemRole::Admin)),
        (&manager.roles(), until),
        (&manager.roles(), scoped),
        (&organization, give_to(manager.id, SystemRole::Admin)),
        (&project, give_to(friend.id, SystemRole::Admin)),
    ] {
        refused(&app, &manager.actor, "POST", path, Some(body), "role:assign").await;
    }
    let held = admin.actor.get(&admin.roles()).await.expect(200)["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    with(&app, SystemRole::Admin).await;
    refused(
        &app,
        &manager.actor,
        "DELETE",
        &format!("{}/{held}", admin.roles()),
        None,
        "role:assign",
    )
    .await;
    // What a Manager holds they may give and take.
    let given = manager
        .actor
        .post(&friend.roles(), &give(SystemRole::Manager))
        .await
        .expect(201);
    let given = format!("{}/{}", friend.roles(), given["id"].as_str().unwrap());
    manager.actor.delete(&given).await.expect(204);
    // Who may not give roles at all gives not even what they hold, nor to themselves.
    for role in [SystemRole::Editor, SystemRole::Viewer] {
        let lesser = with(&app, role).await;
        let other = if role == SystemRole::Editor {
            SystemRole::Viewer
        } else {
            SystemRole::Editor
        };
        refused(
            &app,
            &lesser.actor,
            "POST",
            &lesser.roles(),
            Some(give(other)),
            "role:assign",
        )
        .await;
        refused(
            &app,
            &lesser.actor,
            "POST",
            &friend.roles(),
            Some(give(role)),
            "role:assign",
        )
        .await;
    }
}

#[tokio::test]
async fn who_may_give_roles_in_one_organization_gives_them_there_alone() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (here, there) = (app.board(&admin).await, app.board(&admin).await);
    let lead = within(&app, SystemRole::Manager, &here.organization).await;
    let friend = person(&app).await;
    let in_organization = |id: &str| format!("/api/v1/organizations/{id}/roles");
    let in_project = |id: &str| format!("/api/v1/projects/{id}/roles");
    let editor = give_to(friend.id, SystemRole::Editor);

    let mut given = Vec::new();
    for path in [in_organization(&here.organization), in_project(&here.project)] {
        let assignment = lead.actor.post(&path, &editor).await.expect(201);
        given.push(format!("{path}/{}", assignment["id"].as_str().unwrap()));
    }
    for path in [
        in_organization(&there.organization),
        in_project(&there.project),
        friend.roles(),
    ] {
        let body = if path == friend.roles() {
            json!({"role_id": SystemRole::Viewer.id(), "organization_id": here.organization})
        } else {
            editor.clone()
        };
        refused(&app, &lead.actor, "POST", &path, Some(body), "role:assign").await;
    }
    let more = give_to(friend.id, SystemRole::Admin);
    refused(
        &app,
        &lead.actor,
        "POST",
        &in_organization(&here.organization),
        Some(more),
        "role:assign",
    )
    .await;
    let own = give_to(lead.id, SystemRole::Admin);
    refused(
        &app,
        &lead.actor,
        "POST",
        &in_project(&here.project),
        Some(own),
        "role:assign",
    )
    .await;

    // Assignments of other scopes do not exist under this one, whoever asks.
    let elsewhere = app
        .world
        .assign(
            ACME,
            friend.id,
            SystemRole::Viewer,
            Some(there.organization.parse().unwrap()),
            None,
        )
        .await;
    let everywhere = app
        .world
        .assign(ACME, friend.id, SystemRole::Viewer, None, None)
        .await;
    for id in [elsewhere, everywhere] {
        let path = format!("{}/{id}", in_organization(&here.organization));
        assert_eq!(lead.actor.delete(&path).await.problem(404), "not_found");
        assert_eq!(admin.delete(&path).await.problem(404), "not_found");
    }
    // A role there that holds more than the lead does is not theirs to take away.
    let above = app
        .world
        .assign(
            ACME,
            friend.id,
            SystemRole::Admin,
            Some(here.organization.parse().unwrap()),
            None,
        )
        .await;
    let above = format!("{}/{above}", in_organization(&here.organization));
    refused(&app, &lead.actor, "DELETE", &above, None, "role:assign").await;
    for path in given {
        lead.actor.delete(&path).await.expect(204);
    }
}

#[tokio::test]
async fn who_may_give_roles_in_a_project_is_held_to_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let friend = person(&app).await;
    let lead = person(&app).await;
    app.world
        .assign(
            ACME,
            lead.id,
            SystemRole::Manager,
            None,
            Some(board.project.parse().unwrap()),
        )
        .await;
    let body = give_to(friend.id, SystemRole::Viewer);
    lead.actor
        .post(&format!("/api/v1/projects/{}/roles", board.project), &body)
        .await
        .expect(201);
    let above = format!("/api/v1/organizations/{}/roles", board.organization);
    refused(&app, &lead.actor, "POST", &above, Some(body), "role:assign").await;

    // role:assign in a part does not make what is held elsewhere giveable there: both count at the scope alone.
    let (mixed, _) = with_permissions(&app, "Mixed", &["card:read"]).await;
    let assigner = role(&app, "Assigner", &["role:assign"]).await;
    let project = format!("/api/v1/projects/{}/roles", board.project);
    admin
        .post(&project, &json!({"user_id": mixed.id, "role_id": assigner}))
        .await
        .expect(201);
    let reader = role(&app, "Reader", &["card:read"]).await;
    mixed
        .actor
        .post(&project, &json!({"user_id": friend.id, "role_id": reader}))
        .await
        .expect(201);
    let more =
        json!({"user_id": friend.id, "role_id": role(&app, "Writer", &["card:read", "card:update"]).await});
    refused(&app, &mixed.actor, "POST", &project, Some(more), "role:assign").await;
}

#[tokio::test]
async fn an_api_key_gives_no_more_than_it_may_do_itself() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let friend = person(&app).await;
    let bare = api_key(&app, admin.id, &["role:assign", "role:read"]).await;
    refused(
        &app,
        &bare,
        "POST",
        &friend.roles(),
        Some(give(SystemRole::Viewer)),
        "role:assign",
    )
    .await;
    refused(
        &app,
        &bare,
        "POST",
        &admin.roles(),
        Some(give(SystemRole::Editor)),
        "role:assign",
    )
    .await;

    let mut names: Vec<&str> = SystemRole::Viewer
        .permissions()
        .iter()
        .map(|permission| permission.name())
        .collect();
    names.push("role:assign");
    let key = api_key(&app, admin.id, &names).await;
    let given = key
        .post(&friend.roles(), &give(SystemRole::Viewer))
        .await
        .expect(201);
    refused(
        &app,
        &key,
        "POST",
        &friend.roles(),
        Some(give(SystemRole::Editor)),
        "role:assign",
    )
    .await;
    let given = format!("{}/{}", friend.roles(), given["id"].as_str().unwrap());
    refused(&app, &bare, "DELETE", &given, None, "role:assign").await;
    key.delete(&given).await.expect(204);
}

#[tokio::test]
async fn what_is_held_for_a_while_is_given_for_no_longer() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (deputy, friend) = (person(&app).await, person(&app).await);
    let until = |time: &str| json!({"role_id": SystemRole::Admin.id(), "expires_at": time});
    admin
        .post(&deputy.roles(), &until("2999-01-01T00:00:00Z"))
        .await
        .expect(201);
    for body in [
        give(SystemRole::Admin),
        until("2999-01-01T00:00:01Z"),
        give(SystemRole::Viewer),
    ] {
        refused(
            &app,
            &deputy.actor,
            "POST",
            &friend.roles(),
            Some(body),
            "role:assign",
        )
        .await;
    }
    deputy
        .actor
        .post(&friend.roles(), &until("2998-12-31T00:00:00Z"))
        .await
        .expect(201);
}
