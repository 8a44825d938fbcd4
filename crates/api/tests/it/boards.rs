//! Boards, columns, cards: order, numbers, limits, versions.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::app::{TestApp, make};

fn titles(list: &Value) -> Vec<String> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_card_lives_its_life() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let first = app.card(&admin, &board.column, "First").await;
    let second = app.card(&admin, &board.column, "Second").await;
    let in_column = format!("/api/v1/columns/{}/cards", board.column);
    assert_eq!(
        titles(&admin.get(&in_column).await.expect(200)),
        ["First", "Second"]
    );

    let moved = admin
        .post(
            &format!("/api/v1/cards/{second}/move"),
            &json!({"column_id": board.column, "before": first}),
        )
        .await
        .expect(200);
    assert_eq!((&moved["version"], &moved["number"]), (&json!(2), &json!(2)));
    assert_eq!(
        titles(&admin.get(&in_column).await.expect(200)),
        ["Second", "First"]
    );

    let path = format!("/api/v1/cards/{first}");
    let stale = admin.with_header("if-match", "\"7\"");
    assert_eq!(
        stale.patch(&path, &json!({"title": "Late"})).await.problem(412),
        "stale_version"
    );
    let answer = admin
        .with_header("if-match", "\"1\"")
        .patch(&path, &json!({"description": "Long"}))
        .await;
    assert_eq!(answer.headers["etag"], "\"2\"");
    let card = answer.expect(200);
    assert_eq!(
        (&card["title"], &card["description"]),
        (&json!("First"), &json!("Long"))
    );

    admin.delete(&path).await.expect(204);
    assert_eq!(admin.get(&path).await.problem(404), "not_found");
    let third = app.card(&admin, &board.column, "Third").await;
    let third = admin.get(&format!("/api/v1/cards/{third}")).await.expect(200);
    assert_eq!(
        third["number"], 3,
        "a deleted card's number is not given out again"
    );
}

#[tokio::test]
async fn a_neighbour_in_another_column_is_refused_by_the_name_that_the_request_gave_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (here, elsewhere) = (app.board(&admin).await, app.board(&admin).await);
    let card = app.card(&admin, &here.column, "Here").await;
    let far = app.card(&admin, &elsewhere.column, "Elsewhere").await;
    for field in ["before", "after"] {
        let path = format!("/api/v1/cards/{card}/move");
        let answer = admin
            .post(&path, &json!({"column_id": here.column, field: far}))
            .await;
        assert_eq!(answer.problem(422), "invalid");
        let errors = json!([{"field": field, "message": "must be a card of the column"}]);
        assert_eq!(answer.json()["errors"], errors);
    }
}

#[tokio::test]
async fn two_hundred_parallel_creates_number_without_gaps_or_twins() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let other = make(
        &admin,
        &format!("/api/v1/boards/{}/columns", board.board),
        json!({"name": "Doing"}),
    )
    .await;
    let created = join_all((0..200).map(|n| {
        let column = if n % 2 == 0 { &board.column } else { &other };
        let (admin, path) = (admin.clone(), format!("/api/v1/columns/{column}/cards"));
        async move {
            admin
                .post(&path, &json!({"title": format!("Card {n}")}))
                .await
                .expect(201)
        }
    }))
    .await;
    let numbers: BTreeSet<i64> = created
        .iter()
        .map(|card| card["number"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=200).collect());
    let places: BTreeSet<_> = created
        .iter()
        .map(|card| (card["column_id"].to_string(), card["rank"].to_string()))
        .collect();
    assert_eq!(places.len(), 200, "no two cards of a column have one rank");
}

#[tokio::test]
async fn a_blocking_limit_holds_under_fifty_parallel_moves() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let body = json!({"name": "Doing", "wip_limit": 3, "wip_policy": "block"});
    let doing = make(&admin, &format!("/api/v1/boards/{}/columns", board.board), body).await;
    let cards = join_all((0..50).map(|n| {
        let (app, admin, column) = (&app, &admin, &board.column);
        async move { app.card(admin, column, &format!("Card {n}")).await }
    }))
    .await;
    let answers = join_all(cards.iter().map(|card| {
        let (admin, path) = (admin.clone(), format!("/api/v1/cards/{card}/move"));
        let body = json!({"column_id": doing});
        async move { admin.post(&path, &body).await }
    }))
    .await;
    let moved = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((moved, refused), (3, 47));
    assert_eq!(
        answers
            .iter()
            .find(|answer| answer.status == 409)
            .unwrap()
            .problem(409),
        "wip_limit_reached"
    );
    let inside = admin
        .get(&format!("/api/v1/columns/{doing}/cards"))
        .await
        .expect(200);
    assert_eq!(inside["items"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn fifty_movers_at_once_lose_no_card_and_make_no_twin_ranks() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = app.board(&admin).await;
    let mut cards = Vec::new();
    for n in 0..20 {
        cards.push(app.card(&admin, &board.column, &format!("Card {n}")).await);
    }
    let answers = join_all((0..50).map(|n| {
        let path = format!("/api/v1/cards/{}/move", cards[n % cards.len()]);
        let anchor = &cards[(n * 7 + 3) % cards.len()];
        let body = if anchor == &cards[n % cards.len()] {
            json!({"column_id": board.column, "top": true})
        } else {
            json!({"column_id": board.column, "after": anchor})
        };
        let admin = admin.clone();
        async move { admin.post(&path, &body).await }
    }))
    .await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let list = admin
        .get(&format!("/api/v1/columns/{}/cards", board.column))
        .await
        .expect(200);
    let ranks: BTreeSet<String> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card["rank"].to_string())
        .collect();
    assert_eq!(ranks.len(), 20);
}
