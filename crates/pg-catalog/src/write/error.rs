use serde::Serialize;

use crate::error::Cycle;
use crate::model::object::ObjectId;

/// Something that a plan would lose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Where.
    pub object: ObjectId,
    /// What: `the values of public.cards.title`.
    pub what: String,
    /// The hint that would keep it, where it may have been renamed: `column:public.cards.title=…`.
    pub hint: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The plan loses data, and that was not allowed.
    #[error("this loses data, and that was not allowed:\n{}", losses(.0))]
    Destructive(
        /// Each step that does.
        Vec<Loss>,
    ),
    /// A rename that does not fit the two schemas.
    #[error("the rename {rename} does not fit: {why}")]
    Hint {
        /// The hint as it is written.
        rename: String,
        /// What is wrong with it.
        why: String,
    },
    /// Text that is not a rename.
    #[error(
        "{0:?} is not a rename: write kind:old=new, like table:public.old=new, column:public.cards.old=new or value:public.status.old=new"
    )]
    NotARename(String),
    /// A column that must not be NULL, without a value for the rows that are there.
    #[error(
        "column {column} is new and NOT NULL, and the rows that are there have no value for it: give it a DEFAULT (it can be dropped in \
         the next migration), or let it be NULL"
    )]
    NoDefault {
        /// The column, qualified.
        column: String,
    },
    /// A column of a type to which no cast leads, that must not be NULL, without a value for the rows that are there.
    #[error(
        "column {column} is NOT NULL, and no cast leads from {from} to {to}: the rows that are there have no value of the new type; give it \
         a DEFAULT (it can be dropped in the next migration), or let it be NULL"
    )]
    NoCast {
        /// The column, qualified.
        column: String,
        /// The type that it has.
        from: String,
        /// The type that it is to have.
        to: String,
    },
    /// A change that cannot be written.
    #[error("{object} cannot be changed by a generated migration: {why}; write this one by hand")]
    Unsupported {
        /// What was to be changed.
        object: ObjectId,
        /// Why not.
        why: String,
    },
    /// Objects that need one another.
    #[error(transparent)]
    Cycle(#[from] Cycle),
}

fn losses(losses: &[Loss]) -> String {
    let lines: Vec<String> = losses
        .iter()
        .map(|loss| match &loss.hint {
            Some(hint) => format!("- {}: {} (renamed? say {hint})", loss.object, loss.what),
            None => format!("- {}: {}", loss.object, loss.what),
        })
        .collect();
    lines.join("\n")
}
