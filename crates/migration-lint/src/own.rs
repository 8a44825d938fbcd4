//! Our own rules about the text: what squawk does not look at.

use crate::finding::{Finding, Source};
use crate::rules::{
    BACKFILL_UNDER_LOCK, BAN_TRUNCATE, CONCURRENTLY_IN_TRANSACTION, FULL_REWRITE, RuleInfo,
    SET_WITHOUT_LOCAL, SQUAWK_COMMENT, SYNTAX_ERROR, WRITE_WITHOUT_WHERE,
};
use crate::script::{Script, Side, Statement};

pub(crate) fn findings(script: &Script) -> Vec<Finding> {
    let mut findings: Vec<_> = script
        .parse()
        .errors()
        .iter()
        .map(|error| {
            let range = error.range().start().into()..error.range().end().into();
            Finding::new(
                script,
                &SYNTAX_ERROR,
                Source::Text,
                error.message().to_owned(),
                range,
            )
        })
        .collect();
    // What cannot be read in one place cannot be read around it either: the first of a line says it.
    findings.dedup_by_key(|finding| finding.start.line);
    for statement in script.statements() {
        for (rule, message) in broken(script, statement) {
            let range = statement.range.clone();
            findings.push(Finding::new(script, &rule, Source::Text, message, range));
        }
    }
    for (range, comment) in script.comments() {
        if comment
            .trim_start_matches(['-', '/', '*', ' '])
            .starts_with("squawk-")
        {
            let message = "a comment for squawk".to_owned();
            findings.push(Finding::new(
                script,
                &SQUAWK_COMMENT,
                Source::Text,
                message,
                range.clone(),
            ));
        }
    }
    findings
}

fn broken(script: &Script, statement: &Statement) -> Vec<(RuleInfo, String)> {
    let mut broken = Vec::new();
    let verb = statement.verb();
    let is_new = statement
        .table()
        .is_some_and(|table| script.makes_before(statement.range.start, table));
    if script.transactional() && concurrently(statement) {
        broken.push((
            CONCURRENTLY_IN_TRANSACTION,
            "CONCURRENTLY in a migration that is one transaction".to_owned(),
        ));
    }
    if verb == "cluster" || (verb == "vacuum" && statement.has(&["full"])) {
        broken.push((
            FULL_REWRITE,
            format!("{} rewrites the table", verb.to_uppercase()),
        ));
    }
    if matches!(verb, "update" | "delete") && !statement.has(&["where"]) && !is_new {
        broken.push((
            WRITE_WITHOUT_WHERE,
            format!("{} without WHERE", verb.to_uppercase()),
        ));
    }
    if script.side() == Side::Up && verb == "truncate" && !new_targets(script, statement) {
        broken.push((BAN_TRUNCATE, "TRUNCATE".to_owned()));
    }
    if matches!(verb, "update" | "delete") && script.transactional() && !is_new {
        broken.extend(
            statement
                .table()
                .filter(|table| altered(script, statement, table))
                .map(|table| {
                    let message = format!(
                        "{} of {table}, which this transaction has altered",
                        verb.to_uppercase()
                    );
                    (BACKFILL_UNDER_LOCK, message)
                }),
        );
    }
    if verb == "set"
        && script.transactional()
        && !matches!(statement.word(1), "local" | "constraints" | "transaction")
    {
        broken.push((
            SET_WITHOUT_LOCAL,
            format!("SET {} without LOCAL", statement.word(1)),
        ));
    }
    broken
}

/// REFRESH MATERIALIZED VIEW CONCURRENTLY alone may run in a transaction.
fn concurrently(statement: &Statement) -> bool {
    statement.has(&["concurrently"])
        && matches!(
            (statement.verb(), statement.kind()),
            ("create" | "drop", "index") | ("reindex", _) | ("alter", "table")
        )
}

fn new_targets(script: &Script, statement: &Statement) -> bool {
    let mut names = statement
        .words
        .iter()
        .skip(1)
        .map(|word| word.text.as_str())
        .filter(|word| !matches!(*word, "table" | "only" | "," | ";" | "public" | "."))
        .take_while(|word| !matches!(*word, "restart" | "continue" | "cascade" | "restrict"));
    names.all(|name| script.makes_before(statement.range.start, name))
}

/// Whether an ALTER TABLE that shuts everybody out stands before the statement.
fn altered(script: &Script, statement: &Statement, table: &str) -> bool {
    script
        .statements()
        .iter()
        .take_while(|earlier| earlier.range.end <= statement.range.start)
        .any(|earlier| {
            earlier.verb() == "alter"
                && earlier.kind() == "table"
                && earlier.table() == Some(table)
                && !earlier.has(&["validate", "constraint"])
        })
}
