//! Another domain's id answers exactly as an id that does not exist, in every operation, wherever it stands.

use serde_json::Value;
use test_support::{ACME, Answer, GLOBEX};

use super::operations;
use crate::app::TestApp;

/// Status and body, without what is different for every request.
fn comparable(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    if let Some(object) = body.as_object_mut() {
        object.remove("request_id");
    }
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn another_domains_ids_do_not_exist() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let theirs = app.world.fixture(GLOBEX).await;
    let globex = theirs["domain_id"];
    let before = app.world.fingerprint(globex).await;
    let mut tried = 0;
    for operation in operations() {
        for name in operation.id_names() {
            // Domains are the operators' affair; to them no domain is another's.
            if name == "domain_id" {
                continue;
            }
            let mut answers = Vec::new();
            for foreign in [true, false] {
                let mut ids = app.world.fixture(ACME).await;
                let name = *ids
                    .keys()
                    .find(|key| **key == name)
                    .unwrap_or_else(|| panic!("the fixture has no {name}"));
                let stand_in = super::bodies::stand_in(&operation.id, name);
                let id = if foreign {
                    theirs[stand_in]
                } else {
                    db_core::Clock::System.uuid()
                };
                ids.insert(name, id);
                ids.insert(stand_in, id);
                answers.push(comparable(&operation.call(&admin, &ids).await));
            }
            assert!(
                answers[0].0 >= 400,
                "{} with another domain's {name}: {:?}",
                operation.id,
                answers[0]
            );
            assert_eq!(
                answers[0], answers[1],
                "{} with another domain's {name}",
                operation.id
            );
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} ids were tried");
    assert_eq!(
        app.world.fingerprint(globex).await,
        before,
        "rows of globex changed"
    );
}

#[tokio::test]
async fn another_domains_ids_in_filters_answer_as_unknown_ones() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (ours, theirs) = (app.world.fixture(ACME).await, app.world.fixture(GLOBEX).await);
    let mut tried = 0;
    for operation in operations() {
        for filter in &operation.id_filters {
            let mut path = operation.path.clone();
            for (name, id) in &ours {
                path = path.replace(&format!("{{{name}}}"), &id.to_string());
            }
            // Filters are called as the thing they point at; target_id may be anything.
            let thing = match filter.as_str() {
                "assignee_id" => "user_id",
                "target_id" => "card_id",
                name => name,
            };
            let foreign = admin.get(&format!("{path}?{filter}={}", theirs[thing])).await;
            let unknown = admin
                .get(&format!("{path}?{filter}={}", db_core::Clock::System.uuid()))
                .await;
            assert_eq!(
                comparable(&foreign),
                comparable(&unknown),
                "{} by {filter}",
                operation.id
            );
            // The activity stream outlives what it speaks of: there an unknown id is an empty list.
            let rows = foreign.json()["items"].as_array().map_or(0, Vec::len);
            assert_eq!(rows, 0, "{} by {filter}", operation.id);
            tried += 1;
        }
    }
    assert!(tried >= 3, "only {tried} filters were tried");
}
