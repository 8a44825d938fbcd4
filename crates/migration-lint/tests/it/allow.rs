//! Comments that allow something.

use migration_lint::{Level, RuleInfo, lint};

use crate::support::{found, rules_and_lines, up};

const CATALOGUE: &[RuleInfo] = &[RuleInfo {
    id: "missing-comment",
    level: Level::Error,
    why: "",
    safe_form: "",
}];

#[test]
fn a_reason_right_above_the_statement_allows() {
    for comment in [
        "-- lint: allow(ban-drop-column) because nothing reads it",
        "--lint:allow( ban-drop-column )because nothing reads it",
        "-- lint: allow(ban-drop-column) because: nothing reads it",
        "/* lint: allow(ban-drop-column) because nothing reads it */",
        "-- lint: allow(ban-drop-column) because nothing reads it\n-- since the last version",
        "-- Tidies up.\n-- lint: allow(ban-drop-column) because nothing reads it",
    ] {
        let script = up(&format!(
            "SELECT 1;\n\n{comment}\n  ALTER TABLE cards DROP COLUMN x;\n"
        ));
        assert_eq!(found(&script), [], "{comment}");
        let findings = lint(&script, None, &[]);
        let allowed = findings.first().unwrap().allowed.as_deref();
        assert_eq!(allowed, Some("nothing reads it"));
    }
}

#[test]
fn it_allows_one_statement_and_one_rule() {
    let script = up("
-- lint: allow(ban-drop-column) because nothing reads it
ALTER TABLE cards DROP COLUMN x, DROP COLUMN y, ALTER COLUMN z SET NOT NULL;
ALTER TABLE cards DROP COLUMN z;");
    assert_eq!(
        found(&script),
        [("adding-not-nullable-field", 3), ("ban-drop-column", 4)]
    );
    let several = up("
-- lint: allow(ban-drop-column, adding-not-nullable-field) because the table is empty everywhere
ALTER TABLE cards DROP COLUMN x, ALTER COLUMN z SET NOT NULL;");
    assert_eq!(found(&several), []);
    let stacked = up("
-- lint: allow(ban-drop-column) because nothing reads it
-- lint: allow(adding-not-nullable-field) because the table is empty everywhere
ALTER TABLE cards DROP COLUMN x, ALTER COLUMN z SET NOT NULL;");
    assert_eq!(found(&stacked), []);
}

#[test]
fn a_comment_that_allows_nothing_is_a_finding_itself() {
    let drop = ("ban-drop-column", 2);
    for (comment, expected) in [
        (
            "-- lint: allow(ban-drop-column)",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) because",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) because …",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) because .",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) because because",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) because of … reasons!",
            vec![("allow-without-reason", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-column) it is old",
            vec![("allow-malformed", 1), drop],
        ),
        (
            "-- lint: ban-drop-column because it is old",
            vec![("allow-malformed", 1), drop],
        ),
        (
            "-- lint: allow() because it is old",
            vec![("allow-malformed", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-row) because it is old",
            vec![("allow-unknown-rule", 1), drop],
        ),
        (
            "-- lint: allow(allow-unused) because it is old",
            vec![("allow-unknown-rule", 1), drop],
        ),
        (
            "-- lint: allow(ban-drop-table) because it is old",
            vec![("allow-unused", 1), drop],
        ),
        (
            "-- squawk-ignore ban-drop-column",
            vec![("squawk-comment", 1), drop],
        ),
        ("-- squawk-ignore-file", vec![("squawk-comment", 1), drop]),
        ("/* squawk-ignore */", vec![("squawk-comment", 1), drop]),
    ] {
        let script = up(&format!("{comment}\nALTER TABLE cards DROP COLUMN x;"));
        assert_eq!(found(&script), expected, "{comment}");
    }
}

#[test]
fn not_elsewhere() {
    let allow = "-- lint: allow(ban-drop-column) because nothing reads it";
    for (sql, expected) in [
        (
            format!("{allow}\n\nALTER TABLE cards DROP COLUMN x;"),
            [("allow-misplaced", 1), ("ban-drop-column", 3)],
        ),
        (
            format!("ALTER TABLE cards\n{allow}\nDROP COLUMN x;"),
            [("allow-misplaced", 2), ("ban-drop-column", 3)],
        ),
        (
            format!("ALTER TABLE cards DROP COLUMN x; {allow}"),
            [("ban-drop-column", 1), ("allow-misplaced", 1)],
        ),
        (
            format!("{allow}\nSELECT 1;\nALTER TABLE cards DROP COLUMN x;"),
            [("allow-unused", 1), ("ban-drop-column", 3)],
        ),
    ] {
        assert_eq!(found(&up(&sql)), expected, "{sql}");
    }
}

#[test]
fn a_rule_of_the_catalogue_is_not_called_unused_when_nobody_looked() {
    let script = up("-- lint: allow(missing-comment) because it goes again\nCREATE TABLE a (x text);");
    assert_eq!(rules_and_lines(&lint(&script, None, CATALOGUE)), []);
    assert_eq!(
        rules_and_lines(&lint(&script, Some(&[]), CATALOGUE)),
        [("allow-unused", 1)]
    );
}
