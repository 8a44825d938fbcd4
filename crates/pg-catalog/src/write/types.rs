//! Enums, domains, composite types and ranges.

use super::columns::alter_table;
use super::step::{Pair, Script, Step};
use super::{casts, columns, constraints, grants, owners, words};
use crate::model::Catalog;
use crate::model::name::{QualifiedName, quote_ident, quote_literal};
use crate::model::table::Column;
use crate::model::types::{Type, TypeDefinition};

/// How one type becomes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `ALTER TYPE` or `ALTER DOMAIN` does it, both ways.
    InPlace,
    /// Labels are added to an enum.
    Labels,
    /// A new type takes its place, and the columns are converted.
    Anew,
}

pub(super) fn change(have: &Type, want: &Type) -> Change {
    use TypeDefinition::{Composite, Domain, Enum, Range};
    match (&have.definition, &want.definition) {
        (Enum { labels: had }, Enum { labels: wanted }) => {
            if had == wanted {
                return Change::InPlace;
            }
            // What is there must be there in the same order.
            let kept: Vec<_> = wanted.iter().filter(|label| had.contains(label)).collect();
            let only_added = kept.into_iter().eq(had);
            if only_added { Change::Labels } else { Change::Anew }
        }
        (
            Domain { base, collation, .. },
            Domain {
                base: to,
                collation: to_collation,
                ..
            },
        ) if (base, collation) == (to, to_collation) => Change::InPlace,
        (Composite { attributes: had }, Composite { attributes: wanted }) => {
            // `DROP ATTRIBUTE` undoes `ADD ATTRIBUTE`, at the end only.
            let (short, long) = if had.len() < wanted.len() {
                (had, wanted)
            } else {
                (wanted, had)
            };
            let same = short.iter().zip(long).all(|(a, b)| attribute(a) == attribute(b));
            if same { Change::InPlace } else { Change::Anew }
        }
        (Range { options }, Range { options: to }) if options == to => Change::InPlace,
        _ => Change::Anew,
    }
}

fn attribute(attribute: &Column) -> String {
    let collate = attribute.collation.as_ref();
    let collate = collate.map_or_else(String::new, |name| format!(" COLLATE {name}"));
    format!(
        "{} {}{collate}",
        quote_ident(&attribute.name),
        attribute.data_type
    )
}

pub(super) fn create(catalog: &Catalog, name: &QualifiedName, of: &Type) -> Pair {
    let mut up = Script::default();
    let kind = words::data_type(of);
    up.add(statement(name, of));
    let target = format!("{kind} {name}");
    let comment = words::comment(&target, None, of.comment.as_ref());
    comment.into_iter().for_each(|comment| up.add(comment));
    if let TypeDefinition::Composite { attributes } = &of.definition {
        attribute_comments(&mut up, name, &[], attributes);
    }
    for (constraint, found) in &of.constraints {
        let comment = constraints::domain_comment(name, constraint, None, Some(found));
        comment.into_iter().for_each(|comment| up.add(comment));
    }
    owners::of_new(&mut up, &target, &of.owner, catalog);
    let privileges = (Some(name.schema.as_str()), "TYPES");
    grants::of_new(
        &mut up,
        &format!("TYPE {name}"),
        catalog,
        privileges,
        &of.owner,
        &of.grants,
    );
    Pair::new(up.step(), Step::new(format!("DROP {target};\n")))
}

fn statement(name: &QualifiedName, of: &Type) -> String {
    match &of.definition {
        TypeDefinition::Enum { labels } => {
            let labels: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
            format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", "))
        }
        TypeDefinition::Domain {
            base,
            not_null,
            default,
            collation,
        } => {
            let mut statement = format!("CREATE DOMAIN {name} AS {base}");
            if let Some(collation) = collation {
                statement.push_str(&format!(" COLLATE {collation}"));
            }
            if let Some(default) = default {
                statement.push_str(&format!(" DEFAULT {default}"));
            }
            if *not_null {
                statement.push_str(" NOT NULL");
            }
            for (constraint, found) in &of.constraints {
                statement.push_str(&format!("\n    {}", constraints::clause(constraint, found)));
            }
            statement
        }
        TypeDefinition::Composite { attributes } => {
            let lines: Vec<String> = attributes.iter().map(attribute).collect();
            format!("CREATE TYPE {name} AS (\n    {}\n)", lines.join(",\n    "))
        }
        TypeDefinition::Range { options } => format!("CREATE TYPE {name} AS RANGE ({})", options.join(", ")),
    }
}

fn attribute_comments(script: &mut Script, name: &QualifiedName, from: &[Column], to: &[Column]) {
    for attribute in to {
        let had = from.iter().find(|had| had.name == attribute.name);
        let target = format!("COLUMN {name}.{}", quote_ident(&attribute.name));
        let had = had.and_then(|had| had.comment.as_ref());
        let comment = words::comment(&target, had, attribute.comment.as_ref());
        comment.into_iter().for_each(|comment| script.add(comment));
    }
}

/// In place; labels excepted, and the constraints of a domain.
pub(super) fn alter(name: &QualifiedName, from: &Type, to: &Type) -> Step {
    let mut script = Script::default();
    let mut notes = Vec::new();
    let mut lost = None;
    match (&from.definition, &to.definition) {
        (
            TypeDefinition::Domain {
                not_null, default, ..
            },
            TypeDefinition::Domain {
                not_null: to_not_null,
                default: to_default,
                ..
            },
        ) => {
            if default != to_default {
                script.add(match to_default {
                    Some(default) => format!("ALTER DOMAIN {name} SET DEFAULT {default}"),
                    None => format!("ALTER DOMAIN {name} DROP DEFAULT"),
                });
            }
            if not_null != to_not_null {
                let word = if *to_not_null { "SET" } else { "DROP" };
                script.add(format!("ALTER DOMAIN {name} {word} NOT NULL"));
                if *to_not_null {
                    notes.push("Reads every table with a column of this domain.".to_owned());
                }
            }
        }
        (TypeDefinition::Composite { attributes: had }, TypeDefinition::Composite { attributes: wanted }) => {
            for gone in had.iter().skip(wanted.len()) {
                let attribute = quote_ident(&gone.name);
                script.add(format!("ALTER TYPE {name} DROP ATTRIBUTE {attribute}"));
                lost = Some(format!(
                    "the values of {name}.{attribute} wherever the type is used"
                ));
            }
            for new in wanted.iter().skip(had.len()) {
                script.add(format!("ALTER TYPE {name} ADD ATTRIBUTE {}", attribute(new)));
            }
            attribute_comments(&mut script, name, had, wanted);
        }
        _ => {}
    }
    let target = format!("{} {name}", words::data_type(to));
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    Step {
        sql: script.0,
        destructive: lost,
        notes,
    }
}

/// `ALTER TYPE … ADD VALUE` for each label that is new.
pub(super) fn add_labels(name: &QualifiedName, have: &[String], want: &[String]) -> Step {
    let mut script = Script::default();
    let mut before: Option<&String> = None;
    for (at, label) in want.iter().enumerate() {
        if !have.contains(label) {
            let at_end = !want.iter().skip(at).any(|later| have.contains(later));
            let next = want.iter().skip(at).find(|later| have.contains(later));
            let place = match (before, next) {
                _ if at_end => String::new(),
                (Some(before), _) => format!(" AFTER {}", quote_literal(before)),
                (None, Some(next)) => format!(" BEFORE {}", quote_literal(next)),
                (None, None) => String::new(),
            };
            let label = quote_literal(label);
            script.add(format!(
                "ALTER TYPE {name} ADD VALUE IF NOT EXISTS {label}{place}"
            ));
        }
        before = Some(label);
    }
    script
        .step()
        .note("The value can be used once this is committed.")
}

/// A column of a type that is made anew, as it is and as it is wanted.
pub(super) struct Use<'a> {
    pub(super) table: &'a QualifiedName,
    pub(super) have: &'a Column,
    pub(super) want: &'a Column,
}

/// A new type in the place of the old one. What else needs the type is gone by then.
pub(super) fn anew(
    catalog: &Catalog,
    name: &QualifiedName,
    (have, want): (&Type, &Type),
    uses: &[Use<'_>],
) -> Pair {
    let side = |from: &Type, to: &Type, forth: bool| {
        let mut script = Script::default();
        let kind = words::data_type(from);
        if uses.is_empty() {
            script.add(format!("DROP {kind} {name}"));
            script.append(&create(catalog, name, to).up.sql);
            return script.step();
        }
        let old = words::derived(&name.name, "_old");
        script.add(format!("ALTER {kind} {name} RENAME TO {}", quote_ident(&old)));
        script.append(&create(catalog, name, to).up.sql);
        for it in uses {
            let (from_column, to_column) = if forth {
                (it.have, it.want)
            } else {
                (it.want, it.have)
            };
            let column = quote_ident(&to_column.name);
            let alter = format!("ALTER COLUMN {column}");
            let mut actions = Vec::new();
            if from_column.default.is_some() {
                actions.push(format!("{alter} DROP DEFAULT"));
            }
            let using = if from_column.data_type == to_column.data_type {
                format!(" USING {}", value(&column, &to_column.data_type, from, to))
            } else {
                casts::using(&column, &from_column.data_type, &to_column.data_type)
            };
            actions.push(format!("{alter} TYPE {}{using}", to_column.data_type));
            if let Some(default) = &to_column.default {
                actions.push(format!("{alter} SET DEFAULT {default}"));
            }
            script.add(alter_table(it.table, &actions));
        }
        let old = QualifiedName::new(&name.schema, old);
        script.add(format!("DROP {kind} {old}"));
        let mut step = script.step().note(columns::REWRITES);
        if let Some(lost) = lost(name, from, to) {
            step = step.loses(lost);
        }
        step
    };
    Pair::new(side(have, want, true), side(want, have, false))
}

fn lost(name: &QualifiedName, from: &Type, to: &Type) -> Option<String> {
    match (&from.definition, &to.definition) {
        (TypeDefinition::Enum { labels: had }, TypeDefinition::Enum { labels: wanted }) => {
            let gone: Vec<String> = had
                .iter()
                .filter(|label| !wanted.contains(label))
                .map(|label| quote_literal(label))
                .collect();
            Some(if gone.is_empty() {
                format!("the order of {name}'s values")
            } else {
                format!("{name}'s value {}: it fails where a row has it", gone.join(", "))
            })
        }
        (TypeDefinition::Domain { base, .. }, TypeDefinition::Domain { base: to_base, .. })
            if casts::cast(base, to_base) != casts::Cast::Lossy =>
        {
            None
        }
        _ => Some(format!("what the new {name} cannot hold")),
    }
}

/// The value of a column in the new type.
fn value(column: &str, data_type: &str, from: &Type, to: &Type) -> String {
    let array = if data_type.ends_with("[]") { "[]" } else { "" };
    match (&from.definition, &to.definition) {
        (TypeDefinition::Domain { base, .. }, TypeDefinition::Domain { base: to_base, .. }) => {
            format!("{column}::{base}{array}::{to_base}{array}::{data_type}")
        }
        (TypeDefinition::Composite { attributes: had }, TypeDefinition::Composite { attributes: wanted })
            if array.is_empty() =>
        {
            let values: Vec<String> = wanted
                .iter()
                .map(|wanted| {
                    let name = quote_ident(&wanted.name);
                    if had.iter().any(|had| had.name == wanted.name) {
                        format!("({column}).{name}::{}", wanted.data_type)
                    } else {
                        format!("NULL::{}", wanted.data_type)
                    }
                })
                .collect();
            format!(
                "CASE WHEN {column} IS DISTINCT FROM NULL THEN ROW({})::{data_type} END",
                values.join(", ")
            )
        }
        _ => format!("{column}::text{array}::{data_type}"),
    }
}
