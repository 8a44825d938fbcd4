//! The first promise: another domain's rows do not exist.

use serde_json::json;
use test_support::{ACME, GLOBEX, PASSWORD};
use uuid::Uuid;

use crate::app::TestApp;

#[tokio::test]
async fn a_card_of_one_domain_does_not_exist_in_the_other() {
    let app = TestApp::start().await;
    // Through the front door, with a password.
    let signed_in = app
        .anonymous()
        .post(
            "/api/v1/sessions",
            &json!({"domain": ACME, "email": "operator@plinth.test", "password": PASSWORD}),
        )
        .await;
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    signed_in.expect(201);
    let token = cookie.split(['=', ';']).nth(1).unwrap();
    let ours = app.anonymous().with_session(token);

    let board = app.board(&ours).await;
    let card = app.card(&ours, &board.column, "Ours alone").await;
    let path = format!("/api/v1/cards/{card}");
    assert_eq!(ours.get(&path).await.expect(200)["title"], "Ours alone");

    let theirs = app.other_admin().await;
    let unknown = format!(
        "/api/v1/cards/{}",
        Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)
    );
    let mut answers = Vec::new();
    for path in [&path, &unknown] {
        let answer = theirs.get(path).await;
        assert_eq!(answer.problem(404), "not_found");
        let mut body = answer.json();
        body["request_id"] = json!(null);
        answers.push(body);
    }
    assert_eq!(
        answers[0], answers[1],
        "another domain's card answers as one that is not there"
    );
    theirs
        .patch(&path, &json!({"title": "Theirs"}))
        .await
        .problem(404);
    theirs.delete(&path).await.problem(404);
    theirs
        .post(
            &format!("/api/v1/columns/{}/cards", board.column),
            &json!({"title": "Planted"}),
        )
        .await
        .problem(404);
    assert_eq!(
        theirs.get("/api/v1/organizations").await.expect(200)["items"],
        json!([])
    );

    let card = ours.get(&path).await.expect(200);
    assert_eq!(
        (&card["title"], &card["version"]),
        (&json!("Ours alone"), &json!(1))
    );
    let cards = ours
        .get(&format!("/api/v1/boards/{}/cards", board.board))
        .await
        .expect(200);
    assert_eq!(cards["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn strangers_and_forgers_stay_outside() {
    let app = TestApp::start().await;
    let anonymous = app.anonymous();
    for actor in [
        anonymous.clone(),
        anonymous.with_session("0000000000000000000000000000000000000000000000000000000000000000"),
        anonymous.with_session("x' OR true --"),
        anonymous.with_bearer("plinth_key_nonsense"),
        anonymous.with_bearer("sesame"),
    ] {
        assert_eq!(actor.get("/api/v1/me").await.problem(401), "unauthenticated");
        assert_eq!(
            actor.get("/api/v1/organizations").await.problem(401),
            "unauthenticated"
        );
    }
    let wrong = json!({"domain": GLOBEX, "email": "admin@globex.test", "password": "not the password"});
    assert_eq!(
        anonymous.post("/api/v1/sessions", &wrong).await.problem(401),
        "unauthenticated"
    );
    // The right password of a domain does not open the other one.
    let elsewhere = json!({"domain": ACME, "email": "admin@globex.test", "password": PASSWORD});
    assert_eq!(
        anonymous.post("/api/v1/sessions", &elsewhere).await.problem(401),
        "unauthenticated"
    );
    let denied: i64 = app
        .world
        .client()
        .query_one(
            "SELECT count(*) FROM activity_stream WHERE action = 'session.create' AND outcome = 'denied'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(denied, 2, "each refused sign-in is noted");
}
