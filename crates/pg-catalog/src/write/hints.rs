//! Renames, which nobody guesses.

use std::fmt;
use std::str::FromStr;

use super::error::PlanError;
use crate::model::Catalog;
use crate::model::function::Signature;
use crate::model::name::{QualifiedName, quote_ident, quote_literal, take_ident};
use crate::model::types::TypeDefinition;

/// What is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renamed {
    /// `schema:old=new`
    Schema(String),
    /// `table:public.old=public.new`, and so `view`, `materialized_view`, `sequence`, `type` and `index`; the new name may be in another
    /// schema (not an index's), and may go without one.
    Relation(RelationKind, QualifiedName),
    /// `function:public.old(integer, text)=new`, for procedures and aggregates too.
    Function(Signature),
    /// `column:public.cards.old=new`, and so `constraint`, `trigger` and `policy`.
    Part(PartKind, QualifiedName, String),
    /// `value:public.status.old=new`; the labels as they are, without quotes.
    Value(QualifiedName, String),
}

/// What has a name in a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A table, a partition too.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A sequence that is not behind an identity column.
    Sequence,
    /// An enum, domain, composite or range type.
    Type,
    /// An index that is not behind a constraint.
    Index,
}

/// What has a name in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A column.
    Column,
    /// A constraint.
    Constraint,
    /// A trigger.
    Trigger,
    /// A policy.
    Policy,
}

const RELATIONS: [(&str, RelationKind, &str); 6] = [
    ("table", RelationKind::Table, "TABLE"),
    ("view", RelationKind::View, "VIEW"),
    (
        "materialized_view",
        RelationKind::MaterializedView,
        "MATERIALIZED VIEW",
    ),
    ("sequence", RelationKind::Sequence, "SEQUENCE"),
    ("type", RelationKind::Type, "TYPE"),
    ("index", RelationKind::Index, "INDEX"),
];

const PARTS: [(&str, PartKind); 4] = [
    ("column", PartKind::Column),
    ("constraint", PartKind::Constraint),
    ("trigger", PartKind::Trigger),
    ("policy", PartKind::Policy),
];

/// One rename. Renames are done in order: where a table and its column are renamed, the second names the table as the first left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What, under its old name.
    pub old: Renamed,
    /// The new name, unquoted.
    pub new: String,
    /// The new schema, where it is another.
    pub new_schema: Option<String>,
}

/// What the two schemas do not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// What was renamed, in order.
    pub renames: Vec<Rename>,
}

impl Hints {
    /// Whether each rename fits: what it names is in `have`, not yet under its new name, and in `want` under the new one. `have` is as it was
    /// before any of them.
    ///
    /// # Errors
    /// [`PlanError::Hint`] for the first that does not.
    pub fn check(&self, have: &Catalog, want: &Catalog) -> Result<(), PlanError> {
        for (at, rename) in self.renames.iter().enumerate() {
            let (before, after) = self.renames.split_at(at);
            let fail = |why: &str| {
                Err(PlanError::Hint {
                    rename: rename.to_string(),
                    why: why.to_owned(),
                })
            };
            // Under which name it was there first, and under which it is there last.
            let first = before
                .iter()
                .rev()
                .fold(rename.clone(), |it, earlier| it.moved(earlier, false));
            let last = after
                .iter()
                .skip(1)
                .fold(rename.clone(), |it, later| it.moved(later, true));
            // Names may change places: by way of one that is there for a while only, into one that was given up.
            let renamed = rename.renamed();
            let came = before.iter().any(|earlier| earlier.renamed() == rename.old);
            let free = before.iter().any(|earlier| earlier.old == renamed);
            let goes_on = after.iter().skip(1).any(|later| later.old == renamed);
            if !came && !first.is_in(have, false) {
                return fail("there is nothing of that name");
            }
            if !free && first.is_in(have, true) {
                return fail("the new name is taken");
            }
            if !goes_on && !last.is_in(want, true) {
                return fail("the desired schema has nothing of the new name");
            }
        }
        Ok(())
    }
}

impl Rename {
    /// The statements that do it, each terminated.
    #[must_use]
    pub fn sql(&self) -> String {
        self.statements(false)
    }

    /// The statements that undo it.
    #[must_use]
    pub fn undo_sql(&self) -> String {
        self.statements(true)
    }

    fn statements(&self, back: bool) -> String {
        let turn = |old: &str, new: &str| {
            let (from, to) = if back { (new, old) } else { (old, new) };
            (quote_ident(from).into_owned(), quote_ident(to).into_owned())
        };
        let new = self.new.as_str();
        match &self.old {
            Renamed::Schema(old) => {
                let (from, to) = turn(old, new);
                format!("ALTER SCHEMA {from} RENAME TO {to};\n")
            }
            Renamed::Relation(kind, old) => {
                let word = RELATIONS.iter().find(|(_, it, _)| it == kind);
                let word = word.map_or("TABLE", |(_, _, word)| word);
                moves(word, old, (new, self.new_schema.as_deref()), "", back)
            }
            Renamed::Function(old) => {
                let arguments = format!("({})", old.arguments);
                let new = (new, self.new_schema.as_deref());
                moves("ROUTINE", &old.name, new, &arguments, back)
            }
            Renamed::Part(kind, table, old) => {
                let (from, to) = turn(old, new);
                match kind {
                    PartKind::Column => format!("ALTER TABLE {table} RENAME COLUMN {from} TO {to};\n"),
                    PartKind::Constraint => {
                        format!("ALTER TABLE {table} RENAME CONSTRAINT {from} TO {to};\n")
                    }
                    PartKind::Trigger => format!("ALTER TRIGGER {from} ON {table} RENAME TO {to};\n"),
                    PartKind::Policy => format!("ALTER POLICY {from} ON {table} RENAME TO {to};\n"),
                }
            }
            Renamed::Value(of, old) => {
                let (from, to) = if back {
                    (new, old.as_str())
                } else {
                    (old.as_str(), new)
                };
                let (from, to) = (quote_literal(from), quote_literal(to));
                format!("ALTER TYPE {of} RENAME VALUE {from} TO {to};\n")
            }
        }
    }

    /// The same rename, its names as `other` leaves them (or, not `forth`, as it finds them).
    fn moved(mut self, other: &Self, forth: bool) -> Self {
        let moved = |name: &mut QualifiedName| match &other.old {
            Renamed::Schema(old) => {
                let (from, to) = if forth {
                    (old, &other.new)
                } else {
                    (&other.new, old)
                };
                if name.schema == *from {
                    name.schema.clone_from(to);
                }
            }
            Renamed::Relation(kind, old) if *kind != RelationKind::Index => {
                let new = other.target(old);
                let (from, to) = if forth { (old, &new) } else { (&new, old) };
                if name == from {
                    name.clone_from(to);
                }
            }
            _ => {}
        };
        match &mut self.old {
            Renamed::Schema(_) => {}
            Renamed::Relation(_, name) | Renamed::Part(_, name, _) | Renamed::Value(name, _) => moved(name),
            Renamed::Function(signature) => moved(&mut signature.name),
        }
        self
    }

    /// What was renamed, under its new name.
    fn renamed(&self) -> Renamed {
        match &self.old {
            Renamed::Schema(_) => Renamed::Schema(self.new.clone()),
            Renamed::Relation(kind, old) => Renamed::Relation(*kind, self.target(old)),
            Renamed::Function(old) => Renamed::Function(Signature {
                name: self.target(&old.name),
                arguments: old.arguments.clone(),
            }),
            Renamed::Part(kind, of, _) => Renamed::Part(*kind, of.clone(), self.new.clone()),
            Renamed::Value(of, _) => Renamed::Value(of.clone(), self.new.clone()),
        }
    }

    fn target(&self, old: &QualifiedName) -> QualifiedName {
        let schema = self.new_schema.as_ref().unwrap_or(&old.schema);
        QualifiedName::new(schema, &self.new)
    }

    /// Whether the catalogue has it, under the new or the old name.
    pub(super) fn is_in(&self, catalog: &Catalog, new: bool) -> bool {
        let name = |old: &QualifiedName| if new { self.target(old) } else { old.clone() };
        let bare = |old: &String| if new { self.new.clone() } else { old.clone() };
        match &self.old {
            Renamed::Schema(old) => catalog.schemas.contains_key(&bare(old)),
            Renamed::Relation(kind, old) => {
                let name = name(old);
                match kind {
                    RelationKind::Table => catalog.tables.contains_key(&name),
                    RelationKind::View | RelationKind::MaterializedView => {
                        let materialized = *kind == RelationKind::MaterializedView;
                        let view = catalog.views.get(&name);
                        view.is_some_and(|view| view.materialized == materialized)
                    }
                    RelationKind::Sequence => catalog.sequences.contains_key(&name),
                    RelationKind::Type => catalog.types.contains_key(&name),
                    RelationKind::Index => {
                        let tables = catalog.tables.iter().map(|(of, it)| (of, &it.indexes));
                        let views = catalog.views.iter().map(|(of, it)| (of, &it.indexes));
                        let mut all = tables.chain(views);
                        all.any(|(of, it)| of.schema == name.schema && it.contains_key(&name.name))
                    }
                }
            }
            Renamed::Function(old) => catalog.functions.contains_key(&Signature {
                name: name(&old.name),
                arguments: old.arguments.clone(),
            }),
            Renamed::Part(kind, table, old) => {
                let name = bare(old);
                let view = catalog.views.get(table);
                let Some(table) = catalog.tables.get(table) else {
                    return view.is_some_and(|view| match kind {
                        PartKind::Column => view.columns.iter().any(|column| column.name == name),
                        PartKind::Trigger => view.triggers.contains_key(&name),
                        PartKind::Constraint | PartKind::Policy => false,
                    });
                };
                match kind {
                    PartKind::Column => table.column(&name).is_some(),
                    PartKind::Constraint => table.constraints.contains_key(&name),
                    PartKind::Trigger => table.triggers.contains_key(&name),
                    PartKind::Policy => table.policies.contains_key(&name),
                }
            }
            Renamed::Value(of, old) => {
                let label = bare(old);
                catalog.types.get(of).is_some_and(|found| {
                    matches!(&found.definition, TypeDefinition::Enum { labels } if labels.contains(&label))
                })
            }
        }
    }
}

/// Another name, another schema, or both.
fn moves(word: &str, old: &QualifiedName, new: (&str, Option<&str>), arguments: &str, back: bool) -> String {
    let new = QualifiedName::new(new.1.unwrap_or(&old.schema), new.0);
    let (from, to) = if back { (&new, old) } else { (old, &new) };
    let mut sql = String::new();
    if from.schema != to.schema {
        let schema = quote_ident(&to.schema);
        sql.push_str(&format!("ALTER {word} {from}{arguments} SET SCHEMA {schema};\n"));
    }
    if from.name != to.name {
        let there = QualifiedName::new(&to.schema, &from.name);
        let name = quote_ident(&to.name);
        sql.push_str(&format!("ALTER {word} {there}{arguments} RENAME TO {name};\n"));
    }
    sql
}

impl FromStr for Rename {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        parse(text).ok_or_else(|| PlanError::NotARename(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Rename> {
    let (kind, rest) = text.split_once(':')?;
    let (old, new) = rest.rsplit_once('=')?;
    let whole = |text: &str| match take_ident(text) {
        Some((name, "")) => Some(name),
        _ => None,
    };
    // Qualified, or in the same schema.
    let qualified = |schema: &str| match (new.parse::<QualifiedName>(), whole(new)) {
        (_, Some(name)) => Some((name, None)),
        (Ok(name), None) => Some((name.name, (name.schema != schema).then_some(name.schema))),
        _ => None,
    };
    if kind == "schema" {
        return Some(Rename {
            old: Renamed::Schema(whole(old)?),
            new: whole(new)?,
            new_schema: None,
        });
    }
    if let Some((_, relation, _)) = RELATIONS.iter().find(|(word, ..)| *word == kind) {
        let old: QualifiedName = old.parse().ok()?;
        let (new, new_schema) = qualified(&old.schema)?;
        if *relation == RelationKind::Index && new_schema.is_some() {
            return None;
        }
        let old = Renamed::Relation(*relation, old);
        return Some(Rename { old, new, new_schema });
    }
    if kind == "function" {
        let old: Signature = old.parse().ok()?;
        let (new, new_schema) = qualified(&old.name.schema)?;
        let old = Renamed::Function(old);
        return Some(Rename { old, new, new_schema });
    }
    let (schema, rest) = take_ident(old)?;
    let (name, rest) = take_ident(rest.strip_prefix('.')?)?;
    let part = rest.strip_prefix('.')?;
    let of = QualifiedName { schema, name };
    let (old, new) = if kind == "value" {
        (Renamed::Value(of, part.to_owned()), new.to_owned())
    } else {
        let (_, kind) = PARTS.iter().find(|(word, _)| *word == kind)?;
        (Renamed::Part(*kind, of, whole(part)?), whole(new)?)
    };
    Some(Rename {
        old,
        new,
        new_schema: None,
    })
}

impl fmt::Display for Rename {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |kind: &RelationKind| {
            RELATIONS
                .iter()
                .find(|(_, it, _)| it == kind)
                .map_or("", |it| it.0)
        };
        match &self.old {
            Renamed::Schema(old) => write!(f, "schema:{}=", quote_ident(old))?,
            Renamed::Relation(kind, old) => write!(f, "{}:{old}=", word(kind))?,
            Renamed::Function(old) => write!(f, "function:{old}=")?,
            Renamed::Part(kind, of, old) => {
                let word = PARTS.iter().find(|(_, it)| it == kind).map_or("", |it| it.0);
                write!(f, "{word}:{of}.{}=", quote_ident(old))?;
            }
            Renamed::Value(of, old) => return write!(f, "value:{of}.{old}={}", self.new),
        }
        if let Some(schema) = &self.new_schema {
            write!(f, "{}.", quote_ident(schema))?;
        }
        f.write_str(&quote_ident(&self.new))
    }
}
