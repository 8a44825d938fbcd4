//! Bodies that are no JSON, no body of this operation, or too much of one.

use serde_json::{Value, json};
use test_support::{Answer, Method};

use super::schema::{self, Field, Kind};
use super::{Bench, Operation, document, fields, names, operations};

const JSON: &str = "application/json";
const LIMIT: usize = 1 << 20;
const DEEP: usize = 100_000;

async fn send(bench: &Bench, operation: &Operation, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
    let path = bench.path(&operation.path);
    bench
        .actor(&operation.id)
        .send_raw(operation.method.clone(), &path, content_type, body.into())
        .await
}

fn with_bodies(document: &Value) -> Vec<(Operation, Value)> {
    let found: Vec<_> = operations(document)
        .into_iter()
        .filter_map(|operation| operation.body.clone().map(|body| (operation, body)))
        .collect();
    assert!(found.len() > 20, "only {} operations take a body", found.len());
    found
}

#[tokio::test]
async fn what_is_no_json_is_malformed() {
    let bench = Bench::new().await;
    let mut nested = "[".repeat(DEEP);
    nested.push_str(&"]".repeat(DEEP));
    for (operation, _) in with_bodies(&document()) {
        let cases: [(&str, Vec<u8>); 13] = [
            ("nothing", b"".to_vec()),
            ("blanks", b" \n ".to_vec()),
            ("a brace", b"{".to_vec()),
            ("half a pair", br#"{"name":"#.to_vec()),
            ("single quotes", b"{'name': 1}".to_vec()),
            ("a comma too many", br#"{"name": "x",}"#.to_vec()),
            ("NaN", br#"{"name": NaN}"#.to_vec()),
            ("a comment", b"/* x */ {}".to_vec()),
            ("invalid UTF-8", b"{\"name\": \"\xff\xfe\"}".to_vec()),
            ("an invalid key", b"{\"\xc3\x28\": 1}".to_vec()),
            ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
            ("a raw line break in a string", b"{\"nope\": \"a\nb\"}".to_vec()),
            ("UTF-16", vec![0xff, 0xfe, b'{', 0, b'}', 0]),
        ];
        for (what, body) in cases {
            let answer = send(&bench, &operation, JSON, body).await;
            let named = fields(&answer, &[400, 422], &format!("{} with {what}", operation.id));
            assert!(!named.is_empty(), "{} with {what}: {}", operation.id, answer.text);
        }
        for (what, body) in [
            ("null", "null"),
            ("a list", "[1]"),
            ("a string", "\"x\""),
            ("a number", "7"),
        ] {
            let answer = send(&bench, &operation, JSON, body).await;
            names(&answer, &[422], "body", &format!("{} with {what}", operation.id));
        }
        for what in ["{} x", "{}{}", "{}]"] {
            let answer = send(&bench, &operation, JSON, what).await;
            // What comes first is what is complained about: the fields that are missing, or what follows.
            fields(&answer, &[400, 422], &format!("{} with {what}", operation.id));
        }
        for (what, body) in [
            ("deep lists", nested.clone()),
            ("a deep unknown field", format!("{{\"nope\": {nested}}}")),
            (
                "deep objects",
                format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)),
            ),
            ("deep and never closed", "[".repeat(DEEP)),
        ] {
            let answer = send(&bench, &operation, JSON, body).await;
            fields(&answer, &[400, 422], &format!("{} with {what}", operation.id));
        }
    }
    bench.nothing_happened().await;
}

#[tokio::test]
async fn fields_that_do_not_fit_are_named() {
    let bench = Bench::new().await;
    let document = document();
    let mut tried = 0;
    for (operation, schema) in with_bodies(&document) {
        let unknown = send(&bench, &operation, JSON, r#"{"nope": 1}"#).await;
        names(
            &unknown,
            &[422],
            "nope",
            &format!("{} with an unknown field", operation.id),
        );
        for field in schema::fields(&document, &schema) {
            let path = &field.path;
            let types = [
                json!(7),
                json!(1.5),
                json!(true),
                json!("x"),
                json!([[]]),
                json!({"x": 1}),
                json!(-1),
            ];
            for wrong in types {
                if fits(field.kind, &wrong) {
                    continue;
                }
                let body = schema::with(&document, &schema, path, wrong.clone());
                let answer = send(&bench, &operation, JSON, body.to_string()).await;
                let what = format!("{} with {path} = {wrong}", operation.id);
                names_within(&answer, &[422], path, &what);
                tried += 1;
            }
            if field.required {
                let body = schema::with(&document, &schema, path, Value::Null);
                let answer = send(&bench, &operation, JSON, body.to_string()).await;
                names_within(
                    &answer,
                    &[422],
                    path,
                    &format!("{} with {path} = null", operation.id),
                );
            }
            for number in [
                "1e999",
                "99999999999999999999999999999999",
                "-0.0000000001e-400",
                "01",
            ] {
                let marker = "@number@";
                let body = schema::with(&document, &schema, path, json!(marker)).to_string();
                let body = body.replace(&format!("\"{marker}\""), number);
                let answer = send(&bench, &operation, JSON, body).await;
                let what = format!("{} with {path} = {number}", operation.id);
                assert!(
                    !fields(&answer, &[400, 422], &what).is_empty(),
                    "{what}: {}",
                    answer.text
                );
            }
            let top = path.split('.').next().unwrap();
            if top == path {
                let value = schema::value(&document, &schema)[top].to_string();
                let body = format!("{{\"{path}\": {value}, \"{path}\": {value}}}");
                let answer = send(&bench, &operation, JSON, body).await;
                names(
                    &answer,
                    &[422],
                    path,
                    &format!("{} with {path} twice", operation.id),
                );
            }
        }
    }
    assert!(tried > 200, "only {tried} values were tried");
    bench.nothing_happened().await;
}

/// The field, or what it stands in: of an object inside of the body serde names the object when that is what is wrong.
#[track_caller]
fn names_within(answer: &Answer, statuses: &[u16], field: &str, what: &str) {
    let named = fields(answer, statuses, what);
    let fits = named
        .iter()
        .any(|name| name.starts_with(field) || field.starts_with(name.as_str()));
    assert!(
        fits,
        "{what}: {field} is not among {named:?}: {}",
        super::short(&answer.text)
    );
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text | Kind::Password | Kind::Formed => value.is_string(),
        Kind::Integer => value.is_i64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Array => false,
        Kind::Object => value.is_object(),
    }
}

#[tokio::test]
async fn text_that_does_not_fit_is_named() {
    let bench = Bench::new().await;
    let document = document();
    let mut tried = 0;
    for (operation, schema) in with_bodies(&document) {
        for field in schema::fields(&document, &schema) {
            let long = "x".repeat(200_000);
            let texts: Vec<(&str, String)> = match field.kind {
                Kind::Text => vec![
                    ("over-long", long),
                    ("over-long in bytes and letters", "\u{10ffff}".repeat(200_000)),
                    ("NUL", "a\u{0}b".to_owned()),
                    ("a control character", "a\u{7}b".to_owned()),
                    ("an escape sequence", "\u{1b}[31mred".to_owned()),
                    ("DEL", "a\u{7f}b".to_owned()),
                ],
                Kind::Formed => vec![
                    ("over-long", long),
                    ("NUL", "\u{0}".to_owned()),
                    ("nothing", String::new()),
                    ("what it cannot be", "x".to_owned()),
                ],
                Kind::Password => vec![("over-long", long), ("nothing", String::new())],
                Kind::Integer | Kind::Boolean | Kind::Array | Kind::Object => continue,
            };
            for (what, text) in texts.into_iter().chain(invisible(&operation.id, &field)) {
                let body = schema::with(&document, &schema, &field.path, json!(text));
                let answer = send(&bench, &operation, JSON, body.to_string()).await;
                let what = format!("{} with {what} as {}", operation.id, field.path);
                names_within(&answer, &[422], &field.path, &what);
                assert!(
                    answer.text.len() < 4_000,
                    "{what}: an answer of {} bytes",
                    answer.text.len()
                );
                tried += 1;
            }
            for lone in ["\\ud800", "\\udc00x", "\\ud800\\ud800", "\\ud83d"] {
                let body = schema::with(&document, &schema, &field.path, json!("@text@")).to_string();
                let answer = send(&bench, &operation, JSON, body.replace("@text@", lone)).await;
                let what = format!("{} with a lone surrogate as {}", operation.id, field.path);
                names_within(&answer, &[400, 422], &field.path, &what);
            }
        }
    }
    assert!(tried > 100, "only {tried} texts were tried");
    bench.nothing_happened().await;
}

/// What is not seen has no business in a line: names that look alike would not be alike.
fn invisible(operation: &str, field: &Field) -> Vec<(&'static str, String)> {
    // Descriptions are no lines, and what is only compared at sign-in need not be well-formed.
    if field.kind != Kind::Text || field.path.ends_with("description") || operation == "create_session" {
        return Vec::new();
    }
    let mut texts = vec![
        ("a tab", '\t'),
        ("bidi control", '\u{202e}'),
        ("a zero-width space", '\u{200b}'),
    ];
    if field.path.ends_with("email") {
        texts.push(("a joiner", '\u{200d}'));
    }
    let text = |hidden| {
        format!(
            "ad{hidden}min{}",
            if field.path.ends_with("email") {
                "@x.test"
            } else {
                ""
            }
        )
    };
    texts
        .into_iter()
        .map(|(what, hidden)| (what, text(hidden)))
        .collect()
}

/// Text in lists is text too.
#[tokio::test]
async fn lists_that_do_not_fit_are_named() {
    let bench = Bench::new().await;
    let document = document();
    let mut tried = 0;
    for (operation, schema) in with_bodies(&document) {
        for field in schema::fields(&document, &schema) {
            if field.kind != Kind::Array {
                continue;
            }
            let many = vec!["no:permission"; 30_000];
            for wrong in [
                json!(["a\u{0}b"]),
                json!(["x".repeat(100_000)]),
                json!([1]),
                json!([null]),
                json!(many),
            ] {
                let body = schema::with(&document, &schema, &field.path, wrong);
                let answer = send(&bench, &operation, JSON, body.to_string()).await;
                let what = format!("{} with a list as {}", operation.id, field.path);
                names_within(&answer, &[422], &field.path, &what);
                assert!(
                    answer.text.len() < 8_000,
                    "{what}: an answer of {} bytes",
                    answer.text.len()
                );
                tried += 1;
            }
        }
    }
    assert!(tried >= 5, "only {tried} lists were tried");
    bench.nothing_happened().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_or_of_another_type_are_refused() {
    let bench = Bench::new().await;
    for (operation, _) in with_bodies(&document()) {
        let (id, path) = (&operation.id, bench.path(&operation.path));
        let large = format!("{{\"nope\": \"{}\"}}", "x".repeat(LIMIT));
        let answer = send(&bench, &operation, JSON, large.clone()).await;
        assert_eq!(answer.problem(413), "body_too_large", "{id}");
        let credential = match id.as_str() {
            "run_setup" => format!("authorization: Bearer {}\r\n", super::SETUP_TOKEN),
            _ => bench.cookie(),
        };
        let mut chunked = format!(
            "{} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {JSON}\r\n{credential}transfer-encoding: chunked\r\n\r\n",
            operation.method
        );
        for part in large.as_bytes().chunks(60_000) {
            chunked.push_str(&format!(
                "{:x}\r\n{}\r\n",
                part.len(),
                std::str::from_utf8(part).unwrap()
            ));
        }
        // No last chunk: the server answers as soon as it is too much.
        let (status, text) = super::raw(&bench, chunked.as_bytes()).await;
        assert!(
            status == 413 && text.contains("\"body_too_large\""),
            "{id}, in chunks without a length: {status} {text}"
        );
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "json",
            ";",
        ] {
            let answer = send(&bench, &operation, other, "{}").await;
            assert_eq!(answer.problem(415), "not_json", "{id} as {other}");
        }
        let answer = bench.actor(id).send(operation.method.clone(), &path, None).await;
        assert_eq!(answer.problem(415), "not_json", "{id} without a content type");
    }
    bench.nothing_happened().await;
}

/// What takes no body is not troubled by one.
#[tokio::test]
async fn a_body_that_nobody_asked_for_does_no_harm() {
    let bench = Bench::new().await;
    let large = "x".repeat(3 * LIMIT);
    for path in ["/api/v1/organizations", "/api/v1/me", "/healthz", "/nowhere"] {
        for (content_type, body) in [(JSON, "{"), ("text/plain", large.as_str())] {
            let answer = bench
                .admin
                .send_raw(Method::GET, path, content_type, body.into())
                .await;
            let wanted = if path == "/nowhere" { 404 } else { 200 };
            assert_eq!(answer.status, wanted, "{path}");
        }
    }
    bench.nothing_happened().await;
}
