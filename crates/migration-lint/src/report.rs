//! Findings for people, for programs, and for code scanners.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use crate::finding::{Finding, Level, Source};
use crate::rules::RuleInfo;

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The files, as they were named.
    pub files: Vec<String>,
    /// Why the rules of the catalogue were not asked, where they were not.
    pub catalogue_skipped: Option<String>,
    /// How many findings are not allowed by a comment.
    pub count: usize,
    /// What was found, file by file.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Counts the findings.
    pub fn new(files: Vec<String>, findings: Vec<Finding>, catalogue_skipped: Option<String>) -> Self {
        Self {
            files,
            catalogue_skipped,
            count: findings
                .iter()
                .filter(|finding| finding.allowed.is_none())
                .count(),
            findings,
        }
    }
}

/// For people: three lines for each finding, and one for the whole.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|finding| finding.allowed.is_none()) {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{}:{}:{}: {}: {} [{}]\n  why: {}\n  instead: {}\n",
            finding.file,
            finding.start.line,
            finding.start.column,
            finding.level,
            finding.message,
            finding.rule,
            finding.why,
            finding.safe_form
        );
    }
    let allowed = report.findings.len() - report.count;
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let _ = write!(
        text,
        "{} in {}",
        plural(report.count, "finding"),
        plural(report.files.len(), "file")
    );
    if allowed > 0 {
        let _ = write!(text, ", {allowed} allowed by comments");
    }
    text.push('\n');
    if let Some(reason) = &report.catalogue_skipped {
        let _ = writeln!(text, "the rules of the catalogue were not asked: {reason}");
    }
    text
}

/// What RFC 3986 does not let stand in a path.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// SARIF 2.1.0, as code scanners read it: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/>.
pub fn sarif(report: &Report, rules: &[RuleInfo], version: &str) -> Value {
    let descriptions: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.why },
                "help": { "text": format!("Instead: {}", rule.safe_form) },
                "defaultConfiguration": { "level": level(rule.level) },
            })
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(finding, rules))
        .collect();
    let notices: Vec<Value> = report
        .catalogue_skipped
        .iter()
        .map(|reason| {
            json!({ "level": "note", "message": { "text": format!("the rules of the catalogue were not asked: {reason}") } })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "plinth-ops migrate lint", "version": version, "rules": descriptions } },
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notices }],
            "artifacts": report.files.iter().map(|file| json!({ "location": location(file) })).collect::<Vec<_>>(),
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(finding: &Finding, rules: &[RuleInfo]) -> Value {
    let source = match finding.source {
        Source::Squawk => "squawk",
        Source::Text => "text",
        Source::Catalogue => "catalogue",
    };
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.level),
        "message": { "text": format!("{}. Why: {}. Instead: {}.", finding.message, finding.why, finding.safe_form) },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": location(&finding.file),
                "region": {
                    "startLine": finding.start.line,
                    "startColumn": finding.start.column,
                    "endLine": finding.end.line,
                    "endColumn": finding.end.column,
                },
            },
        }],
        "properties": { "source": source },
    });
    if let Some(index) = rules.iter().position(|rule| rule.id == finding.rule)
        && let Some(result) = result.as_object_mut()
    {
        result.insert("ruleIndex".to_owned(), json!(index));
    }
    if let Some(reason) = &finding.allowed
        && let Some(result) = result.as_object_mut()
    {
        let suppression = json!([{ "kind": "inSource", "justification": reason }]);
        result.insert("suppressions".to_owned(), suppression);
    }
    result
}

fn location(file: &str) -> Value {
    let path = utf8_percent_encode(file, PATH).to_string();
    if file.starts_with('/') {
        json!({ "uri": format!("file://{path}") })
    } else {
        json!({ "uri": path })
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}
