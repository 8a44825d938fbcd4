//! Indexes.

use super::step::{Pair, Script, Step};
use super::words;
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::table::Index;

/// How an index is built and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Beside readers and writers, outside a transaction.
    Concurrently,
    /// Nobody is there to be locked out, or there is no other way.
    Plainly,
}

/// The statement under another name and another way; `None` when it is not what the server prints.
fn statement(relation: &QualifiedName, name: &str, index: &Index, new: &str, way: Way) -> Option<String> {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let printed = format!("CREATE {unique}INDEX {} ON ", quote_ident(name));
    let rest = index.definition.strip_prefix(&printed)?;
    let how = match way {
        Way::Concurrently => "CONCURRENTLY IF NOT EXISTS ",
        Way::Plainly => "",
    };
    // The default access method goes without saying.
    let rest = match rest.strip_prefix(&format!("{relation} USING btree ")) {
        Some(rest) => format!("{relation} {rest}"),
        None => rest.to_owned(),
    };
    Some(format!(
        "CREATE {unique}INDEX {how}{} ON {rest}",
        quote_ident(new)
    ))
}

fn or_printed(statement: Option<String>, index: &Index) -> String {
    statement.unwrap_or_else(|| index.definition.clone())
}

fn finish(script: &mut Script, relation: &QualifiedName, name: &str, from: Option<&Index>, to: &Index) {
    let index = QualifiedName::new(&relation.schema, name);
    let tablespace = from.and_then(|from| from.tablespace.as_ref());
    if tablespace != to.tablespace.as_ref() {
        let tablespace = quote_ident(to.tablespace.as_deref().unwrap_or("pg_default"));
        script.add(format!("ALTER INDEX {index} SET TABLESPACE {tablespace}"));
    }
    match (from.is_some_and(|from| from.clustered), to.clustered) {
        (false, true) => script.add(format!("ALTER TABLE {relation} CLUSTER ON {}", quote_ident(name))),
        (true, false) => script.add(format!("ALTER TABLE {relation} SET WITHOUT CLUSTER")),
        _ => {}
    }
    let target = format!("INDEX {index}");
    let comment = from.and_then(|from| from.comment.as_ref());
    let comment = words::comment(&target, comment, to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
}

pub(super) fn create(relation: &QualifiedName, name: &str, index: &Index, way: Way) -> Pair {
    let mut up = Script::default();
    up.add(or_printed(statement(relation, name, index, name, way), index));
    finish(&mut up, relation, name, None, index);
    let mut down = Script::default();
    down.add(drop(relation, name, way));
    Pair::new(up.step(), down.step())
}

fn drop(relation: &QualifiedName, name: &str, way: Way) -> String {
    let how = match way {
        Way::Concurrently => "CONCURRENTLY IF EXISTS ",
        Way::Plainly => "",
    };
    format!("DROP INDEX {how}{}", QualifiedName::new(&relation.schema, name))
}

/// Another index under the same name. Concurrently, the new one is built before the old one goes, so that there always is one.
pub(super) fn replace(
    relation: &QualifiedName,
    name: &str,
    (have, want): (&Index, &Index),
    way: Way,
) -> Pair {
    let side = |to: &Index| {
        let mut script = Script::default();
        if way == Way::Plainly {
            script.add(drop(relation, name, way));
            script.add(or_printed(statement(relation, name, to, name, way), to));
        } else {
            let new = words::derived(name, "_new");
            script.add(or_printed(statement(relation, name, to, &new, way), to));
            script.add(drop(relation, name, way));
            let new = QualifiedName::new(&relation.schema, new);
            script.add(format!(
                "ALTER INDEX IF EXISTS {new} RENAME TO {}",
                quote_ident(name)
            ));
        }
        finish(&mut script, relation, name, None, to);
        script.step()
    };
    Pair::new(side(want), side(have))
}

/// The same index: its comment, its tablespace, whether the table is clustered on it, and one that a failed build left.
pub(super) fn alter(relation: &QualifiedName, name: &str, have: &Index, want: &Index, way: Way) -> Pair {
    let side = |from: &Index, to: &Index| {
        let mut script = Script::default();
        if !from.valid && to.valid {
            let how = if way == Way::Concurrently {
                "CONCURRENTLY "
            } else {
                ""
            };
            let index = QualifiedName::new(&relation.schema, name);
            script.add(format!("REINDEX INDEX {how}{index}"));
        }
        finish(&mut script, relation, name, Some(from), to);
        script.step()
    };
    Pair::new(side(have, want), side(want, have))
}

/// Whether they are one but for the name, the comment and the place.
pub(super) fn same(
    relation: &QualifiedName,
    (a_name, a): (&str, &Index),
    (b_name, b): (&str, &Index),
) -> bool {
    let form = |name, index| statement(relation, name, index, "x", Way::Plainly);
    form(a_name, a).is_some_and(|a_form| Some(a_form) == form(b_name, b)) && a.valid == b.valid
}

/// Another name for what is the same; under it, the rest.
pub(super) fn rename(
    relation: &QualifiedName,
    (old, have): (&str, &Index),
    (new, want): (&str, &Index),
) -> Pair {
    let rename = |old: &str, new: &str| {
        let index = QualifiedName::new(&relation.schema, old);
        format!("ALTER INDEX {index} RENAME TO {};\n", quote_ident(new))
    };
    let rest = alter(relation, new, have, want, Way::Plainly);
    let up = rename(old, new) + &rest.up.sql;
    let down = rest.down.sql + &rename(new, old);
    Pair::new(Step::new(up), Step::new(down))
}
