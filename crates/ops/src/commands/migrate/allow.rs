//! `-- lint: allow(…) because …` for what `generate` writes on purpose. What it merely was asked for is left to whoever reads it.

use std::collections::BTreeMap;

use db_migrate::Direction;
use migration_lint::{Script, Side, lint};

/// The text with a comment above each statement that breaks a rule for a reason.
pub fn deliberate(text: &str, direction: Direction, transactional: bool, renames: bool) -> String {
    let side = match direction {
        Direction::Up => Side::Up,
        Direction::Down => Side::Down,
    };
    let script = Script::new("", text, side, transactional);
    // By the byte where the statement begins.
    let mut comments: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for finding in lint(&script, None, &[]) {
        let found = script.statement_texts().find(|(start, statement)| {
            script.position(*start) <= finding.start
                && finding.start < script.position(start + statement.len())
        });
        let Some((start, statement)) = found else { continue };
        let (above, below) = text.split_at(start);
        let place = Place {
            side,
            statement,
            step: above.rsplit("\n\n").next().unwrap_or_default(),
            below: below.get(statement.len()..).unwrap_or_default(),
        };
        if let Some(reason) = place.reason(finding.rule, renames) {
            let comment = format!("-- lint: allow({}) because {reason}\n", finding.rule);
            let comments = comments.entry(start).or_default();
            if !comments.contains(&comment) {
                comments.push(comment);
            }
        }
    }
    let mut text = text.to_owned();
    for (start, comments) in comments.into_iter().rev() {
        text.insert_str(start, &comments.concat());
    }
    text
}

/// A statement, and what stands around it.
struct Place<'a> {
    side: Side,
    statement: &'a str,
    /// What of its step stands above it: the comments that say what it loses and locks.
    step: &'a str,
    /// What comes after it.
    below: &'a str,
}

impl Place<'_> {
    fn reason(&self, rule: &str, renames: bool) -> Option<&'static str> {
        let loses = self.step.contains("-- Loses ");
        match rule {
            _ if self.side == Side::Down => matches!(
                rule,
                "adding-field-with-default"
                    | "adding-foreign-key-constraint"
                    | "adding-not-nullable-field"
                    | "adding-required-field"
                    | "adding-serial-primary-key-field"
                    | "changing-column-type"
                    | "constraint-missing-not-valid"
                    | "disallowed-unique-constraint"
                    | "require-concurrent-index-creation"
            )
            .then_some("the way back is one transaction, and holds what it was before"),
            "changing-column-type" if loses => Some("the loss was allowed, with --allow-destructive"),
            "changing-column-type" if self.step.contains("-- Rewrites ") => Some(
                "the schema wants the type in its place, and the table is written anew for it, as is said above",
            ),
            "changing-column-type" => Some("both types are stored alike: no value is written anew"),
            "ban-drop-column" | "ban-drop-table" | "ban-drop-sequence" | "ban-drop-extension" if loses => {
                Some("the loss was allowed, with --allow-destructive")
            }
            "renaming-column" | "renaming-table" | "renaming-object" | "ban-set-schema" if renames => {
                Some("the rename was asked for, with --rename")
            }
            "ban-drop-default" if self.statement.contains(" SET DEFAULT ") => {
                Some("it gets another one in the same statement, which no cast leads to")
            }
            "adding-not-nullable-field"
                if self.statement.contains(" SET NOT NULL")
                    && self
                        .below
                        .lines()
                        .nth(1)
                        .is_some_and(|next| next.contains("_not_null")) =>
            {
                Some("the CHECK that goes right after it has been validated: no row is read")
            }
            "ban-drop-constraint" if self.step.contains(" SET NOT NULL;") => {
                Some("it stood for the NOT NULL that the column has by now")
            }
            "ban-drop-constraint" => self.comes_again("DROP CONSTRAINT ", "ADD CONSTRAINT "),
            "ban-drop-view" => self.comes_again("VIEW ", "VIEW "),
            "ban-drop-function" => self.comes_again("FUNCTION ", "FUNCTION "),
            "ban-drop-trigger" => self.comes_again("TRIGGER ", "TRIGGER "),
            _ => None,
        }
    }

    /// Whether what is dropped is made again below.
    fn comes_again(&self, dropped: &str, made: &str) -> Option<&'static str> {
        let (_, name) = self.statement.split_once(dropped)?;
        let name = name.split([' ', ';', '(']).next()?;
        let again = self.below.lines().any(|line| {
            let (before, rest) = line.split_once(made).unwrap_or_default();
            let creates = before.starts_with("CREATE ") || made.starts_with("ADD ");
            let rest = rest.strip_prefix(name).unwrap_or_default();
            creates && rest.starts_with([' ', '('])
        });
        again.then_some("it makes way, and another one of its name comes below")
    }
}
