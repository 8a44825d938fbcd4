//! Comparing two catalogues.

use serde::Serialize;

use crate::model::Catalog;
use crate::model::facts::{Facts, Value};
use crate::model::object::ObjectId;

/// What is to be done to one schema to make it another. Prints for people, one line for an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Wanted, and not there. In order of kind and name, every object by itself: of an added table its columns too.
    pub added: Vec<ObjectId>,
    /// There, and not wanted.
    pub removed: Vec<ObjectId>,
    /// There, and wanted otherwise.
    pub changed: Vec<Change>,
}

/// An object that is other than it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The object. It is in both catalogues under this id.
    pub object: ObjectId,
    /// What differs, by name; at least one.
    pub attributes: Vec<AttributeChange>,
}

/// One attribute that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeChange {
    /// Name of the attribute, a field of the object's struct: `not_null`.
    pub name: &'static str,
    /// What is there.
    pub have: Value,
    /// What should be there.
    pub want: Value,
}

impl Difference {
    /// The schemas are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// How many objects differ.
    #[must_use]
    pub fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }
}

impl Catalog {
    /// What is to be done to `self`, which is there, to make it `want`. What is not compared: the order of columns, the server's
    /// version, the name of the database's owner, and what the structs' fields call not compared.
    #[must_use]
    pub fn diff(&self, want: &Self) -> Difference {
        let mut have = self.objects();
        let mut difference = Difference::default();
        for (object, wanted) in want.objects() {
            match have.remove(&object) {
                None => difference.added.push(object),
                Some(had) if had != wanted => difference.changed.push(Change {
                    attributes: changed_attributes(had, wanted),
                    object,
                }),
                Some(_) => {}
            }
        }
        difference.removed = have.into_keys().collect();
        difference
    }
}

fn changed_attributes(mut had: Facts, mut wanted: Facts) -> Vec<AttributeChange> {
    let names: std::collections::BTreeSet<_> = had.keys().chain(wanted.keys()).copied().collect();
    names
        .into_iter()
        .filter_map(|name| {
            let have = had.remove(name).unwrap_or(Value::None);
            let want = wanted.remove(name).unwrap_or(Value::None);
            (have != want).then_some(AttributeChange { name, have, want })
        })
        .collect()
}
