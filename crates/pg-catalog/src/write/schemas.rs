//! Schemas, extensions and the rarer kinds.

use super::step::{Pair, Script, Step};
use super::{grants, owners, words};
use crate::model::name::quote_ident;
use crate::model::{Catalog, Extension, OtherObject, Schema};

pub(super) fn create(catalog: &Catalog, name: &str, schema: &Schema) -> Pair {
    let quoted = quote_ident(name);
    let target = format!("SCHEMA {quoted}");
    let mut up = Script::default();
    up.add(format!("CREATE {target}"));
    let comment = words::comment(&target, None, schema.comment.as_ref());
    comment.into_iter().for_each(|comment| up.add(comment));
    owners::of_new(&mut up, &target, &schema.owner, catalog);
    grants::of_new(
        &mut up,
        &target,
        catalog,
        (None, "SCHEMAS"),
        &schema.owner,
        &schema.grants,
    );
    Pair::new(up.step(), Step::new(format!("DROP {target};\n")))
}

pub(super) fn alter(name: &str, from: &Schema, to: &Schema) -> Step {
    let mut script = Script::default();
    let target = format!("SCHEMA {}", quote_ident(name));
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}

pub(super) fn create_extension(name: &str, extension: &Extension) -> Pair {
    let quoted = quote_ident(name);
    let schema = quote_ident(&extension.schema);
    let up = Step::new(format!("CREATE EXTENSION {quoted} WITH SCHEMA {schema};\n"));
    let down = Step::new(format!("DROP EXTENSION {quoted};\n"));
    Pair::new(
        up,
        down.loses(format!("what the extension {quoted} keeps in tables of its own")),
    )
}

pub(super) fn alter_extension(name: &str, from: &Extension, to: &Extension) -> Step {
    let mut script = Script::default();
    if from.schema != to.schema {
        let schema = quote_ident(&to.schema);
        script.add(format!(
            "ALTER EXTENSION {} SET SCHEMA {schema}",
            quote_ident(name)
        ));
    }
    script.step()
}

/// What SQL calls the kind.
fn class(other: &OtherObject) -> String {
    match other.class.as_str() {
        "statistics object" => "STATISTICS".to_owned(),
        class => class.to_uppercase(),
    }
}

/// A rule or extended statistics: the kinds of which the definition is known.
pub(super) fn create_other(other: &OtherObject) -> Option<Pair> {
    let definition = other.definition.as_ref()?;
    let target = format!("{} {}", class(other), other.identity);
    let mut up = Script::default();
    up.add(definition.trim_end().trim_end_matches(';'));
    let comment = words::comment(&target, None, other.comment.as_ref());
    comment.into_iter().for_each(|comment| up.add(comment));
    Some(Pair::new(up.step(), Step::new(format!("DROP {target};\n"))))
}

pub(super) fn alter_other(from: &OtherObject, to: &OtherObject) -> Step {
    let mut script = Script::default();
    let target = format!("{} {}", class(to), to.identity);
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}
