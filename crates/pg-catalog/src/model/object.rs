use std::fmt;

use serde::{Deserialize, Serialize};

use super::function::Signature;
use super::grant::{DefaultPrivilegesKey, Role};
use super::name::{QualifiedName, quote_ident};

/// What is created, changed and dropped on its own. Ordered by kind, then by name; prints as `policy tenant on public.cards`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ObjectId {
    /// A schema.
    Schema {
        /// Its name.
        name: String,
    },
    /// An extension; what belongs to it is not listed.
    Extension {
        /// Its name.
        name: String,
    },
    /// Whatever of the rarer kinds, see [`OtherObject`](super::OtherObject).
    Other {
        /// Kind as PostgreSQL calls it: `event trigger`.
        class: String,
        /// Identity as `pg_identify_object` gives it.
        identity: String,
    },
    /// An enum, domain, composite or range type.
    Type {
        /// Its name.
        name: QualifiedName,
    },
    /// A constraint of a domain.
    DomainConstraint {
        /// The domain.
        domain: QualifiedName,
        /// Name of the constraint.
        name: String,
    },
    /// A sequence that is not behind an identity column.
    Sequence {
        /// Its name.
        name: QualifiedName,
    },
    /// A table.
    Table {
        /// Its name.
        name: QualifiedName,
    },
    /// A column of a table; of a view where it has a comment or default of its own.
    Column {
        /// Table or view.
        relation: QualifiedName,
        /// Name of the column.
        name: String,
    },
    /// A function, procedure or aggregate.
    Function {
        /// Name and argument types.
        signature: Signature,
    },
    /// A view or materialized view.
    View {
        /// Its name.
        name: QualifiedName,
    },
    /// An index that is not behind a constraint.
    Index {
        /// Table or materialized view.
        relation: QualifiedName,
        /// Name of the index, which is in the schema of its table.
        name: String,
    },
    /// A constraint of a table.
    Constraint {
        /// The table.
        relation: QualifiedName,
        /// Name of the constraint.
        name: String,
    },
    /// A trigger.
    Trigger {
        /// Table or view.
        relation: QualifiedName,
        /// Name of the trigger.
        name: String,
    },
    /// A policy.
    Policy {
        /// The table.
        relation: QualifiedName,
        /// Name of the policy.
        name: String,
    },
    /// All that one role may do with one object.
    Grant {
        /// The object.
        on: Box<ObjectId>,
        /// The role, or `PUBLIC`.
        grantee: String,
    },
    /// `ALTER DEFAULT PRIVILEGES`.
    DefaultPrivileges(DefaultPrivilegesKey),
}

impl ObjectId {
    /// The object it is part of and goes with: the table of a column, what a grant is on. Columns, indexes and triggers of a
    /// view name it as a table here.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Column { relation, .. }
            | Self::Index { relation, .. }
            | Self::Constraint { relation, .. }
            | Self::Trigger { relation, .. }
            | Self::Policy { relation, .. } => Some(Self::Table {
                name: relation.clone(),
            }),
            Self::DomainConstraint { domain, .. } => Some(Self::Type { name: domain.clone() }),
            Self::Grant { on, .. } => Some((**on).clone()),
            _ => None,
        }
    }

    /// The parent that `exists`: a table or else the view of that name.
    pub(crate) fn parent_where(&self, exists: impl Fn(&Self) -> bool) -> Option<Self> {
        let parent = self.parent()?;
        if exists(&parent) {
            return Some(parent);
        }
        let Self::Table { name } = parent else { return None };
        Some(Self::View { name }).filter(exists)
    }

    /// The kind, as in `table public.cards`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Schema { .. } => "schema",
            Self::Extension { .. } => "extension",
            Self::Other { class, .. } => class,
            Self::Type { .. } => "type",
            Self::DomainConstraint { .. } | Self::Constraint { .. } => "constraint",
            Self::Sequence { .. } => "sequence",
            Self::Table { .. } => "table",
            Self::Column { .. } => "column",
            Self::Function { .. } => "function",
            Self::View { .. } => "view",
            Self::Index { .. } => "index",
            Self::Trigger { .. } => "trigger",
            Self::Policy { .. } => "policy",
            Self::Grant { .. } => "grant",
            Self::DefaultPrivileges(_) => "default privileges",
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::Schema { name } | Self::Extension { name } => write!(f, "{kind} {}", quote_ident(name)),
            Self::Other { identity, .. } => write!(f, "{kind} {identity}"),
            Self::Type { name } | Self::Sequence { name } | Self::Table { name } | Self::View { name } => {
                write!(f, "{kind} {name}")
            }
            Self::Column { relation, name } => write!(f, "{kind} {relation}.{}", quote_ident(name)),
            Self::Function { signature } => write!(f, "{kind} {signature}"),
            Self::Index { relation, name } => {
                write!(
                    f,
                    "{kind} {} on {relation}",
                    QualifiedName::new(&relation.schema, name)
                )
            }
            Self::DomainConstraint { domain, name } => {
                write!(f, "{kind} {} on domain {domain}", quote_ident(name))
            }
            Self::Constraint { relation, name }
            | Self::Trigger { relation, name }
            | Self::Policy { relation, name } => write!(f, "{kind} {} on {relation}", quote_ident(name)),
            Self::Grant { on, grantee } => write!(f, "{kind} to {} on {on}", Role(grantee)),
            Self::DefaultPrivileges(key) => write!(f, "{kind} {key}"),
        }
    }
}
