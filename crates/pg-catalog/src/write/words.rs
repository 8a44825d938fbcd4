//! What SQL calls things.

use crate::model::function::{Function, FunctionKind, Signature};
use crate::model::name::{quote_ident, quote_literal};
use crate::model::types::{Type, TypeDefinition};
use crate::model::view::View;
use crate::model::{OWNER, PUBLIC};

/// A role as SQL takes it. Who owns the database is who runs the migration.
pub(super) fn role(name: &str) -> String {
    match name {
        PUBLIC => PUBLIC.to_owned(),
        OWNER => "CURRENT_USER".to_owned(),
        name => quote_ident(name).into_owned(),
    }
}

/// `COMMENT ON … IS …`, where it is to be another.
pub(super) fn comment(target: &str, from: Option<&String>, to: Option<&String>) -> Option<String> {
    if from == to {
        return None;
    }
    let text = to.map_or_else(|| "NULL".to_owned(), |text| quote_literal(text));
    Some(format!("COMMENT ON {target} IS {text}"))
}

/// `FUNCTION a.b(integer)`; an aggregate of nothing is one of `*`.
pub(super) fn function(signature: &Signature, function: &Function) -> String {
    if function.kind == FunctionKind::Aggregate && signature.arguments.is_empty() {
        return format!("AGGREGATE {}(*)", signature.name);
    }
    format!("{} {signature}", function.kind)
}

pub(super) fn view(view: &View) -> &'static str {
    if view.materialized {
        "MATERIALIZED VIEW"
    } else {
        "VIEW"
    }
}

pub(super) fn data_type(data_type: &Type) -> &'static str {
    match data_type.definition {
        TypeDefinition::Domain { .. } => "DOMAIN",
        _ => "TYPE",
    }
}

/// An option as the catalogue keeps it, `fillfactor=70`, as SQL takes it.
fn option(text: &str) -> String {
    match text.split_once('=') {
        Some((name, value)) => {
            let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            let plain = value.chars().all(bare) && !value.is_empty();
            let value = if plain {
                value.to_owned()
            } else {
                quote_literal(value)
            };
            format!("{name} = {value}")
        }
        None => text.to_owned(),
    }
}

/// What stands in the parentheses of `WITH (…)`.
pub(super) fn options(options: &[String]) -> String {
    let options: Vec<_> = options.iter().map(|text| option(text)).collect();
    options.join(", ")
}

/// ` WITH (…)`, or nothing.
pub(super) fn with(list: &[String]) -> String {
    if list.is_empty() {
        String::new()
    } else {
        format!(" WITH ({})", options(list))
    }
}

/// `RESET (…)` and `SET (…)` that lead from some options to others.
pub(super) fn option_changes(from: &[String], to: &[String]) -> Vec<String> {
    let name = |text: &String| {
        text.split_once('=')
            .map_or(text.clone(), |(name, _)| name.to_owned())
    };
    let kept: Vec<String> = to.iter().map(name).collect();
    let gone: Vec<String> = from
        .iter()
        .map(name)
        .filter(|name| !kept.contains(name))
        .collect();
    let new: Vec<String> = to.iter().filter(|text| !from.contains(text)).cloned().collect();
    let mut clauses = Vec::new();
    if !gone.is_empty() {
        clauses.push(format!("RESET ({})", gone.join(", ")));
    }
    if !new.is_empty() {
        clauses.push(format!("SET ({})", options(&new)));
    }
    clauses
}

/// A name derived from another, within PostgreSQL's 63 bytes.
pub(super) fn derived(name: &str, suffix: &str) -> String {
    let mut end = name.len().min(63 - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", name.get(..end).unwrap_or(name))
}

/// Whether `text` has `word` as a word of its own.
pub(super) fn mentions(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert!(mentions("SELECT * FROM app.items i", "items"));
        assert!(!mentions("SELECT * FROM app.items_old i", "items"));
        assert_eq!(derived("a", "_new"), "a_new");
        assert_eq!(derived(&"ä".repeat(40), "_new").len(), 62);
        let change = option_changes(&["a=1".into(), "b=2".into()], &["b=3 c".into()]);
        assert_eq!(change, ["RESET (a)", "SET (b = '3 c')"]);
    }
}
