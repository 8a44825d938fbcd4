//! squawk's rules, without what is no danger here.

use std::ops::Range;

use squawk_linter::{Linter, LinterSettings, Rule, Version, Violation};
use squawk_syntax::SourceFile;

use crate::finding::{Finding, Source};
use crate::rules::{SQUAWK, Scope};
use crate::script::{Script, Side, Statement};

/// Oldest server that the schema works on.
const OLDEST_SERVER: &str = "14";

pub(crate) fn findings(script: &Script) -> Vec<Finding> {
    let mut linter = Linter::from(SQUAWK.iter().map(|(rule, ..)| *rule));
    linter.settings = LinterSettings {
        pg_version: OLDEST_SERVER.parse::<Version>().unwrap_or_default(),
        assume_in_transaction: script.transactional(),
    };
    let text = deaf(script.text(), script.comments());
    let mut violations = linter.lint(&SourceFile::parse(&text), &text);
    if let Some(bodies) = script.bodies() {
        let text = deaf(&bodies.text, script.inner_comments());
        for more in linter.lint(&SourceFile::parse(&text), &text) {
            let known = violations
                .iter()
                .any(|one| one.code == more.code && one.text_range.start() == more.text_range.start());
            if !known {
                violations.push(more);
            }
        }
    }
    // A foreign, primary or unique key breaks the rule about any constraint too; the one that names it says more.
    let keys: Vec<_> = violations
        .iter()
        .filter(|violation| {
            matches!(
                violation.code,
                Rule::AddingForeignKeyConstraint
                    | Rule::AddingSerialPrimaryKeyField
                    | Rule::DisallowedUniqueConstraint
            )
        })
        .map(range)
        .collect();
    violations.retain(|violation| {
        let range = range(violation);
        violation.code != Rule::ConstraintMissingNotValid
            || !keys
                .iter()
                .any(|key| key.start < range.end && range.start < key.end)
    });
    violations
        .into_iter()
        .filter_map(|violation| finding(script, violation))
        .collect()
}

fn range(violation: &Violation) -> Range<usize> {
    violation.text_range.start().into()..violation.text_range.end().into()
}

fn finding(script: &Script, violation: Violation) -> Option<Finding> {
    let (_, scope, rule) = SQUAWK.iter().find(|(rule, ..)| *rule == violation.code)?;
    let range = range(&violation);
    if *scope == Scope::ExistingUp && script.side() == Side::Down {
        return None;
    }
    if let Some(statement) = script.statement_at(range.start)
        && *scope != Scope::Everywhere
        && (is_new(script, statement) || is_harmless(script, statement, &violation))
    {
        return None;
    }
    Some(Finding::new(
        script,
        rule,
        Source::Squawk,
        violation.message,
        range,
    ))
}

/// Whether everything that the statement is about was made before it in the same script.
fn is_new(script: &Script, statement: &Statement) -> bool {
    let start = statement.range.start;
    let (verb, kind) = (statement.verb(), statement.kind());
    let drops_tables = verb == "drop" && kind == "table";
    if !drops_tables
        && statement
            .qualified_table()
            .is_some_and(|table| script.makes_table_before(start, &table))
    {
        return true;
    }
    // These have their names in a table, which is not new.
    if verb == "create" || matches!(kind, "trigger" | "policy" | "rule") {
        return false;
    }
    if matches!(kind, "function" | "procedure" | "aggregate" | "routine") {
        return made_with_these_arguments(script, statement);
    }
    let names = statement.qualified_names();
    !names.is_empty() && names.iter().all(|name| script.makes_before(start, kind, name))
}

/// Of a function with the same arguments: others of its name may have been there.
fn made_with_these_arguments(script: &Script, statement: &Statement) -> bool {
    let names = statement.qualified_names();
    let [name] = names.as_slice() else { return false };
    if !script.makes_before(statement.range.start, statement.kind(), name) {
        return false;
    }
    let wanted = statement.arguments();
    script
        .statements()
        .iter()
        .take_while(|earlier| earlier.range.end <= statement.range.start)
        .filter(|earlier| {
            earlier.verb() == "create"
                && earlier.kind() == statement.kind()
                && earlier.names().first() == Some(&name.name)
        })
        .any(|made| {
            let made = made.arguments();
            wanted.is_empty() && statement.has(&["("]) == made.is_empty()
                || made.len() == wanted.len()
                    && made.iter().zip(&wanted).all(|(made, wanted)| {
                        wanted.iter().all(|word| made.iter().any(|other| other == word))
                    })
        })
}

fn is_harmless(script: &Script, statement: &Statement, violation: &Violation) -> bool {
    let range = range(violation);
    match violation.code {
        // squawk knows PostgreSQL's own functions alone. These are STABLE: asked once, for all rows.
        Rule::AddingFieldWithDefault => {
            let default = script.text().get(range).unwrap_or_default().trim().to_lowercase();
            ["current_domain_id()", "current_user_id()", "platform_domain_id()"].contains(&default.as_str())
        }
        // The catalogue's rules want row level security enabled and forced; taken off for a foreign key, it comes back.
        Rule::BanDisableTrigger => {
            let action = script.text().get(range).unwrap_or_default().to_lowercase();
            action.contains("row level security")
        }
        // The last step of NOT NULL: the CHECK has been validated, the column has taken over.
        Rule::BanDropConstraint => {
            let words = statement
                .words
                .iter()
                .filter(|word| range.start <= word.range.start && word.range.end <= range.end);
            let Some(name) = words
                .map(|word| word.text.as_str())
                .find(|word| !matches!(*word, "drop" | "constraint" | "if" | "exists"))
            else {
                return false;
            };
            let earlier = script.statements().iter().filter(|earlier| {
                earlier.range.end <= statement.range.end && earlier.table() == statement.table()
            });
            let mut validated = false;
            let mut not_null = false;
            for earlier in earlier {
                validated |= earlier.has(&["validate", "constraint", name]);
                not_null |= validated && earlier.has(&["set", "not", "null"]);
            }
            not_null
        }
        _ => false,
    }
}

/// The text with squawk's own comments made meaningless, byte for byte at the same place.
fn deaf(text: &str, comments: &[(Range<usize>, String)]) -> String {
    let mut text = text.to_owned();
    for (range, comment) in comments {
        if comment.contains("squawk-") {
            text.replace_range(range.clone(), &comment.replace("squawk-", "SQUAWK-"));
        }
    }
    text
}
