//! The SQL that leads from one schema to another.
//!
//! Every step is a pair: statements, and those that undo them. Undone in reverse, a list of pairs goes back through the states that it came by,
//! so that the way back needs no plan of its own. `actions` decides what happens to each object, the files of the kinds write it, `graph` orders it.

mod actions;
mod alike;
mod alters;
mod bodies;
mod build;
mod casts;
mod columns;
mod constraints;
mod creates;
mod drops;
mod edges;
mod error;
mod fill;
mod find;
mod functions;
mod grants;
mod graph;
mod hints;
mod indexes;
mod inline;
mod nodes;
mod owners;
mod partitions;
mod policies;
mod privileges;
mod schemas;
mod sequences;
mod step;
mod tables;
mod types;
mod views;
mod words;

use std::collections::BTreeSet;

use serde::Serialize;

pub use error::{Loss, PlanError};
pub use hints::{Hints, PartKind, RelationKind, Rename, Renamed};
pub use step::{Part, Step};

use crate::model::Catalog;
use crate::model::object::ObjectId;

/// How a plan is to be written.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Allow what loses data. It is marked all the same.
    pub allow_destructive: bool,
    /// Lock nobody out for long: indexes concurrently, constraints validated in a transaction of their own. Without it the plan is one
    /// part, in one transaction (a value added to an enum apart), for a database that nobody uses.
    pub online: bool,
    /// Statements at the start of each batch of a backfill, without their semicolons. A batch is a transaction, in a `DO $$` block: what is
    /// set for it is `SET LOCAL`, as `SET LOCAL ROLE …` where row level security holds for the owner.
    pub backfill_prelude: Vec<String>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            allow_destructive: false,
            online: true,
            backfill_prelude: Vec::new(),
        }
    }
}

/// What leads from one schema to another, and back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In order; the way back takes them in reverse. Each can be undone by itself.
    pub parts: Vec<Part>,
}

/// What everything is written from.
pub(crate) struct Context<'a> {
    pub(crate) have: &'a Catalog,
    pub(crate) want: &'a Catalog,
    pub(crate) options: &'a PlanOptions,
    /// Every object of `have`.
    pub(crate) had: BTreeSet<ObjectId>,
}

impl Plan {
    /// The way from `have` to `want`. With renames, `have` is the schema after them: run each [`Rename::sql`] in a scratch database, read that,
    /// and PostgreSQL has carried along whatever needs the renamed. The plan begins with the renames. Call [`Hints::check`] before.
    ///
    /// The text is the same for the same catalogues. Both must have been read with the same options from servers of one version.
    ///
    /// # Errors
    /// [`PlanError`]: what loses data and was not allowed, all of it at once; what cannot be written.
    pub fn new(
        have: &Catalog,
        want: &Catalog,
        hints: &Hints,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        for rename in &hints.renames {
            // The last of several renames of one thing is looked at under a name that a later one may have changed.
            if hints.renames.len() == 1 && !rename.is_in(have, true) {
                return Err(PlanError::Hint {
                    rename: rename.to_string(),
                    why: "the schema to start from has nothing of the new name: it must be read after the renames".to_owned(),
                });
            }
        }
        let detached = partitions::detached(have, want);
        let have = detached.as_ref().unwrap_or(have);
        let had = have.ids();
        let context = Context {
            have,
            want,
            options,
            had,
        };
        build::plan(&context, hints)
    }

    /// Nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}
