//! Roles: what they are made of, and that nobody makes one of more than they hold.

use db_core::rbac::{Permission, SystemRole};
use serde_json::{Value, json};

use crate::app::{TestApp, make};
use crate::people::{
    UNKNOWN, api_key, essence, first_admin, noted, noted_at_all, person, refused, role, rows, with,
    with_permissions,
};

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_role_lives_its_life() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let body = json!({"name": "Tester", "permissions": ["card:update", "card:read", "card:read"]});
    let answer = admin.post("/api/v1/roles", &body).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers["etag"], "\"1\"");
    let made = answer.expect(201);
    assert_eq!(made["system"], false);
    assert_eq!(
        made["permissions"],
        json!(["card:read", "card:update"]),
        "sorted, each once"
    );
    assert_eq!(admin.get(&location).await.expect(200), made);

    let list = admin.get("/api/v1/roles").await.expect(200);
    assert_eq!(names(&list), ["Admin", "Manager", "Editor", "Viewer", "Tester"]);
    let system: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["system"] == true)
        .collect();
    assert_eq!(system, [true, true, true, true, false]);

    let stale = admin.with_header("if-match", "\"7\"");
    assert_eq!(
        stale
            .patch(&location, &json!({"name": "Late"}))
            .await
            .problem(412),
        "stale_version"
    );
    let fresh = admin.with_header("if-match", "\"1\"");
    let change = json!({"description": "Tests.", "permissions": ["card:read", "board:read"]});
    let changed = fresh.patch(&location, &change).await.expect(200);
    assert_eq!(changed["name"], "Tester");
    assert_eq!(changed["description"], "Tests.");
    assert_eq!(changed["permissions"], json!(["board:read", "card:read"]));
    assert_eq!(changed["version"], 2);

    assert_eq!(stale.delete(&location).await.problem(412), "stale_version");
    admin.delete(&location).await.expect(204);
    assert_eq!(admin.get(&location).await.problem(404), "not_found");
    for action in ["role.create", "role.update", "role.delete"] {
        assert_eq!(noted(&app, action, "success").await, 1, "{action} leaves one row");
    }
}

#[tokio::test]
async fn names_are_unique_whatever_their_case_and_never_a_system_roles() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let tester = role(&app, "Tester", &[]).await;
    let other = role(&app, "Other", &[]).await;
    for name in ["TESTER", "admin", " Viewer "] {
        let body = json!({"name": name, "permissions": []});
        assert_eq!(
            admin.post("/api/v1/roles", &body).await.problem(409),
            "name_taken",
            "{name}"
        );
        let path = format!("/api/v1/roles/{other}");
        assert_eq!(
            admin.patch(&path, &json!({"name": name})).await.problem(409),
            "name_taken",
            "{name}"
        );
    }
    // Its own name in another case is no conflict, and the other domain has names of its own.
    let renamed = admin
        .patch(&format!("/api/v1/roles/{tester}"), &json!({"name": "TESTER"}))
        .await;
    assert_eq!(renamed.expect(200)["name"], "TESTER");
    make(
        &app.other_admin().await,
        "/api/v1/roles",
        json!({"name": "Tester", "permissions": []}),
    )
    .await;
}

#[tokio::test]
async fn the_catalogue_is_listed_in_pages() {
    let app = TestApp::start().await;
    let viewer = with(&app, SystemRole::Viewer).await;
    let (mut found, mut path) = (Vec::new(), "/api/v1/permissions?limit=20".to_owned());
    loop {
        let page = viewer.actor.get(&path).await.expect(200);
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/permissions?limit=20&cursor={cursor}");
    }
    let mut wanted: Vec<Permission> = found
        .iter()
        .map(|item| Permission::from_name(item["name"].as_str().unwrap()).unwrap())
        .collect();
    for (item, permission) in found.iter().zip(&wanted) {
        assert_eq!(item["platform"], permission.is_platform());
        assert_eq!(item["description"], permission.description());
    }
    wanted.sort_unstable();
    wanted.dedup();
    assert_eq!(wanted.len(), found.len(), "each once");
    assert_eq!(wanted, SystemRole::Admin.permissions(), "all that there are");
    assert_eq!(
        person(&app)
            .await
            .actor
            .get("/api/v1/permissions")
            .await
            .problem(403),
        "forbidden"
    );
}

#[tokio::test]
async fn system_roles_are_immutable_for_everyone() {
    let app = TestApp::start().await;
    let stored = (rows(&app, "roles").await, rows(&app, "role_permissions").await);
    for actor in [app.admin().await, app.operator().await] {
        for system in SystemRole::all() {
            let path = format!("/api/v1/roles/{}", system.id());
            let shown = actor.get(&path).await.expect(200);
            assert_eq!(shown["system"], true);
            assert_eq!(
                shown["permissions"].as_array().unwrap().len(),
                system.permissions().len()
            );
            for change in [json!({"name": "Mine"}), json!({"permissions": []}), json!({})] {
                assert_eq!(actor.patch(&path, &change).await.problem(409), "system_role");
            }
            assert_eq!(actor.delete(&path).await.problem(409), "system_role");
        }
    }
    // A role of the platform domain would be seen and used by all.
    let body = json!({"name": "For all", "permissions": []});
    let answer = app.operator().await.post("/api/v1/roles", &body).await;
    assert_eq!(answer.problem(409), "platform_roles_fixed");
    assert_eq!(
        (rows(&app, "roles").await, rows(&app, "role_permissions").await),
        stored
    );
}

#[tokio::test]
async fn only_names_of_the_catalogue_that_a_domain_may_use() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let existing = format!("/api/v1/roles/{}", role(&app, "Tester", &["card:read"]).await);
    let stored = rows(&app, "role_permissions").await;
    for name in ["domain:create", "card:fly", "", "CARD:READ", "card:read\u{0}"] {
        let permissions = json!(["card:read", name]);
        let create = json!({"name": "New", "permissions": permissions});
        for answer in [
            admin.post("/api/v1/roles", &create).await,
            admin.patch(&existing, &json!({"permissions": permissions})).await,
        ] {
            assert_eq!(answer.problem(422), "invalid", "{name:?}");
            assert_eq!(answer.json()["errors"][0]["field"], "permissions[1]", "{name:?}");
        }
    }
    let many = vec!["card:read"; 501];
    let answer = admin
        .post("/api/v1/roles", &json!({"name": "Many", "permissions": many}))
        .await;
    assert_eq!(answer.problem(422), "invalid");
    assert_eq!(rows(&app, "role_permissions").await, stored);
}

#[tokio::test]
async fn nobody_makes_or_widens_a_role_beyond_what_they_hold() {
    let app = TestApp::start().await;
    let keeps = ["role:create", "role:read", "role:update", "card:read"];
    let (keeper, own) = with_permissions(&app, "Keeper", &keeps).await;
    let own = format!("/api/v1/roles/{own}");
    let above = format!(
        "/api/v1/roles/{}",
        role(&app, "Above", &["card:read", "user:deactivate"]).await
    );

    let create = |permissions: &[&str]| json!({"name": "New", "permissions": permissions});
    let wider = [keeps.as_slice(), &["role:assign"]].concat();
    let asks = [
        (
            "POST",
            "/api/v1/roles",
            create(&["card:read", "card:delete"]),
            "role:create",
        ),
        ("POST", "/api/v1/roles", create(&["role:assign"]), "role:create"),
        // One's own role.
        ("PATCH", &own, json!({"permissions": wider}), "role:update"),
        // Another's: wider, narrower by what the keeper lacks, and changed while it goes on holding that.
        (
            "PATCH",
            &above,
            json!({"permissions": ["card:read", "user:deactivate", "role:read"]}),
            "role:update",
        ),
        (
            "PATCH",
            &above,
            json!({"permissions": ["card:read"]}),
            "role:update",
        ),
        (
            "PATCH",
            &above,
            json!({"permissions": ["user:deactivate"]}),
            "role:update",
        ),
    ];
    for (method, path, body, permission) in asks {
        refused(&app, &keeper.actor, method, path, Some(body), permission).await;
    }
    // What they hold they may hand on; words they may change.
    let made = make(
        &keeper.actor,
        "/api/v1/roles",
        create(&["card:read", "role:read"]),
    )
    .await;
    keeper
        .actor
        .patch(
            &format!("/api/v1/roles/{made}"),
            &json!({"permissions": ["card:read"]}),
        )
        .await
        .expect(200);
    keeper
        .actor
        .patch(&above, &json!({"name": "Renamed"}))
        .await
        .expect(200);
    let same = json!({"permissions": ["user:deactivate", "card:read"]});
    keeper.actor.patch(&above, &same).await.expect(200);
}

#[tokio::test]
async fn a_limited_api_key_makes_no_role_of_what_it_lacks() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let key = api_key(&app, admin.id, &["role:create", "role:update", "card:read"]).await;
    let body = |permissions: &[&str]| json!({"name": "By key", "permissions": permissions});
    refused(
        &app,
        &key,
        "POST",
        "/api/v1/roles",
        Some(body(&["card:read", "card:update"])),
        "role:create",
    )
    .await;
    let made = format!(
        "/api/v1/roles/{}",
        make(&key, "/api/v1/roles", body(&["card:read"])).await
    );
    let wider = json!({"permissions": ["card:read", "card:update"]});
    refused(&app, &key, "PATCH", &made, Some(wider.clone()), "role:update").await;
    refused(&app, &key, "DELETE", &made, None, "role:delete").await;
    admin.actor.patch(&made, &wider).await.expect(200);
}

#[tokio::test]
async fn a_role_limited_to_an_organization_makes_no_roles() {
    let app = TestApp::start().await;
    let board = app.board(&app.admin().await).await;
    let admin_there = crate::people::within(&app, SystemRole::Admin, &board.organization).await;
    let made = format!("/api/v1/roles/{}", role(&app, "Tester", &["card:read"]).await);
    let body = json!({"name": "New", "permissions": ["card:read"]});
    refused(
        &app,
        &admin_there.actor,
        "POST",
        "/api/v1/roles",
        Some(body),
        "role:create",
    )
    .await;
    let wider = json!({"permissions": ["card:read", "card:update"]});
    refused(
        &app,
        &admin_there.actor,
        "PATCH",
        &made,
        Some(wider),
        "role:update",
    )
    .await;
    refused(&app, &admin_there.actor, "DELETE", &made, None, "role:delete").await;
    // Reading is no matter of scope: they choose among the roles that they give there.
    assert_eq!(
        names(&admin_there.actor.get("/api/v1/roles").await.expect(200)).len(),
        5
    );
}

#[tokio::test]
async fn what_is_held_for_a_while_does_not_become_permanent_through_a_role() {
    let app = TestApp::start().await;
    let (keeper, own) = with_permissions(&app, "Keeper", &["role:update", "role:read"]).await;
    let own = format!("/api/v1/roles/{own}");
    let admin = app.admin().await;
    let hour = json!({"role_id": SystemRole::Admin.id(), "expires_at": "2999-01-01T00:00:00Z"});
    admin.post(&keeper.roles(), &hour).await.expect(201);
    let wider = json!({"permissions": ["role:update", "role:read", "role:assign"]});
    refused(&app, &keeper.actor, "PATCH", &own, Some(wider), "role:update").await;
    // A new role gives nobody anything yet, and giving it is limited in time.
    let body = json!({"name": "New", "permissions": ["role:assign"]});
    let made = make(&keeper.actor, "/api/v1/roles", body).await;
    refused(
        &app,
        &keeper.actor,
        "POST",
        &keeper.roles(),
        Some(json!({"role_id": made})),
        "role:assign",
    )
    .await;
}

#[tokio::test]
async fn a_role_in_use_stays() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (holder, id) = with_permissions(&app, "Tester", &["card:read"]).await;
    let path = format!("/api/v1/roles/{id}");
    let before = noted_at_all(&app).await;
    assert_eq!(admin.delete(&path).await.problem(409), "role_in_use");
    assert_eq!(noted_at_all(&app).await, before, "a conflict is no mutation");
    app.world
        .client()
        .execute(
            "UPDATE user_roles SET expires_at = now() - interval '1 second' WHERE user_id = $1",
            &[&holder.id],
        )
        .await
        .unwrap();
    admin.delete(&path).await.expect(204);
    assert_eq!(noted_at_all(&app).await, before + 1);
}

#[tokio::test]
async fn another_domains_role_is_no_role() {
    let app = TestApp::start().await;
    let theirs = make(
        &app.other_admin().await,
        "/api/v1/roles",
        json!({"name": "Theirs", "permissions": []}),
    )
    .await;
    let admin = app.admin().await;
    let stored = rows(&app, "roles").await;
    let mut answers = Vec::new();
    for id in [theirs, UNKNOWN.to_string()] {
        let path = format!("/api/v1/roles/{id}");
        answers.push([
            essence(&admin.get(&path).await, &id),
            essence(&admin.patch(&path, &json!({"name": "Ours"})).await, &id),
            essence(&admin.delete(&path).await, &id),
        ]);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].iter().all(|(status, _)| *status == 404), "{answers:?}");
    assert_eq!(rows(&app, "roles").await, stored);
    let own = admin.get("/api/v1/roles").await.expect(200);
    assert_eq!(names(&own), ["Admin", "Manager", "Editor", "Viewer"]);
}
