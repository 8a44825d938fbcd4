//! What people, programs and code scanners get.

use migration_lint::{Report, lint, rules, sarif, text};
use serde_json::{Value, json};

use crate::support::up;

fn report() -> Report {
    let script = up(
        "-- lint: allow(ban-drop-column) because nothing reads it\nALTER TABLE cards DROP COLUMN x;\nDROP TABLE cards;\n",
    );
    Report::new(
        vec!["migrations/a b/up.sql".to_owned()],
        lint(&script, None, &[]),
        Some("nobody looked".to_owned()),
    )
}

#[test]
fn text_names_place_rule_reason_and_safe_form() {
    let text = text(&report());
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("up.sql:3:1: error: Dropping a table may break existing clients. [ban-drop-table]")
    );
    assert!(lines.next().unwrap().starts_with("  why: "));
    assert!(lines.next().unwrap().starts_with("  instead: "));
    assert_eq!(lines.next(), Some("1 finding in 1 file, 1 allowed by comments"));
    assert_eq!(
        lines.next(),
        Some("the rules of the catalogue were not asked: nobody looked")
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn json_has_everything() {
    let report = serde_json::to_value(report()).unwrap();
    assert_eq!(report.get("count"), Some(&json!(1)));
    let findings = report.get("findings").unwrap().as_array().unwrap();
    assert_eq!(findings.len(), 2);
    let allowed = findings.first().unwrap();
    assert_eq!(allowed.get("allowed"), Some(&json!("nothing reads it")));
    let dropped = findings.last().unwrap();
    assert_eq!(dropped.get("allowed"), None);
    assert_eq!(dropped.get("rule"), Some(&json!("ban-drop-table")));
    assert_eq!(dropped.get("level"), Some(&json!("error")));
    assert_eq!(dropped.get("source"), Some(&json!("squawk")));
    assert_eq!(dropped.get("start"), Some(&json!({ "line": 3, "column": 1 })));
    assert_eq!(dropped.get("end"), Some(&json!({ "line": 3, "column": 18 })));
    for key in ["message", "why", "safe_form", "file"] {
        assert!(dropped.get(key).is_some_and(Value::is_string), "{key}");
    }
}

#[test]
fn sarif_has_what_the_standard_requires() {
    let rules: Vec<_> = rules().collect();
    let log = sarif(&report(), &rules, "1.2.3");
    // 3.13: version and runs; 3.14.6: a tool; 3.18, 3.19: a driver with a name.
    assert_eq!(log.get("version"), Some(&json!("2.1.0")));
    assert_eq!(
        log.pointer("/runs/0/tool/driver/name"),
        Some(&json!("plinth-ops migrate lint"))
    );
    assert_eq!(log.pointer("/runs/0/tool/driver/version"), Some(&json!("1.2.3")));
    // 3.20.3: an invocation says whether it succeeded; 3.58: a notification has a message.
    assert_eq!(
        log.pointer("/runs/0/invocations/0/executionSuccessful"),
        Some(&json!(true))
    );
    let notice = log.pointer("/runs/0/invocations/0/toolExecutionNotifications/0/message/text");
    assert!(notice.unwrap().as_str().unwrap().contains("nobody looked"));
    // 3.4.4: a URI, not a path.
    let artifact = log.pointer("/runs/0/artifacts/0/location/uri");
    assert_eq!(artifact, Some(&json!("migrations/a%20b/up.sql")));
    let descriptions = log
        .pointer("/runs/0/tool/driver/rules")
        .unwrap()
        .as_array()
        .unwrap();
    let results = log.pointer("/runs/0/results").unwrap().as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        assert!(result.pointer("/message/text").is_some_and(Value::is_string));
        assert!(matches!(
            result.get("level").unwrap().as_str(),
            Some("error" | "warning")
        ));
        let index = usize::try_from(result.get("ruleIndex").unwrap().as_u64().unwrap()).unwrap();
        assert_eq!(descriptions.get(index).unwrap().get("id"), result.get("ruleId"));
        let place = result.pointer("/locations/0/physicalLocation").unwrap();
        assert!(
            place
                .pointer("/artifactLocation/uri")
                .is_some_and(Value::is_string)
        );
        for key in ["startLine", "startColumn", "endLine", "endColumn"] {
            assert!(
                place
                    .pointer(&format!("/region/{key}"))
                    .unwrap()
                    .as_u64()
                    .unwrap()
                    >= 1
            );
        }
    }
    // 3.27.23, 3.35: what a comment allows is told as such.
    let suppression = results.first().unwrap().pointer("/suppressions/0").unwrap();
    assert_eq!(
        suppression,
        &json!({ "kind": "inSource", "justification": "nothing reads it" })
    );
    assert_eq!(results.last().unwrap().get("suppressions"), None);
}
