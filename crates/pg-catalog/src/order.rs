//! Who must be there before whom.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Cycle;
use crate::model::Catalog;
use crate::model::object::ObjectId;

/// For each object those that it needs directly. An object that needs none may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Needs>", into = "Vec<Needs>")]
pub struct Dependencies(pub BTreeMap<ObjectId, BTreeSet<ObjectId>>);

/// One line of the serialised form.
#[derive(Serialize, Deserialize)]
struct Needs {
    object: ObjectId,
    needs: BTreeSet<ObjectId>,
}

impl From<Vec<Needs>> for Dependencies {
    fn from(lines: Vec<Needs>) -> Self {
        Self(lines.into_iter().map(|line| (line.object, line.needs)).collect())
    }
}

impl From<Dependencies> for Vec<Needs> {
    fn from(dependencies: Dependencies) -> Self {
        let line = |(object, needs)| Needs { object, needs };
        dependencies.0.into_iter().map(line).collect()
    }
}

impl Dependencies {
    /// What `object` needs directly.
    pub fn of(&self, object: &ObjectId) -> impl Iterator<Item = &ObjectId> {
        self.0.get(object).into_iter().flatten()
    }

    /// What needs `object` directly. Looks through all of them.
    pub fn on<'a>(&'a self, object: &'a ObjectId) -> impl Iterator<Item = &'a ObjectId> {
        self.0
            .iter()
            .filter(move |(_, needs)| needs.contains(object))
            .map(|(dependent, _)| dependent)
    }

    pub(crate) fn add(&mut self, object: &ObjectId, needed: &ObjectId) {
        if object == needed || runs_backwards(object, needed) {
            return;
        }
        self.0.entry(object.clone()).or_default().insert(needed.clone());
    }
}

/// Edges that PostgreSQL records and creation does not follow: a partitioned table on the columns of its key (they come with it),
/// and a sequence on the column that owns it (`OWNED BY` is said once both exist, and the column's default needs the sequence).
fn runs_backwards(object: &ObjectId, needed: &ObjectId) -> bool {
    match (object, needed) {
        (ObjectId::Table { name }, ObjectId::Column { relation, .. }) => name == relation,
        (ObjectId::Sequence { .. }, ObjectId::Column { .. } | ObjectId::Table { .. }) => true,
        _ => false,
    }
}

impl Catalog {
    /// Who needs whom: columns, constraints, indexes, policies, triggers and grants what they belong to; and what `pg_depend` knows:
    /// a view the columns and functions it uses, a default its sequence or function, a foreign key the key it refers to, a policy or
    /// index its functions, a partition its parent, a column its type or the extension that has it.
    ///
    /// Not known to PostgreSQL, so not here: what a body written as a string uses. Create such functions with
    /// `check_function_bodies = off`.
    #[must_use]
    pub fn dependencies(&self) -> &Dependencies {
        &self.dependencies
    }

    /// The objects in an order in which they can be created: each after those of them that it needs, directly or through others;
    /// where that leaves a choice, by kind and then by name. The reverse is the order to drop them.
    ///
    /// # Errors
    /// Some of them, or of what they need, need one another.
    pub fn order(&self, objects: impl IntoIterator<Item = ObjectId>) -> Result<Vec<ObjectId>, Cycle> {
        let wanted: BTreeSet<ObjectId> = objects.into_iter().collect();

        // Everything that they need too, for a path between two of them may lead through a third.
        let mut missing: BTreeMap<&ObjectId, usize> = BTreeMap::new();
        let mut dependents: BTreeMap<&ObjectId, Vec<&ObjectId>> = BTreeMap::new();
        let mut open: Vec<&ObjectId> = wanted.iter().collect();
        while let Some(object) = open.pop() {
            if missing.contains_key(object) {
                continue;
            }
            let mut count = 0;
            for needed in self.dependencies.of(object) {
                dependents.entry(needed).or_default().push(object);
                open.push(needed);
                count += 1;
            }
            missing.insert(object, count);
        }

        // Kahn's algorithm, the smallest first.
        let mut ready: BTreeSet<&ObjectId> = missing
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(object, _)| *object)
            .collect();
        let mut ordered = Vec::with_capacity(wanted.len());
        while let Some(object) = ready.pop_first() {
            missing.remove(object);
            for dependent in dependents.get(object).into_iter().flatten() {
                if let Some(count) = missing.get_mut(dependent) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(dependent);
                    }
                }
            }
            if wanted.contains(object) {
                ordered.push(object.clone());
            }
        }
        if missing.is_empty() {
            return Ok(ordered);
        }
        Err(Cycle(self.in_cycles(missing.into_keys().collect())))
    }

    /// Of objects that could not be ordered: those of the cycles, without what merely needs them.
    fn in_cycles(&self, mut left: BTreeSet<&ObjectId>) -> Vec<ObjectId> {
        loop {
            let needed: BTreeSet<&ObjectId> = left
                .iter()
                .flat_map(|object| self.dependencies.of(object))
                .collect();
            let before = left.len();
            left.retain(|object| needed.contains(object));
            if left.len() == before {
                return left.into_iter().cloned().collect();
            }
        }
    }
}
