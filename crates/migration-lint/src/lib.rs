//! Looks at migrations before they run: what would lock a table, break a replica of the version before, or lose data
//! (squawk's rules, chosen and worded for Plinth), and what would break a rule of tenancy (told by the caller, who has
//! a catalogue to look at; this crate finds the statement that did it).
//!
//! A leaf: it takes SQL as text and violations as values, and reads nothing by itself.
//!
//! An exception is a comment with a reason right above its statement, and nothing else:
//!
//! ```sql
//! -- lint: allow(ban-drop-column) because no version since 2.1 reads it
//! ALTER TABLE cards DROP COLUMN colour;
//! ```

mod bodies;
mod finding;
mod items;
mod locate;
mod own;
mod plpgsql;
mod report;
mod rules;
mod script;
mod squawk;
mod suppress;

pub use finding::{Finding, Level, Position, Source};
pub use locate::{Object, Violation};
pub use report::{Report, sarif, text};
pub use rules::{EXCLUDED, RuleInfo, rules};
pub use script::{Script, Side};

/// Everything that is wrong with a script, in the order of its lines; what a comment allows is among it, with the
/// reason in [`Finding::allowed`].
///
/// `violations` are those that the catalogue shows after this migration and did not show before it. `None` says that
/// nobody looked: then a comment that allows one of `catalogue_rules` is not called useless.
pub fn lint(script: &Script, violations: Option<&[Violation]>, catalogue_rules: &[RuleInfo]) -> Vec<Finding> {
    let mut findings = squawk::findings(script);
    findings.extend(own::findings(script));
    for violation in violations.unwrap_or_default() {
        findings.extend(
            catalogue_rules
                .iter()
                .find(|rule| rule.id == violation.rule)
                .map(|rule| {
                    let range = locate::locate(script, violation);
                    Finding::new(script, rule, Source::Catalogue, violation.message.clone(), range)
                }),
        );
    }
    suppress::apply(script, &mut findings, violations.is_some(), catalogue_rules);
    findings.sort_by(|a, b| (a.start, &a.rule).cmp(&(b.start, &b.rule)));
    findings
}
