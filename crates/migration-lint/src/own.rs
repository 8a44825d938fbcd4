//! Our own rules about the text: what squawk does not look at.

use crate::finding::{Finding, Source};
use crate::rules::{
    BACKFILL_UNDER_LOCK, BAN_TRUNCATE, CONCURRENTLY_IN_TRANSACTION, EMPTY_MIGRATION, FULL_REWRITE,
    LOCK_TABLE, ROLE_POWER, RuleInfo, SET_WITHOUT_LOCAL, SQUAWK_COMMENT, SYNTAX_ERROR, UNSEEN_CODE,
    WRITE_WITHOUT_WHERE,
};
use crate::script::{Name, Script, Side, Statement};

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
    // Nothing to undo may be true; nothing to do is a template that nobody has filled in.
    if script.side() == Side::Up && script.statements().is_empty() && findings.is_empty() {
        let message = "there is no statement in it".to_owned();
        findings.push(Finding::new(
            script,
            &EMPTY_MIGRATION,
            Source::Text,
            message,
            0..0,
        ));
    }
    for statement in script.statements().iter().chain(script.inner_statements()) {
        for (rule, message) in broken(script, statement) {
            let range = statement.range.clone();
            findings.push(Finding::new(script, &rule, Source::Text, message, range));
        }
    }
    for (range, message) in script.bodies().iter().flat_map(|bodies| &bodies.unseen) {
        findings.push(Finding::new(
            script,
            &UNSEEN_CODE,
            Source::Text,
            message.clone(),
            range.clone(),
        ));
    }
    for (range, comment) in script.comments().iter().chain(script.inner_comments()) {
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
    let new = |table: &Name<'_>| script.makes_table_before(statement.range.start, table);
    let is_new = statement.qualified_table().is_some_and(|table| new(&table));
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
    let moves = ["unlogged", "logged", "tablespace"];
    if verb == "alter" && !is_new && moves.iter().any(|how| statement.has(&["set", how])) {
        broken.push((FULL_REWRITE, "it writes the table anew".to_owned()));
    }
    if verb == "lock" && !is_quiet(statement) {
        let at = statement
            .name_at(if statement.word(1) == "table" { 2 } else { 1 })
            .0;
        if !at.is_some_and(|table| new(&table)) {
            broken.push((LOCK_TABLE, "LOCK of a table".to_owned()));
        }
    }
    if let Some(message) = power(statement) {
        broken.push((ROLE_POWER, message));
    }
    if verb == "prepare" && !statement.has(&["transaction"]) {
        broken.push((UNSEEN_CODE, "PREPARE, of what EXECUTE does later".to_owned()));
    }
    // What CREATE has in it runs later, if ever.
    let writes = if verb == "create" && !matches!(statement.kind(), "table" | "view") {
        Vec::new()
    } else {
        statement.writes()
    };
    for (verb, table, chooses) in writes {
        let verb = verb.to_uppercase();
        if table.is_some_and(|table| new(&table)) {
            continue;
        }
        if !chooses {
            broken.push((WRITE_WITHOUT_WHERE, format!("{verb} without WHERE")));
        }
        if let Some(table) =
            table.filter(|table| script.transactional() && altered(script, statement, table.name))
        {
            let message = format!("{verb} of {}, which this transaction has altered", table.name);
            broken.push((BACKFILL_UNDER_LOCK, message));
        }
    }
    if script.side() == Side::Up && verb == "truncate" && !new_targets(script, statement) {
        broken.push((BAN_TRUNCATE, "TRUNCATE".to_owned()));
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
    if script.transactional() && matches!(verb, "reset" | "discard") && statement.word(1) != "role" {
        broken.push((
            SET_WITHOUT_LOCAL,
            format!("{} {}", verb.to_uppercase(), statement.word(1).to_uppercase()),
        ));
    }
    if script.transactional() && verb != "create" && sets_for_good(statement) {
        broken.push((SET_WITHOUT_LOCAL, "set_config that is not local".to_owned()));
    }
    broken
}

/// Whether it keeps nobody from reading and writing.
fn is_quiet(statement: &Statement) -> bool {
    [
        ["in", "access", "share"].as_slice(),
        &["in", "row", "share"],
        &["in", "row", "exclusive"],
    ]
    .iter()
    .any(|mode| statement.has(mode))
}

/// What a role may do that it could not before.
fn power(statement: &Statement) -> Option<String> {
    let kind = statement.kind();
    match statement.verb() {
        "alter" | "create" if matches!(kind, "role" | "user" | "group") => {
            let powers = ["superuser", "bypassrls", "createrole", "createdb", "replication"];
            let power = powers.iter().find(|power| statement.has(&[power]))?;
            Some(format!("a role gets {}", power.to_uppercase()))
        }
        // Privileges are on something; a role is given as it is.
        "grant" if !statement.has(&["on"]) => {
            let to = statement.find(&["to"])?;
            let grantees = statement.words.iter().skip(to + 1);
            let others = grantees
                .map(|word| word.text.as_str())
                .take_while(|word| !matches!(*word, "with" | "granted" | ";"))
                .any(|word| !matches!(word, "," | "current_user" | "session_user" | "current_role"));
            others.then(|| format!("{} is granted to a role", statement.word(1)))
        }
        _ => None,
    }
}

/// Whether it calls `set_config` with anything but `true` at the end.
fn sets_for_good(statement: &Statement) -> bool {
    (0..statement.words.len())
        .filter(|index| statement.word(*index) == "set_config" && statement.word(*index + 1) == "(")
        .any(|index| {
            let mut depth = 0_usize;
            let close = (index + 1..statement.words.len()).find(|at| {
                match statement.word(*at) {
                    "(" => depth += 1,
                    ")" => depth = depth.saturating_sub(1),
                    _ => {}
                }
                depth == 0
            });
            close.is_none_or(|close| statement.word(close - 1) != "true")
        })
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
    let mut index = 1 + usize::from(statement.word(1) == "table");
    loop {
        index += usize::from(statement.word(index) == "only");
        let (Some(table), behind) = statement.name_at(index) else {
            return false;
        };
        if !script.makes_table_before(statement.range.start, &table) {
            return false;
        }
        if statement.word(behind) != "," {
            return true;
        }
        index = behind + 1;
    }
}

/// Whether an ALTER TABLE that shuts everybody out stands before the statement.
fn altered(script: &Script, statement: &Statement, table: &str) -> bool {
    script
        .statements()
        .iter()
        .chain(script.inner_statements())
        .filter(|earlier| earlier.range.end <= statement.range.start)
        .any(|earlier| {
            earlier.verb() == "alter"
                && earlier.kind() == "table"
                && earlier.table() == Some(table)
                && !earlier.has(&["validate", "constraint"])
        })
}
