//! The OpenAPI document: its committed copy, the routes it speaks of, and the page to browse it.

use std::collections::BTreeSet;

use actix_web::introspection::IntrospectionTree;
use actix_web::test::{TestRequest, call_and_read_body_json, init_service};
use actix_web::{HttpResponse, web};
use db_core::Clock;
use serde_json::Value;

use crate::app::TestApp;

fn document() -> Value {
    serde_json::from_str(&api::openapi::document().to_json().unwrap()).unwrap()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "make update says through the environment that the file is to be written"
)]
fn the_committed_copy_is_the_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json");
    let document = format!("{}\n", api::openapi::document().to_pretty_json().unwrap());
    if std::env::var_os("PLINTH_TEST_UPDATE").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(document.lines())
        .find(|(ours, theirs)| ours != theirs);
    assert!(
        committed == document,
        "openapi.json is out of step: run make update. First difference: {differs:?}"
    );
}

/// What serves the document itself is no part of it.
const BESIDE: [&str; 4] = ["/docs", "/docs/{_:.*}", "/openapi.json", "/_routes"];

#[actix_web::test]
async fn routes_and_document_name_the_same_operations() {
    async fn routes(tree: web::Data<IntrospectionTree>) -> HttpResponse {
        HttpResponse::Ok()
            .content_type("application/json")
            .body(tree.report_as_json())
    }
    let database = test_support::TestDatabase::new().await;
    let state = api::start::app_state(database.config(), Clock::System)
        .await
        .unwrap();
    let app = api::server::app(state).route("/_routes", web::get().to(routes));
    let service = init_service(app).await;
    let request = TestRequest::get().uri("/_routes").to_request();
    let report: Value = call_and_read_body_json(&service, request).await;

    let mut registered = BTreeSet::new();
    for item in report.as_array().unwrap() {
        let path = item["full_path"].as_str().unwrap();
        if item["resource_type"] != "resource" || BESIDE.contains(&path) {
            continue;
        }
        let methods = item["methods"].as_array().unwrap();
        assert!(!methods.is_empty(), "{path} answers to every method: {item}");
        for method in methods {
            registered.insert(format!("{} {path}", method.as_str().unwrap()));
        }
    }
    let mut documented = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert!(documented.len() > 40, "{documented:?}");
    let missing: Vec<_> = registered.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "routes that the document does not have: {missing:?}"
    );
    let invented: Vec<_> = documented.difference(&registered).collect();
    assert!(
        invented.is_empty(),
        "operations that no route serves: {invented:?}"
    );
}

#[test]
fn every_operation_is_named_once_and_says_what_it_answers() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            let words = ["summary", "tags"].map(|word| operation.get(word).is_some());
            assert_eq!(words, [true, true], "{id}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{id} says nothing of problems");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{id} never succeeds"
            );
            for part in path.split('{').skip(1) {
                let name = part.split('}').next().unwrap();
                let parameters = operation["parameters"].as_array().unwrap();
                let described = parameters.iter().any(|p| p["name"] == name && p["in"] == "path");
                assert!(described, "{method} {path} does not describe {name}");
            }
        }
    }
    // References lead somewhere.
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{pointer} is not in the document"
        );
    }
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let app = TestApp::start().await;
    let stranger = app.anonymous();
    let served = stranger.get("/openapi.json").await;
    assert_eq!(served.headers["content-type"], "application/json");
    assert_eq!(
        served.expect(200),
        document(),
        "what is served is what is committed"
    );

    let page = stranger.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui"), "{}", page.text);
    let policy = page.headers["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("script-src 'self'") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe-eval") && !policy.contains("script-src 'self' 'unsafe-inline'"),
        "{policy}"
    );
    // The page itself keeps to its policy: every script comes from a file.
    for script in page.text.split("<script").skip(1) {
        assert!(
            script.split('>').next().unwrap().contains("src="),
            "an inline script: {script}"
        );
    }
    for part in page
        .text
        .split("src=\"./")
        .chain(page.text.split("href=\"./"))
        .filter(|part| !part.starts_with('<'))
    {
        let file = part.split('"').next().unwrap();
        let answer = stranger.get(&format!("/docs/{file}")).await;
        assert_eq!(answer.status, 200, "{file}");
    }
    let short = stranger.get("/docs").await;
    assert!(short.status.is_redirection(), "{}", short.status);
    assert_eq!(short.headers["location"], "/docs/");
    assert_eq!(stranger.get("/docs/nothing.js").await.problem(404), "not_found");
    // Elsewhere nothing is to be run at all.
    let api = stranger.get("/api/db/status").await;
    assert_eq!(
        api.headers["content-security-policy"],
        "default-src 'none'; frame-ancestors 'none'"
    );
}
