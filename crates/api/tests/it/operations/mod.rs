//! Every operation of the OpenAPI document: who may call it, and that another domain's ids lead nowhere.
//!
//! Both tests walk the document. A new operation with a body needs a line in `bodies.rs`; the tests say so.

mod bodies;
mod foreign_ids;
mod matrix;
mod versions;

use std::collections::BTreeMap;

use serde_json::Value;
use test_support::{Actor, Answer, Method};
use uuid::Uuid;

/// An operation, as the document has it.
#[derive(Clone, Debug)]
pub struct Operation {
    pub id: String,
    pub method: Method,
    pub path: String,
    pub has_body: bool,
    /// Query parameters that hold an id.
    pub id_filters: Vec<String>,
}

/// Operations that stand outside of any domain: probes and setup.
const OUTSIDE: [&str; 4] = ["get_liveness", "get_readiness", "get_setup_status", "run_setup"];

/// All operations that act inside of a domain.
pub fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(&api::openapi::document().to_json().unwrap()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else {
                continue;
            };
            let id = operation["operationId"].as_str().unwrap().to_owned();
            if OUTSIDE.contains(&id.as_str()) {
                continue;
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let id_filters = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .filter_map(|parameter| parameter["name"].as_str())
                .filter(|name| name.ends_with("_id"))
                .map(str::to_owned)
                .collect();
            operations.push(Operation {
                id,
                method: Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(),
                path: path.clone(),
                has_body: operation.get("requestBody").is_some(),
                id_filters,
            });
        }
    }
    operations.sort_by(|a, b| a.id.cmp(&b.id));
    assert!(
        operations.len() > 30,
        "the document has only {} operations",
        operations.len()
    );
    operations
}

impl Operation {
    /// Names of the ids that the call needs: from the path, then from the body.
    pub fn id_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let body = bodies::body(&self.id)
            .map(|body| body.to_string())
            .unwrap_or_default();
        for text in [self.path.as_str(), body.as_str()] {
            for part in text.split('{').skip(1) {
                let name = part.split('}').next().unwrap();
                if name.ends_with("_id") && !names.contains(&name.to_owned()) {
                    names.push(name.to_owned());
                }
            }
        }
        names
    }

    /// Calls the operation with these ids.
    pub async fn call(&self, actor: &Actor, ids: &BTreeMap<&'static str, Uuid>) -> Answer {
        let fill = |text: &str, name: &str| {
            let mut filled = text.to_owned();
            for (key, id) in ids {
                // Deletes want something that nothing depends on.
                let wanted = bodies::stand_in(&self.id, key);
                filled = filled.replace(&format!("{{{key}}}"), &ids.get(wanted).unwrap_or(id).to_string());
            }
            // What is named rather than numbered.
            for (key, value) in [
                ("host", "new.example"),
                ("queue", "fixture"),
                ("schedule", "fixture"),
            ] {
                filled = filled.replace(&format!("{{{key}}}"), value);
            }
            assert!(
                !filled.contains('{') || name == "body",
                "{}: the fixture lacks an id of {filled}",
                self.id
            );
            filled
        };
        let path = fill(&self.path, "path");
        let body = bodies::body(&self.id)
            .map(|body| serde_json::from_str::<Value>(&fill(&body.to_string(), "body")).unwrap());
        assert_eq!(
            self.has_body,
            body.is_some(),
            "{}: bodies.rs and the document do not agree",
            self.id
        );
        actor.send(self.method.clone(), &path, body.as_ref()).await
    }
}
