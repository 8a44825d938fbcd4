//! Policies and triggers.

use super::step::{Pair, Script, Step};
use super::words;
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::table::{Policy, Trigger};

fn roles(policy: &Policy) -> String {
    let roles: Vec<String> = policy.roles.iter().map(|name| words::role(name)).collect();
    roles.join(", ")
}

fn expressions(policy: &Policy) -> String {
    let mut text = String::new();
    for (word, expression) in [("USING", &policy.using), ("WITH CHECK", &policy.with_check)] {
        if let Some(expression) = expression {
            let expression = if is_enclosed(expression) {
                expression.clone()
            } else {
                format!("({expression})")
            };
            text.push_str(&format!("\n    {word} {expression}"));
        }
    }
    text
}

/// Whether the first parenthesis is closed by the last character: the server prints most expressions so.
fn is_enclosed(expression: &str) -> bool {
    let mut depth = 0_i32;
    for (at, c) in expression.char_indices() {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if depth == 0 {
            return at > 0 && at + 1 == expression.len();
        }
    }
    false
}

pub(super) fn create(table: &QualifiedName, name: &str, policy: &Policy) -> Pair {
    let quoted = quote_ident(name);
    let mut up = Script::default();
    let permissive = if policy.permissive { "" } else { " AS RESTRICTIVE" };
    let command = match policy.command.as_str() {
        "ALL" => String::new(),
        command => format!(" FOR {command}"),
    };
    let roles = match roles(policy) {
        all if all == crate::PUBLIC => String::new(),
        roles => format!(" TO {roles}"),
    };
    up.add(format!(
        "CREATE POLICY {quoted} ON {table}{permissive}{command}{roles}{}",
        expressions(policy)
    ));
    let target = format!("POLICY {quoted} ON {table}");
    let comment = words::comment(&target, None, policy.comment.as_ref());
    comment.into_iter().for_each(|comment| up.add(comment));
    let down = Step::new(format!("DROP POLICY {quoted} ON {table};\n"));
    Pair::new(up.step(), down)
}

/// Whether `ALTER POLICY` makes one of the other: it cannot take an expression away.
pub(super) fn in_place(have: &Policy, want: &Policy) -> bool {
    let shape = |policy: &Policy| {
        (
            policy.command.clone(),
            policy.permissive,
            policy.using.is_some(),
            policy.with_check.is_some(),
        )
    };
    shape(have) == shape(want)
}

pub(super) fn alter(table: &QualifiedName, name: &str, from: &Policy, to: &Policy) -> Step {
    let quoted = quote_ident(name);
    let mut script = Script::default();
    let same_text = (&from.using, &from.with_check) == (&to.using, &to.with_check);
    if from.roles != to.roles || !same_text {
        let roles = if from.roles == to.roles {
            String::new()
        } else {
            format!(" TO {}", roles(to))
        };
        let text = if same_text { String::new() } else { expressions(to) };
        script.add(format!("ALTER POLICY {quoted} ON {table}{roles}{text}"));
    }
    let target = format!("POLICY {quoted} ON {table}");
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}

pub(super) fn create_trigger(relation: &QualifiedName, name: &str, trigger: &Trigger) -> Pair {
    let quoted = quote_ident(name);
    let mut up = Script::default();
    up.add(&trigger.definition);
    let plain = Trigger {
        enabled: "origin".to_owned(),
        comment: None,
        ..trigger.clone()
    };
    up.append(&alter_trigger(relation, name, &plain, trigger).sql);
    let down = Step::new(format!("DROP TRIGGER {quoted} ON {relation};\n"));
    Pair::new(up.step(), down)
}

/// A trigger of the same definition.
pub(super) fn alter_trigger(relation: &QualifiedName, name: &str, from: &Trigger, to: &Trigger) -> Step {
    let quoted = quote_ident(name);
    let mut script = Script::default();
    if from.enabled != to.enabled {
        let word = match to.enabled.as_str() {
            "disabled" => "DISABLE",
            "replica" => "ENABLE REPLICA",
            "always" => "ENABLE ALWAYS",
            _ => "ENABLE",
        };
        script.add(format!("ALTER TABLE {relation} {word} TRIGGER {quoted}"));
    }
    let target = format!("TRIGGER {quoted} ON {relation}");
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}
