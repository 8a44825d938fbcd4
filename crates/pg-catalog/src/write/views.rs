//! Views and materialized views.

use super::step::{Pair, Script, Step};
use super::{grants, owners, words};
use crate::model::Catalog;
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::view::View;

fn statement(name: &QualifiedName, view: &View, replace: &str) -> String {
    let kind = words::view(view);
    let mut head = format!("CREATE {replace}{kind} {name}");
    if view.materialized {
        if let Some(method) = &view.access_method {
            head.push_str(&format!(" USING {method}"));
        }
        head.push_str(&words::with(&view.options));
        if let Some(tablespace) = &view.tablespace {
            head.push_str(&format!(" TABLESPACE {}", quote_ident(tablespace)));
        }
    } else {
        head.push_str(&words::with(&view.options));
    }
    // The server indents the lines that follow by the space that its first line begins with.
    format!("{head} AS\n {}", view.query.trim_start())
}

pub(super) fn create(catalog: &Catalog, name: &QualifiedName, view: &View) -> Pair {
    let mut up = Script::default();
    up.add(statement(name, view, ""));
    let bare = View {
        comment: None,
        columns: view
            .columns
            .iter()
            .map(|column| crate::Column {
                comment: None,
                default: None,
                ..column.clone()
            })
            .collect(),
        ..view.clone()
    };
    up.append(&alter(name, &bare, view).sql);
    let target = format!("{} {name}", words::view(view));
    owners::of_new(&mut up, &target, &view.owner, catalog);
    let kind = (Some(name.schema.as_str()), "TABLES");
    let table = format!("TABLE {name}");
    grants::of_new(&mut up, &table, catalog, kind, &view.owner, &view.grants);
    for column in &view.columns {
        grants::of_new_column(&mut up, &table, column);
    }
    let mut up = up.step();
    if view.materialized {
        up = up.note("Runs the query to fill the view.");
    }
    Pair::new(up, Step::new(format!("DROP {target};\n")))
}

/// Whether `CREATE OR REPLACE` makes one of the other, both ways.
pub(super) fn in_place(have: &View, want: &View) -> bool {
    let shape = |view: &View| {
        let columns = view.columns.iter();
        columns
            .map(|column| {
                (
                    column.name.clone(),
                    column.data_type.clone(),
                    column.collation.clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    have.materialized == want.materialized
        && shape(have) == shape(want)
        && (!have.materialized || have.query == want.query)
}

pub(super) fn alter(name: &QualifiedName, from: &View, to: &View) -> Step {
    let mut script = Script::default();
    let target = format!("{} {name}", words::view(to));
    if from.query != to.query || !to.materialized && from.options != to.options {
        script.add(statement(name, to, "OR REPLACE "));
    } else {
        for change in words::option_changes(&from.options, &to.options) {
            script.add(format!("ALTER {target} {change}"));
        }
    }
    if from.access_method != to.access_method {
        let method = to.access_method.as_deref().unwrap_or("heap");
        script.add(format!("ALTER {target} SET ACCESS METHOD {method}"));
    }
    if from.tablespace != to.tablespace {
        let tablespace = quote_ident(to.tablespace.as_deref().unwrap_or("pg_default"));
        script.add(format!("ALTER {target} SET TABLESPACE {tablespace}"));
    }
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    for (had, wanted) in from.columns.iter().zip(&to.columns) {
        let column = quote_ident(&wanted.name);
        if had.default != wanted.default {
            script.add(match &wanted.default {
                Some(default) => format!("ALTER VIEW {name} ALTER COLUMN {column} SET DEFAULT {default}"),
                None => format!("ALTER VIEW {name} ALTER COLUMN {column} DROP DEFAULT"),
            });
        }
        let target = format!("COLUMN {name}.{column}");
        let comment = words::comment(&target, had.comment.as_ref(), wanted.comment.as_ref());
        comment.into_iter().for_each(|comment| script.add(comment));
    }
    script.step()
}
