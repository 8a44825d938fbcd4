//! The activity stream: newest first, filtered, and closed to those who may not read it.

use db_core::rbac::SystemRole;
use serde_json::{Value, json};
use test_support::ACME;

use crate::app::TestApp;
use crate::people::{first_admin, noted, with};

fn actions(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_was_done_is_shown_newest_first_with_before_and_after() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let board = app.board(&admin.actor).await;
    let card = app.card(&admin.actor, &board.column, "First").await;
    let path = format!("/api/v1/cards/{card}");
    let changed = admin.actor.patch(&path, &json!({"title": "Second"})).await;
    let request = changed.headers["x-request-id"].to_str().unwrap().to_owned();
    let changed = changed.expect(200);

    let all = admin.actor.get("/api/v1/activity").await.expect(200);
    let recent = &actions(&all)[..6];
    assert_eq!(
        recent,
        [
            "card.update",
            "card.create",
            "column.create",
            "board.create",
            "project.create",
            "organization.create"
        ]
    );
    let row = &all["items"][0];
    assert_eq!(row["outcome"], "success");
    assert_eq!(row["user_id"], json!(admin.id));
    assert_eq!(
        (&row["target_type"], &row["target_id"]),
        (&json!("card"), &json!(card))
    );
    assert_eq!(row["before"]["title"], "First");
    assert_eq!(row["after"]["title"], "Second");
    assert_eq!(row["after"]["version"], changed["version"]);
    assert_eq!(row["request_id"], json!(request));
    assert_eq!(row["ip"], "127.0.0.1");
    assert_eq!(
        all["items"][1]["before"],
        json!(null),
        "what was made had no before"
    );
}

#[tokio::test]
async fn filters_narrow_and_pages_go_on() {
    let app = TestApp::start().await;
    let admin = first_admin(&app).await;
    let board = app.board(&admin.actor).await;
    let editor = with(&app, SystemRole::Editor).await;
    let card = app.card(&editor.actor, &board.column, "Card").await;
    let path = format!("/api/v1/cards/{card}");
    for title in ["b", "c", "d"] {
        editor
            .actor
            .patch(&path, &json!({"title": title}))
            .await
            .expect(200);
    }
    editor
        .actor
        .delete(&format!("/api/v1/projects/{}", board.project))
        .await
        .problem(403);

    let ask = async |filter: &str| {
        admin
            .actor
            .get(&format!("/api/v1/activity?{filter}"))
            .await
            .expect(200)
    };
    let of_card = ask(&format!("target_id={card}")).await;
    assert_eq!(
        actions(&of_card),
        ["card.update", "card.update", "card.update", "card.create"]
    );
    let of_editor = ask(&format!("user_id={}", editor.id)).await;
    assert_eq!(actions(&of_editor)[0], "project:delete");
    assert_eq!(actions(&of_editor).len(), 5);
    let denied = ask(&format!("outcome=denied&user_id={}", editor.id)).await;
    assert_eq!(actions(&denied), ["project:delete"]);
    assert_eq!(denied["items"][0]["target_id"], json!(board.project));
    assert_eq!(
        actions(&ask(&format!("action=card.create&target_id={card}")).await),
        ["card.create"]
    );
    assert_eq!(
        ask(&format!("outcome=denied&target_id={card}")).await["items"],
        json!([])
    );

    let (mut found, mut next) = (Vec::new(), format!("target_id={card}&limit=3"));
    loop {
        let page = ask(&next).await;
        found.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        next = format!("target_id={card}&limit=3&cursor={cursor}");
    }
    assert_eq!(json!(found), of_card["items"]);
}

#[tokio::test]
async fn unknown_filters_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    for (query, field) in [
        ("actor=x", "actor"),
        ("outcome=maybe", "outcome"),
        ("user_id=me", "user_id"),
        ("target_id=1", "target_id"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=abc", "cursor"),
        ("action=a%00b", "action"),
    ] {
        let answer = admin.get(&format!("/api/v1/activity?{query}")).await;
        assert_eq!(answer.problem(400), "invalid_query", "{query}");
        assert!(answer.text.contains(field), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn only_who_may_read_it_does_and_only_their_domains() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    for role in [SystemRole::Editor, SystemRole::Viewer] {
        let before = noted(&app, "activity:read", "denied").await;
        let somebody = with(&app, role).await;
        assert_eq!(
            somebody.actor.get("/api/v1/activity").await.problem(403),
            "forbidden"
        );
        assert_eq!(
            noted(&app, "activity:read", "denied").await,
            before + 1,
            "a denial leaves one row"
        );
    }
    with(&app, SystemRole::Manager)
        .await
        .actor
        .get("/api/v1/activity")
        .await
        .expect(200);
    // Admin of an organization is not yet who may read everyone's.
    let there = crate::people::within(&app, SystemRole::Admin, &board.organization).await;
    there.actor.get("/api/v1/activity").await.problem(403);

    let theirs = app.other_admin().await;
    let ours = app.world.first_user(ACME).await;
    for filter in [
        String::new(),
        format!("target_id={}", board.project),
        format!("user_id={ours}"),
    ] {
        let list = theirs
            .get(&format!("/api/v1/activity?{filter}"))
            .await
            .expect(200);
        assert_eq!(list["items"], json!([]), "{filter}");
    }
}
