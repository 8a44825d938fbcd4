//! Whatever a client sends that does not fit: a 4xx problem document that names the field, never a 5xx, never a panic, and
//! nothing written.
//!
//! Bodies and queries are made from the OpenAPI document, so that a new operation is covered without a line here.

mod bodies;
mod queries;
mod requests;
mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use test_support::{ACME, Actor, Answer, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::app::TestApp;

const SETUP_TOKEN: &str = "setup-token-for-the-tests";

/// A server, somebody who may do everything, ids that exist, and how many rows there are.
struct Bench {
    pub app: TestApp,
    pub admin: Actor,
    pub operator: Actor,
    token: String,
    pub ids: BTreeMap<&'static str, Uuid>,
    rows: BTreeMap<String, i64>,
}

impl Bench {
    pub async fn new() -> Self {
        let app = TestApp::start_with(TestDatabase::new().await, |config| {
            config.setup.token = Some(SecretString::from(SETUP_TOKEN));
        })
        .await;
        let token = app.world.session(ACME, app.world.first_user(ACME).await).await;
        let admin = app.anonymous().with_session(&token);
        let operator = app.operator().await;
        let ids = app.world.fixture(ACME).await;
        let rows = count(&app).await;
        Self {
            app,
            admin,
            operator,
            token,
            ids,
            rows,
        }
    }

    /// Who calls an operation: setup has a credential of its own.
    pub fn actor(&self, operation: &str) -> Actor {
        if operation == "run_setup" {
            self.app.anonymous().with_bearer(SETUP_TOKEN)
        } else {
            self.admin.clone()
        }
    }

    /// The header that signs in, for requests byte by byte.
    pub fn cookie(&self) -> String {
        format!("cookie: plinth_session={}\r\n", self.token)
    }

    /// The path with ids that exist.
    pub fn path(&self, path: &str) -> String {
        let mut path = path
            .replace("{host}", "host.test")
            .replace("{queue}", "fixture")
            .replace("{schedule}", "fixture");
        for (name, id) in &self.ids {
            path = path.replace(&format!("{{{name}}}"), &id.to_string());
        }
        assert!(!path.contains('{'), "the fixture has no id for {path}");
        path
    }

    /// Nothing was written, and the server is well.
    pub async fn nothing_happened(&self) {
        self.app.anonymous().get("/readyz").await.expect(200);
        assert_eq!(count(&self.app).await, self.rows, "rows were written");
    }
}

async fn count(app: &TestApp) -> BTreeMap<String, i64> {
    let client = app.world.client();
    let tables = "SELECT c.oid::regclass::text FROM pg_class c
                   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
    let mut rows = BTreeMap::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        let count = client
            .query_one(&format!("SELECT count(*) FROM {table}"), &[])
            .await
            .unwrap()
            .get(0);
        rows.insert(table, count);
    }
    assert!(rows.len() > 20, "{rows:?}");
    rows
}

/// The fields that the answer names; it is a problem document with one of these statuses.
#[track_caller]
fn fields(answer: &Answer, statuses: &[u16], what: &str) -> Vec<String> {
    let status = answer.status.as_u16();
    assert!(
        statuses.contains(&status),
        "{what}: {status} {}",
        short(&answer.text)
    );
    answer.problem(status);
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap().to_owned())
        .collect()
}

/// The answer is a problem document that names this field.
#[track_caller]
fn names(answer: &Answer, statuses: &[u16], field: &str, what: &str) {
    let named = fields(answer, statuses, what);
    assert!(
        named
            .iter()
            .any(|name| name == field || name.starts_with(&format!("{field}["))),
        "{what}: {field} is not among {named:?}: {}",
        short(&answer.text)
    );
    // A mistake is not thrown back at full length.
    assert!(
        answer.text.len() < 4_000,
        "{what}: an answer of {} bytes",
        answer.text.len()
    );
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

/// An operation as the document has it.
#[derive(Clone, Debug)]
struct Operation {
    pub id: String,
    pub method: test_support::Method,
    pub path: String,
    /// Schema of its body.
    pub body: Option<Value>,
    /// Its query parameters, each a name and a schema.
    pub query: Vec<(String, Value)>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| {
                    (
                        parameter["name"].as_str().unwrap().to_owned(),
                        parameter["schema"].clone(),
                    )
                })
                .collect();
            let body = operation.pointer("/requestBody/content/application~1json/schema");
            operations.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                body: body.cloned(),
                query,
            });
        }
    }
    operations
}

fn document() -> Value {
    serde_json::from_str(&api::openapi::document().to_json().unwrap()).unwrap()
}

/// A request byte by byte: a client library would put it in order. Returns the status, and all of the answer.
async fn raw(bench: &Bench, request: &[u8]) -> (u16, String) {
    let address = bench.app.base.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    // The server may have answered and hung up before all of it was sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let whole = async {
        // Until it hangs up, or all of the body that it announced is there.
        while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap_or(0) > 0 {}
    };
    let read = tokio::time::timeout(Duration::from_secs(10), whole).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        read.is_ok(),
        "no end of the answer to {}: {text}",
        short(&String::from_utf8_lossy(request))
    );
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (status, text)
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next()?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}
