//! `-- lint: allow(rule, …) because …`, right above a statement.

use std::ops::Range;

use crate::finding::{Finding, Source};
use crate::rules::{
    ALLOW_MALFORMED, ALLOW_MISPLACED, ALLOW_UNKNOWN_RULE, ALLOW_UNUSED, ALLOW_WITHOUT_REASON, COMMENTS,
    RuleInfo, rules,
};
use crate::script::Script;

/// What one comment allows.
struct Allow<'a> {
    rules: Vec<&'a str>,
    reason: &'a str,
}

/// Marks what comments allow, and adds what is wrong with the comments themselves.
pub(crate) fn apply(
    script: &Script,
    findings: &mut Vec<Finding>,
    catalogue_seen: bool,
    catalogue_rules: &[RuleInfo],
) {
    let mut wrong = Vec::new();
    let inner = script.inner_comments().iter().map(|comment| (comment, true));
    for ((range, comment), inner) in script
        .comments()
        .iter()
        .map(|comment| (comment, false))
        .chain(inner)
    {
        let Some(text) = directive(comment) else {
            continue;
        };
        let mut complain = |rule: &RuleInfo, message: String| {
            wrong.push(Finding::new(script, rule, Source::Text, message, range.clone()));
        };
        let allow = match parse(text) {
            Ok(allow) => allow,
            Err(message) => {
                complain(&ALLOW_MALFORMED, message);
                continue;
            }
        };
        if !says_something(allow.reason) {
            complain(
                &ALLOW_WITHOUT_REASON,
                format!("no reason for allowing {}", allow.rules.join(", ")),
            );
            continue;
        }
        let Some(statement) = below(script, range, inner) else {
            complain(&ALLOW_MISPLACED, "no statement begins right below".to_owned());
            continue;
        };
        for id in &allow.rules {
            let of_catalogue = catalogue_rules.iter().any(|rule| rule.id == *id);
            let of_text = rules().any(|rule| rule.id == *id) && !COMMENTS.iter().any(|rule| rule.id == *id);
            if !of_catalogue && !of_text {
                complain(
                    &ALLOW_UNKNOWN_RULE,
                    format!("{id} is no rule that can be allowed"),
                );
                continue;
            }
            let mut used = false;
            for finding in findings
                .iter_mut()
                .filter(|finding| finding.rule == *id && statement.contains(&finding.range.start))
            {
                finding.allowed = Some(allow.reason.to_owned());
                used = true;
            }
            if !used && (!of_catalogue || catalogue_seen) {
                complain(&ALLOW_UNUSED, format!("the statement below does not break {id}"));
            }
        }
    }
    findings.extend(wrong);
}

/// What stands behind `lint:`.
fn directive(comment: &str) -> Option<&str> {
    let text = comment
        .strip_prefix("--")
        .or_else(|| comment.strip_prefix("/*")?.strip_suffix("*/"))?;
    text.trim().strip_prefix("lint:").map(str::trim)
}

fn parse(text: &str) -> Result<Allow<'_>, String> {
    let (list, rest) = text
        .strip_prefix("allow(")
        .and_then(|text| text.split_once(')'))
        .ok_or_else(|| format!("`lint: {text}` is not understood"))?;
    let rules: Vec<_> = list
        .split(',')
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .collect();
    if rules.is_empty() {
        return Err("allow() names no rule".to_owned());
    }
    let reason = match rest.trim() {
        "" => "",
        rest => rest
            .strip_prefix("because")
            .ok_or_else(|| format!("`because` and a reason are missing, there is `{rest}`"))?,
    };
    Ok(Allow {
        rules,
        reason: reason.trim_start_matches([':', ' ']).trim().trim_matches('…'),
    })
}

/// Whether there are three words at least.
fn says_something(reason: &str) -> bool {
    let words = reason
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphabetic));
    words.count() >= 3
}

/// The statement that begins below the comment, with no blank line and nothing but comments between. In a body it is one of the body.
fn below(script: &Script, comment: &Range<usize>, inner: bool) -> Option<Range<usize>> {
    let statements = if inner {
        script.inner_statements()
    } else {
        script.statements()
    };
    let inside = statements
        .iter()
        .any(|statement| statement.range.start <= comment.start && comment.start < statement.range.end);
    let statement = statements
        .iter()
        .find(|statement| statement.range.start >= comment.end)?;
    let between = script.text().get(comment.end..statement.range.start)?;
    // The first piece ends the comment's own line, the last one indents the statement.
    let pieces: Vec<_> = between.split('\n').collect();
    let blank = pieces.len() > 2
        && pieces
            .get(1..pieces.len() - 1)
            .is_some_and(|lines| lines.iter().any(|line| line.trim().is_empty()));
    (!inside && pieces.len() > 1 && !blank).then(|| statement.range.clone())
}
