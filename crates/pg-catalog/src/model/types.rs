use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{Attribute as _, Facts, Value};
use super::grant::Grants;
use super::table::{Column, Constraint};

/// A type of one's own. Arrays, row types of tables and multiranges follow from others; base types are among the
/// [`OtherObject`](super::OtherObject)s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Type {
    /// Role that owns it.
    pub owner: String,
    /// What it is made of.
    #[serde(flatten)]
    pub definition: TypeDefinition,
    /// `COMMENT ON TYPE`.
    pub comment: Option<String>,
    /// Constraints by name, of a domain.
    pub constraints: BTreeMap<String, Constraint>,
    /// Grants.
    pub grants: Grants,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "definition", rename_all = "snake_case")]
pub enum TypeDefinition {
    /// `CREATE TYPE … AS ENUM`.
    Enum {
        /// Labels in order.
        labels: Vec<String>,
    },
    /// `CREATE DOMAIN`.
    Domain {
        /// Type it is of.
        base: String,
        /// `NOT NULL`.
        not_null: bool,
        /// `DEFAULT` expression.
        default: Option<String>,
        /// Collation where it is not the base's.
        collation: Option<String>,
    },
    /// `CREATE TYPE … AS (…)`.
    Composite {
        /// Attributes in order; the order is part of the type.
        attributes: Vec<Column>,
    },
    /// `CREATE TYPE … AS RANGE`.
    Range {
        /// What stands in the parentheses, one option each.
        options: Vec<String>,
    },
}

impl Type {
    pub(crate) fn facts(&self) -> Facts {
        let Self {
            owner,
            definition,
            comment,
            constraints: _,
            grants: _,
        } = self;
        let mut facts = Facts::from([("owner", owner.value()), ("comment", comment.value())]);
        let text = |text: &str| Value::Text(text.to_owned());
        match definition {
            TypeDefinition::Enum { labels } => {
                facts.extend([("kind", text("enum")), ("labels", labels.value())]);
            }
            TypeDefinition::Domain {
                base,
                not_null,
                default,
                collation,
            } => facts.extend([
                ("kind", text("domain")),
                ("base", base.value()),
                ("not_null", not_null.value()),
                ("default", default.value()),
                ("collation", collation.value()),
            ]),
            TypeDefinition::Composite { attributes } => {
                let shapes = attributes.iter().map(attribute_text).collect();
                let comments = attributes
                    .iter()
                    .filter_map(|attribute| {
                        Some(format!("{}: {}", attribute.name, attribute.comment.as_ref()?))
                    })
                    .collect();
                facts.extend([
                    ("kind", text("composite")),
                    ("attributes", Value::List(shapes)),
                    ("attribute_comments", Value::List(comments)),
                ]);
            }
            TypeDefinition::Range { options } => {
                facts.extend([("kind", text("range")), ("options", options.value())]);
            }
        }
        facts
    }
}

/// An attribute as in `CREATE TYPE … AS (…)`.
fn attribute_text(attribute: &Column) -> String {
    let collation = attribute
        .collation
        .as_ref()
        .map_or_else(String::new, |collation| format!(" COLLATE {collation}"));
    format!(
        "{} {}{collation}",
        super::name::quote_ident(&attribute.name),
        attribute.data_type
    )
}
