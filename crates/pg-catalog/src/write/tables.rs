//! Tables: how they are created and changed.

use super::columns::{self, alter_table};
use super::step::{Pair, Script, Step};
use super::{constraints, find, grants, owners, words};
use crate::model::Catalog;
use crate::model::name::QualifiedName;
use crate::model::table::{Column, Table};

/// Creates a table with those of its constraints that can come with it.
pub(super) fn create(catalog: &Catalog, name: &QualifiedName, table: &Table, inline: &[&String]) -> Pair {
    let mut script = Script::default();
    script.add(statement(name, table, inline));
    let target = format!("TABLE {name}");
    let said = words::comment(&target, None, table.comment.as_ref());
    said.into_iter().for_each(|comment| script.add(comment));
    for column in &table.columns {
        if column.inherited {
            own_of_inherited(catalog, &mut script, name, table, column);
        } else {
            columns::finish(&mut script, name, column);
        }
    }
    for constraint in inline {
        if let Some(found) = table.constraints.get(*constraint) {
            constraints::finish(&mut script, name, constraint, found);
        }
    }
    let plain = Table {
        row_security: false,
        force_row_security: false,
        replica_identity: None,
        ..table.clone()
    };
    script.append(&alter(name, &plain, table).sql);
    owners::of_new(&mut script, &target, &table.owner, catalog);
    let kind = (Some(name.schema.as_str()), "TABLES");
    grants::of_new(&mut script, &target, catalog, kind, &table.owner, &table.grants);
    let drop = Step::new(format!("DROP TABLE {name};\n"));
    Pair::new(script.step(), drop.loses(format!("the rows of {name}")))
}

fn statement(name: &QualifiedName, table: &Table, inline: &[&String]) -> String {
    let mut lines: Vec<String> = Vec::new();
    if table.of_type.is_none() {
        lines.extend(
            table
                .columns
                .iter()
                .filter(|it| !it.inherited)
                .map(columns::clause),
        );
    }
    for constraint in inline {
        if let Some(found) = table.constraints.get(*constraint) {
            lines.push(constraints::clause(constraint, found));
        }
    }
    let unlogged = if table.unlogged { "UNLOGGED " } else { "" };
    let mut statement = format!("CREATE {unlogged}TABLE {name}");
    if let Some(parent) = &table.partition_of {
        statement.push_str(&format!(" PARTITION OF {parent}"));
    } else if let Some(of_type) = &table.of_type {
        statement.push_str(&format!(" OF {of_type}"));
    }
    let derived = table.partition_of.is_some() || table.of_type.is_some();
    match lines.as_slice() {
        [] if derived => {}
        [] => statement.push_str(" ()"),
        lines => statement.push_str(&format!(" (\n    {}\n)", lines.join(",\n    "))),
    }
    if let Some(bound) = &table.partition_bound {
        statement.push_str(&format!(" {bound}"));
    }
    if !table.inherits.is_empty() {
        let parents: Vec<String> = table.inherits.iter().map(QualifiedName::to_string).collect();
        statement.push_str(&format!(" INHERITS ({})", parents.join(", ")));
    }
    if let Some(key) = &table.partition_key {
        statement.push_str(&format!(" PARTITION BY {key}"));
    }
    if let Some(method) = &table.access_method {
        statement.push_str(&format!(" USING {method}"));
    }
    statement.push_str(&words::with(&table.options));
    if let Some(tablespace) = &table.tablespace {
        statement.push_str(&format!(" TABLESPACE {}", crate::quote_ident(tablespace)));
    }
    statement
}

/// What a new partition's column has of its own.
fn own_of_inherited(
    catalog: &Catalog,
    script: &mut Script,
    name: &QualifiedName,
    table: &Table,
    column: &Column,
) {
    if let Some(parent) = find::parent_column(catalog, table, &column.name) {
        let parent = Column {
            comment: None,
            identity: column.identity.clone(),
            ..parent.clone()
        };
        script.append(
            &columns::change(name, &parent, column, columns::Except::default())
                .up
                .sql,
        );
    }
    grants::of_new_column(script, &format!("TABLE {name}"), column);
}

/// One table to another: all but its columns and what else hangs on it, its owner, and an identity by an index.
pub(super) fn alter(name: &QualifiedName, from: &Table, to: &Table) -> Step {
    let mut script = Script::default();
    let mut notes = Vec::new();
    if from.partition_of != to.partition_of || from.partition_bound != to.partition_bound {
        if let Some(parent) = &from.partition_of {
            script.add(format!("ALTER TABLE {parent} DETACH PARTITION {name}"));
        }
        if let (Some(parent), Some(bound)) = (&to.partition_of, &to.partition_bound) {
            script.add(format!("ALTER TABLE {parent} ATTACH PARTITION {name} {bound}"));
            notes.push("Reads the partition, unless a CHECK says that all its rows belong there.".to_owned());
        }
    }
    let mut actions = Vec::new();
    for parent in from.inherits.iter().filter(|it| !to.inherits.contains(it)) {
        actions.push(format!("NO INHERIT {parent}"));
    }
    for parent in to.inherits.iter().filter(|it| !from.inherits.contains(it)) {
        actions.push(format!("INHERIT {parent}"));
    }
    if from.of_type != to.of_type {
        actions.push(match &to.of_type {
            Some(of_type) => format!("OF {of_type}"),
            None => "NOT OF".to_owned(),
        });
    }
    let mut rewrite = Vec::new();
    let unlogged = to.unlogged && !from.unlogged;
    if from.unlogged != to.unlogged {
        rewrite.push(if to.unlogged { "SET UNLOGGED" } else { "SET LOGGED" }.to_owned());
    }
    if from.access_method != to.access_method {
        let method = to.access_method.as_deref().unwrap_or("heap");
        rewrite.push(format!("SET ACCESS METHOD {method}"));
    }
    if from.tablespace != to.tablespace {
        let tablespace = to.tablespace.as_deref().unwrap_or("pg_default");
        rewrite.push(format!("SET TABLESPACE {}", crate::quote_ident(tablespace)));
    }
    if !rewrite.is_empty() {
        notes.push(columns::REWRITES.to_owned());
        actions.extend(rewrite);
    }
    actions.extend(words::option_changes(&from.options, &to.options));
    if from.row_security != to.row_security {
        let word = if to.row_security { "ENABLE" } else { "DISABLE" };
        actions.push(format!("{word} ROW LEVEL SECURITY"));
    }
    if from.force_row_security != to.force_row_security {
        let word = if to.force_row_security {
            "FORCE"
        } else {
            "NO FORCE"
        };
        actions.push(format!("{word} ROW LEVEL SECURITY"));
    }
    if from.replica_identity != to.replica_identity && !by_index(to) && !by_index(from) {
        actions.push(replica_identity(to));
    }
    for action in actions {
        script.add(alter_table(name, &[action]));
    }
    let target = format!("TABLE {name}");
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    Step {
        sql: script.0,
        destructive: unlogged.then(|| format!("the rows of {name}, whenever the server crashes")),
        notes,
    }
}

pub(super) fn by_index(table: &Table) -> bool {
    let identity = table.replica_identity.as_deref();
    identity.is_some_and(|identity| identity.starts_with("USING INDEX"))
}

fn replica_identity(table: &Table) -> String {
    format!(
        "REPLICA IDENTITY {}",
        table.replica_identity.as_deref().unwrap_or("DEFAULT")
    )
}

/// The replica identity where an index is one, which has to be there by then. `have` is `None` for a new table.
pub(super) fn identity_pair(name: &QualifiedName, have: Option<&Table>, want: &Table) -> Pair {
    let step = |table: &Table| Step::new(format!("{};\n", alter_table(name, &[replica_identity(table)])));
    let usual = Table {
        replica_identity: None,
        ..want.clone()
    };
    Pair::new(step(want), step(have.unwrap_or(&usual)))
}
