//! Tags of a project, and those that a card carries.

use db_core::rbac::SystemRole;
use serde_json::json;

use crate::app::{TestApp, make};
use crate::people::{UNKNOWN, noted, noted_at_all, person, rows, with, within};

#[tokio::test]
async fn a_tag_lives_its_life() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let path = format!("/api/v1/projects/{}/tags", board.project);
    let answer = admin
        .post(&path, &json!({"name": "Urgent", "color": "#FF8800"}))
        .await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let made = answer.expect(201);
    assert_eq!(made["color"], "#ff8800");
    assert_eq!(made["project_id"], json!(board.project));
    assert_eq!(admin.get(&location).await.expect(200), made);
    assert_eq!(admin.get(&path).await.expect(200)["items"], json!([made]));

    let same = json!({"name": "URGENT", "color": "#000000"});
    assert_eq!(admin.post(&path, &same).await.problem(409), "name_taken");
    let other = make(&admin, &path, json!({"name": "Later", "color": "#000000"})).await;
    let other = format!("/api/v1/tags/{other}");
    assert_eq!(
        admin.patch(&other, &json!({"name": "urgent"})).await.problem(409),
        "name_taken"
    );
    // Each project has names of its own.
    let elsewhere = app.board(&admin).await;
    make(
        &admin,
        &format!("/api/v1/projects/{}/tags", elsewhere.project),
        same,
    )
    .await;

    for color in [
        "red",
        "#12345",
        "#1234567",
        "#12345g",
        "123456",
        "#12345\u{e9}",
        "",
    ] {
        let answer = admin.post(&path, &json!({"name": "Odd", "color": color})).await;
        assert_eq!(answer.problem(422), "invalid", "{color}");
        assert_eq!(answer.json()["errors"][0]["field"], "color", "{color}");
        assert_eq!(
            admin
                .patch(&location, &json!({"color": color}))
                .await
                .problem(422),
            "invalid",
            "{color}"
        );
    }
    let stale = admin.with_header("if-match", "\"9\"");
    assert_eq!(
        stale
            .patch(&location, &json!({"name": "Late"}))
            .await
            .problem(412),
        "stale_version"
    );
    let changed = admin
        .with_header("if-match", "\"1\"")
        .patch(&location, &json!({"color": "#ABCDEF"}))
        .await;
    assert_eq!(changed.headers["etag"], "\"2\"");
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["name"], &changed["color"]),
        (&json!("Urgent"), &json!("#abcdef"))
    );
    assert_eq!(stale.delete(&location).await.problem(412), "stale_version");
    admin.delete(&location).await.expect(204);
    assert_eq!(admin.get(&location).await.problem(404), "not_found");
    assert_eq!(noted(&app, "tag.create", "success").await, 3);
    assert_eq!(noted(&app, "tag.update", "success").await, 1);
    assert_eq!(noted(&app, "tag.delete", "success").await, 1);
}

#[tokio::test]
async fn a_card_carries_tags_of_its_project_alone() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (here, there) = (app.board(&admin).await, app.board(&admin).await);
    let editor = within(&app, SystemRole::Editor, &here.organization).await.actor;
    let body = json!({"name": "Urgent", "color": "#ff0000"});
    let tag = make(
        &editor,
        &format!("/api/v1/projects/{}/tags", here.project),
        body.clone(),
    )
    .await;
    let foreign = make(&admin, &format!("/api/v1/projects/{}/tags", there.project), body).await;
    let card = app.card(&editor, &here.column, "Card").await;
    let tags = format!("/api/v1/cards/{card}/tags");

    assert_eq!(editor.get(&tags).await.expect(200)["items"], json!([]));
    let before = noted_at_all(&app).await;
    for _ in 0..2 {
        assert_eq!(
            editor.put(&format!("{tags}/{tag}")).await.expect(204),
            json!(null)
        );
    }
    assert_eq!(
        noted_at_all(&app).await,
        before + 1,
        "once more changes nothing and is not noted"
    );
    let carried = editor.get(&tags).await.expect(200);
    assert_eq!(carried["items"][0]["id"], json!(tag));
    let filtered = format!("/api/v1/boards/{}/cards?tag_id={tag}", here.board);
    assert_eq!(
        editor.get(&filtered).await.expect(200)["items"][0]["id"],
        json!(card)
    );

    let stored = rows(&app, "card_tags").await;
    for id in [&foreign, &UNKNOWN.to_string(), "nonsense"] {
        for actor in [&editor, &admin] {
            assert_eq!(actor.put(&format!("{tags}/{id}")).await.problem(404), "not_found");
            assert_eq!(
                actor.delete(&format!("{tags}/{id}")).await.problem(404),
                "not_found"
            );
        }
    }
    assert_eq!(rows(&app, "card_tags").await, stored);

    editor.delete(&format!("{tags}/{tag}")).await.expect(204);
    assert_eq!(
        editor.delete(&format!("{tags}/{tag}")).await.problem(404),
        "not_found"
    );
    assert_eq!(editor.get(&tags).await.expect(200)["items"], json!([]));
    assert_eq!(noted(&app, "card.tag", "success").await, 1);
    assert_eq!(noted(&app, "card.untag", "success").await, 1);

    // A tag that goes leaves its cards.
    editor.put(&format!("{tags}/{tag}")).await.expect(204);
    editor.delete(&format!("/api/v1/tags/{tag}")).await.expect(204);
    assert_eq!(editor.get(&tags).await.expect(200)["items"], json!([]));
    admin.get(&format!("/api/v1/cards/{card}")).await.expect(200);
}

#[tokio::test]
async fn twenty_at_once_tag_a_card_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let path = format!("/api/v1/projects/{}/tags", board.project);
    let tag = make(&admin, &path, json!({"name": "Urgent", "color": "#ff0000"})).await;
    let card = app.card(&admin, &board.column, "Card").await;
    let path = format!("/api/v1/cards/{card}/tags/{tag}");
    let answers = futures_util::future::join_all((0..20).map(|_| admin.put(&path))).await;
    for answer in answers {
        answer.expect(204);
    }
    assert_eq!(noted(&app, "card.tag", "success").await, 1);
}

#[tokio::test]
async fn who_sees_changes_nothing_and_strangers_see_nothing() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let path = format!("/api/v1/projects/{}/tags", board.project);
    let body = json!({"name": "Urgent", "color": "#ff0000"});
    let tag = make(&admin, &path, body.clone()).await;
    let card = app.card(&admin, &board.column, "Card").await;
    let one = format!("/api/v1/tags/{tag}");
    let carried = format!("/api/v1/cards/{card}/tags");
    admin.put(&format!("{carried}/{tag}")).await.expect(204);
    let stored = (rows(&app, "tags").await, rows(&app, "card_tags").await);

    let viewer = with(&app, SystemRole::Viewer).await.actor;
    let nobody = person(&app).await.actor;
    let theirs = app.other_admin().await;
    for read in [&path, &one, &carried] {
        viewer.get(read).await.expect(200);
        assert_eq!(nobody.get(read).await.problem(403), "forbidden");
        assert_eq!(theirs.get(read).await.problem(404), "not_found");
    }
    for (actor, status, code) in [
        (&viewer, 403, "forbidden"),
        (&nobody, 403, "forbidden"),
        (&theirs, 404, "not_found"),
    ] {
        let before = noted_at_all(&app).await;
        for answer in [
            actor.post(&path, &body).await,
            actor.patch(&one, &json!({"name": "Mine"})).await,
            actor.delete(&one).await,
            actor.put(&format!("{carried}/{tag}")).await,
            actor.delete(&format!("{carried}/{tag}")).await,
        ] {
            assert_eq!(answer.problem(status), code);
        }
        let denials = if status == 403 { 5 } else { 0 };
        assert_eq!(
            noted_at_all(&app).await,
            before + denials,
            "each denial leaves one row"
        );
    }
    assert_eq!((rows(&app, "tags").await, rows(&app, "card_tags").await), stored);
}
