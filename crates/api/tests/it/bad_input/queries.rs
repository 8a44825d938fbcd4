//! Query parameters and cursors that do not fit.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use test_support::Method;

use super::{Bench, Operation, document, names, operations, schema};

fn lists(document: &Value) -> Vec<Operation> {
    let found: Vec<_> = operations(document)
        .into_iter()
        .filter(|operation| !operation.query.is_empty())
        .collect();
    assert!(found.len() > 10, "only {} operations take a query", found.len());
    found
}

/// Filters that are compared with what is there, whatever they say.
const FREE_TEXT: [&str; 4] = ["action", "email", "kind", "queue"];

#[tokio::test]
async fn parameters_that_do_not_fit_are_named() {
    let bench = Bench::new().await;
    let document = document();
    let mut tried = 0;
    for operation in lists(&document) {
        let path = bench.path(&operation.path);
        bench.reader(&operation.id).get(&path).await.expect(200);
        let actor = bench.reader(&operation.id);
        let mut cases: Vec<(String, String)> = vec![
            ("nope".to_owned(), "nope=1".to_owned()),
            ("Limit".to_owned(), "Limit=1".to_owned()),
            ("limit ".to_owned(), "limit%20=1".to_owned()),
        ];
        for (name, parameter) in &operation.query {
            let parameter = schema::resolve(&document, parameter);
            let wrong: &[&str] = if name == "limit" {
                &[
                    "",
                    "0",
                    "201",
                    "-1",
                    "x",
                    "1.5",
                    "1e2",
                    "99999999999999999999",
                    "%31%00",
                    "0x10",
                ]
            } else if name == "cursor" {
                &["", "%%%", "x", "AAAA", "%00", "eA", "=", "%ff", "Og", "Ojo6"]
            } else if parameter.get("format").is_some() || parameter.get("enum").is_some() {
                &["", "x", "%00", "%ff", "00000000-0000-0000-0000-00000000000g"]
            } else {
                &["%00", "a%00b"]
            };
            cases.extend(
                wrong
                    .iter()
                    .map(|value| (name.clone(), format!("{name}={value}"))),
            );
            let long = "x".repeat(9_000);
            if !FREE_TEXT.contains(&name.as_str()) {
                cases.push((name.clone(), format!("{name}={long}")));
            }
            cases.push((name.clone(), format!("{name}=1&{name}=1")));
        }
        for (name, query) in cases {
            let answer = actor.get(&format!("{path}?{query}")).await;
            let what = format!("{} with {}", operation.id, super::short(&query));
            names(&answer, &[400], &name, &what);
            tried += 1;
        }
        // Text that matches nothing is no mistake, however long.
        for (name, _) in operation
            .query
            .iter()
            .filter(|(name, _)| FREE_TEXT.contains(&name.as_str()))
        {
            for value in [
                "x".repeat(9_000),
                "%ff%fe".to_owned(),
                "%F0%9F%98%80".to_owned(),
                "'; --".to_owned(),
            ] {
                let status = actor.get(&format!("{path}?{name}={value}")).await.status.as_u16();
                assert!(
                    matches!(status, 200 | 400),
                    "{} with {name}: {status}",
                    operation.id
                );
            }
        }
    }
    assert!(tried > 200, "only {tried} queries were tried");
    bench.nothing_happened().await;
}

#[tokio::test]
async fn a_cursor_serves_its_own_list_only() {
    let bench = Bench::new().await;
    let document = document();
    let mut cursors = Vec::new();
    for operation in lists(&document) {
        let path = bench.path(&operation.path);
        let actor = bench.reader(&operation.id);
        let first = actor.get(&format!("{path}?limit=1")).await.expect(200);
        if let Some(cursor) = first["next_cursor"].as_str() {
            actor
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .expect(200);
            cursors.push((operation, cursor.to_owned()));
        }
    }
    assert!(
        cursors.len() >= 5,
        "only {} lists have a second page",
        cursors.len()
    );
    for (operation, own) in &cursors {
        let path = bench.path(&operation.path);
        let actor = bench.reader(&operation.id);
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(own).unwrap()).unwrap();
        let (list, key) = text.split_once(':').unwrap();
        let forged = [
            format!("{list}:"),
            format!("{list}:{key}x"),
            format!("{list}:' OR true --"),
            format!("{list}:a\0b"),
            list.to_owned(),
            format!(":{key}"),
            format!("x{list}:{key}"),
        ];
        let mut wrong: Vec<String> = forged.iter().map(|text| URL_SAFE_NO_PAD.encode(text)).collect();
        wrong.push(format!("{own}A"));
        wrong.push(own.chars().skip(1).collect());
        wrong.extend(
            cursors
                .iter()
                .filter(|(_, other)| !other_of_same_list(own, other))
                .map(|(_, other)| other.clone()),
        );
        for cursor in wrong {
            let answer = actor.get(&format!("{path}?cursor={cursor}")).await;
            // Keys that are text may be anything that fits their rules; what they must not do is fail.
            let what = format!("{} with the cursor {cursor}", operation.id);
            if key_is_text(key) && answer.status == 200 {
                continue;
            }
            names(&answer, &[400], "cursor", &what);
        }
    }
    bench.nothing_happened().await;
}

fn other_of_same_list(own: &str, other: &str) -> bool {
    let list = |cursor: &str| {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).unwrap()).unwrap();
        text.split_once(':').unwrap().0.to_owned()
    };
    list(own) == list(other)
}

fn key_is_text(key: &str) -> bool {
    key.parse::<uuid::Uuid>().is_err()
}

/// Where an operation has no query parameters there are none to be ignored.
#[tokio::test]
async fn a_query_on_anything_else_changes_nothing() {
    let bench = Bench::new().await;
    for operation in operations(&document()) {
        if operation.method != Method::GET || !operation.query.is_empty() {
            continue;
        }
        let path = bench.path(&operation.path);
        let actor = bench.reader(&operation.id);
        let plain = actor.get(&path).await;
        // The key of the fixture is somebody else's.
        let there = if operation.id == "get_api_key" { 404 } else { 200 };
        assert_eq!(plain.status, there, "{}: {}", operation.id, plain.text);
        for query in ["?", "?%00", "?a=b&a=b", "?%ff=%fe", "?limit=-1"] {
            let status = actor.get(&format!("{path}{query}")).await.status;
            assert!(
                status == there || status == 400,
                "{} with {query}: {status}",
                operation.id
            );
        }
    }
    bench.nothing_happened().await;
}

impl Bench {
    /// Domains, backups and jobs are the operators' affair.
    fn reader(&self, operation: &str) -> &test_support::Actor {
        let of_operators = ["domain", "backup", "job", "queue"];
        if of_operators.iter().any(|word| operation.contains(word)) {
            &self.operator
        } else {
            &self.admin
        }
    }
}
