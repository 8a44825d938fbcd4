//! Finds the statement that made or changed what the catalogue complains of.

use std::ops::Range;

use crate::items::{Item, items};
use crate::script::{Script, Statement};

/// What kind of thing breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A table.
    Table,
    /// A column of a table.
    Column,
    /// An index, also that of a key.
    Index,
    /// A foreign key.
    Constraint,
    /// A policy.
    Policy,
    /// A view, materialised or not.
    View,
    /// A function.
    Function,
    /// A schema.
    Schema,
}

/// An object that breaks a rule of the catalogue since this migration.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Id of the rule.
    pub rule: String,
    /// What is wrong, in a line.
    pub message: String,
    /// Kind of the object.
    pub object: Object,
    /// Table that the object belongs to, where it belongs to one.
    pub table: Option<String>,
    /// Name of the object; of a function, arguments may stand behind it.
    pub name: String,
}

impl Violation {
    /// The name without arguments.
    fn bare_name(&self) -> &str {
        let name = self
            .name
            .split_once('(')
            .map_or(self.name.as_str(), |(name, _)| name);
        name.rsplit_once('.')
            .map_or(name, |(_, name)| name)
            .trim_matches('"')
    }

    /// The table that it is, or belongs to.
    fn table_name(&self) -> Option<&str> {
        match self.object {
            Object::Table => Some(self.bare_name()),
            _ => self.table.as_deref(),
        }
    }
}

/// The bytes of the statement, or of the part of it, that made the object what it is; the first statement when nothing
/// names it.
pub(crate) fn locate(script: &Script, violation: &Violation) -> Range<usize> {
    by_rule(script, violation)
        .or_else(|| by_object(script, violation))
        .or_else(|| by_name(script, violation))
        .or_else(|| {
            script
                .statements()
                .first()
                .map(|statement| statement.range.clone())
        })
        .unwrap_or_default()
}

fn last(script: &Script, wanted: impl Fn(&Statement) -> bool) -> Option<Range<usize>> {
    script
        .statements()
        .iter()
        .rev()
        .find(|statement| wanted(statement))
        .map(|statement| statement.range.clone())
}

/// Rules that some kinds of statement break and no others.
fn by_rule(script: &Script, violation: &Violation) -> Option<Range<usize>> {
    let table = violation.table_name();
    let on_table = |statement: &Statement| table.is_some() && statement.table() == table;
    let name = violation.bare_name();
    match violation.rule.as_str() {
        "rls-not-enabled" => last(script, |statement| {
            on_table(statement) && statement.has(&["disable", "row", "level"])
        }),
        "rls-not-forced" => last(script, |statement| {
            on_table(statement) && statement.has(&["no", "force", "row"])
        }),
        "unsafe-grant"
        | "grant-to-others"
        | "app-grant-unlisted"
        | "app-grant-option"
        | "hash-readable"
        | "partition-reachable" => last(script, |statement| {
            let object = table.unwrap_or(name);
            matches!(statement.verb(), "grant" | "revoke")
                && (statement.has(&[object]) || statement.has(&["all", "tables"]))
        }),
        "definer-public" => last(script, |statement| {
            statement.verb() == "grant" && statement.has(&[name]) && statement.has(&["public"])
        }),
        "definer-search-path" => last(script, |statement| {
            is_function(statement, name)
                && (statement.has(&["definer"])
                    || statement.has(&["reset"])
                    || statement.has(&["search_path"]))
        }),
        "definer-owner" => last(script, |statement| {
            is_function(statement, name) && statement.has(&["owner", "to"])
        }),
        "immutable-reads-setting" => last(script, |statement| {
            is_function(statement, name) && statement.has(&["immutable"])
        }),
        "default-privileges" => last(script, |statement| statement.has(&["default", "privileges"])),
        "foreign-key-without-index" => makers(script, violation).or_else(|| {
            last(script, |statement| {
                statement.verb() == "drop" && statement.kind() == "index"
            })
        }),
        _ => None,
    }
}

fn is_function(statement: &Statement, name: &str) -> bool {
    matches!(statement.kind(), "function" | "procedure" | "routine") && statement.names().contains(&name)
}

/// The statement that makes, alters or drops the object.
fn by_object(script: &Script, violation: &Violation) -> Option<Range<usize>> {
    let name = violation.bare_name();
    let named =
        |statement: &Statement, kind: &str| statement.kind() == kind && statement.names().contains(&name);
    match violation.object {
        Object::Function => last(script, |statement| {
            statement.verb() == "create" && is_function(statement, name)
        })
        .or_else(|| last(script, |statement| is_function(statement, name))),
        Object::View => last(script, |statement| named(statement, "view")),
        Object::Schema => last(script, |statement| named(statement, "schema")),
        Object::Policy => last(script, |statement| {
            named(statement, "policy") && statement.table() == violation.table_name()
        })
        .or_else(|| makes_table(script, violation.table_name()?)),
        Object::Index => last(script, |statement| {
            statement.verb() == "create" && named(statement, "index")
        })
        .or_else(|| makers(script, violation)),
        Object::Constraint | Object::Column => makers(script, violation),
        Object::Table => makes_table(script, name),
    }
}

/// CREATE TABLE, else the last ALTER TABLE.
fn makes_table(script: &Script, table: &str) -> Option<Range<usize>> {
    last(script, |statement| {
        statement.verb() == "create" && statement.table() == Some(table) && statement.kind() == "table"
    })
    .or_else(|| {
        last(script, |statement| {
            statement.verb() == "alter" && statement.table() == Some(table)
        })
    })
}

/// The part of a CREATE TABLE or ALTER TABLE that makes the column or constraint.
fn makers(script: &Script, violation: &Violation) -> Option<Range<usize>> {
    let table = violation.table_name()?;
    let name = violation.bare_name();
    let parts = |wanted: &dyn Fn(&Item<'_>) -> bool| {
        script
            .statements()
            .iter()
            .rev()
            .filter(|statement| statement.table() == Some(table))
            .find_map(|statement| items(statement).iter().find(|item| wanted(item)).map(Item::range))
    };
    match violation.object {
        Object::Column => parts(&|item| item.is_column(name)),
        Object::Constraint => {
            parts(&|item| item.makes(table, name)).or_else(|| parts(&|item| item.is_foreign_key()))
        }
        _ => parts(&|item| item.makes(table, name)),
    }
}

/// Any statement that names it.
fn by_name(script: &Script, violation: &Violation) -> Option<Range<usize>> {
    let name = violation.bare_name();
    last(script, |statement| statement.has(&[name])).or_else(|| {
        let table = violation.table_name()?;
        last(script, |statement| statement.has(&[table]))
    })
}
