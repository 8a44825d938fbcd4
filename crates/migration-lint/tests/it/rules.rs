//! The list of rules is whole.

use std::collections::BTreeSet;

use migration_lint::{EXCLUDED, rules};
use squawk_linter::Rule;

use crate::bad::UP;

const DOCUMENT: &str = include_str!("../../../../docs/MIGRATIONS.md");

#[test]
fn each_rule_of_squawks_is_asked_or_left_out_for_a_reason() {
    let ours: BTreeSet<String> = rules().map(|rule| rule.id.to_owned()).collect();
    let excluded: BTreeSet<String> = EXCLUDED.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(ours.intersection(&excluded).next(), None);
    let theirs: BTreeSet<String> = enum_iterator::all::<Rule>()
        .map(|rule| rule.to_string())
        .collect();
    assert!(theirs.len() > 60);
    let unknown: Vec<_> = excluded.difference(&theirs).collect();
    assert!(unknown.is_empty(), "squawk has no such rule: {unknown:?}");
    let undecided: Vec<_> = theirs
        .iter()
        .filter(|id| !ours.contains(*id) && !excluded.contains(*id))
        .collect();
    assert!(undecided.is_empty(), "{undecided:?}");
}

#[test]
fn each_rule_has_a_bad_migration() {
    let shown: BTreeSet<&str> = UP
        .iter()
        .flat_map(|(_, rules)| *rules)
        .map(|(rule, _)| *rule)
        .collect();
    let without: Vec<_> = rules()
        .map(|rule| rule.id)
        // About comments: see allow.rs. About a database: see the tests of plinth-ops.
        .filter(|id| {
            !id.starts_with("allow-")
                && !matches!(*id, "squawk-comment" | "does-not-apply" | "refused-by-runner")
        })
        .filter(|id| !shown.contains(id))
        .collect();
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn each_rule_is_in_the_document() {
    let missing: Vec<_> = rules()
        .map(|rule| rule.id)
        .chain(EXCLUDED.iter().map(|(id, _)| *id))
        .filter(|id| !DOCUMENT.contains(&format!("`{id}`")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn each_rule_says_why_and_what_instead() {
    let mut ids = BTreeSet::new();
    for rule in rules() {
        assert!(rule.why.len() > 15 || rule.id == "ban-drop-database", "{rule:?}");
        assert!(!rule.safe_form.is_empty(), "{rule:?}");
        assert!(ids.insert(rule.id), "twice: {}", rule.id);
    }
}
