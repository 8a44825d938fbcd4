//! Versions: the document says where `If-Match` is heard, and an entity tag is there where there is a version.

use serde_json::Value;
use test_support::ACME;

use super::operations;
use crate::app::TestApp;

fn document() -> Value {
    serde_json::from_str(&api::openapi::document().to_json().unwrap()).unwrap()
}

fn parameter(path: &str, method: &str, name: &str) -> Option<Value> {
    let document = document();
    let parameters = document["paths"][path][method.to_lowercase()]["parameters"]
        .as_array()?
        .clone();
    parameters.into_iter().find(|parameter| parameter["name"] == name)
}

#[tokio::test]
async fn if_match_is_documented_where_it_is_heard() {
    let app = TestApp::start().await;
    let mut heard = 0;
    for operation in operations() {
        let ids = app.world.fixture(ACME).await;
        let actor = app.admin().await.with_header("if-match", "nonsense");
        let answer = operation.call(&actor, &ids).await;
        let documented = parameter(&operation.path, operation.method.as_str(), "If-Match");
        let hears = answer.text.contains("\"invalid_if_match\"");
        assert_eq!(
            documented.is_some(),
            hears,
            "{}: {} {}",
            operation.id,
            answer.status,
            answer.text
        );
        if let Some(documented) = documented {
            assert_eq!(documented["in"], "header", "{documented}");
            heard += 1;
        }
    }
    assert!(heard >= 15, "{heard}");
}

#[tokio::test]
async fn an_entity_tag_is_there_where_there_is_a_version() {
    let app = TestApp::start().await;
    let (mut with, mut without) = (0, 0);
    for operation in operations() {
        let ids = app.world.fixture(ACME).await;
        let actor = if operation.id.contains("domain") {
            app.operator().await
        } else {
            app.admin().await
        };
        let answer = operation.call(&actor, &ids).await;
        if !answer.status.is_success() || answer.text.is_empty() {
            continue;
        }
        let etag = answer
            .headers
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned());
        let version = answer.json()["version"]
            .as_i64()
            .map(|version| format!("\"{version}\""));
        assert_eq!(etag, version, "{}", operation.id);
        if etag.is_some() {
            with += 1;
        } else {
            without += 1;
        }
    }
    assert!(with >= 20 && without >= 15, "{with} with, {without} without");
}

#[test]
fn the_bounds_of_a_page_are_documented() {
    let mut found = 0;
    for operation in operations() {
        let Some(limit) = parameter(&operation.path, operation.method.as_str(), "limit") else {
            continue;
        };
        let schema = &limit["schema"];
        assert_eq!(
            (&schema["minimum"], &schema["maximum"], &schema["default"]),
            (&1.into(), &200.into(), &50.into()),
            "{}: {limit}",
            operation.id
        );
        found += 1;
    }
    assert!(found >= 15, "{found}");
}
