//! Which constraints come with their table: all but those that need something which needs the table.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Catalog;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;

/// Names of the constraints that can stand in the `CREATE TABLE` of each of these tables of one catalogue.
pub(super) fn constraints<'a>(
    catalog: &'a Catalog,
    tables: &BTreeSet<&'a QualifiedName>,
) -> BTreeMap<&'a QualifiedName, Vec<&'a String>> {
    // What a table needs because of a constraint that came with it.
    let mut added: BTreeMap<ObjectId, BTreeSet<ObjectId>> = BTreeMap::new();
    let mut inline: BTreeMap<&QualifiedName, Vec<&String>> = BTreeMap::new();
    for name in tables {
        let Some(table) = catalog.tables.get(*name) else {
            continue;
        };
        let own = ObjectId::Table {
            name: (*name).clone(),
        };
        for constraint in table.constraints.keys() {
            let id = ObjectId::Constraint {
                relation: (*name).clone(),
                name: constraint.clone(),
            };
            let foreign: BTreeSet<ObjectId> = catalog
                .dependencies
                .of(&id)
                .filter(|needed| **needed != own && needed.parent().as_ref() != Some(&own))
                .cloned()
                .collect();
            let own_index = catalog
                .dependencies
                .of(&id)
                .any(|needed| matches!(needed, ObjectId::Index { relation, .. } if relation == *name));
            if own_index
                || foreign
                    .iter()
                    .any(|needed| reaches(catalog, &added, needed, &own))
            {
                continue;
            }
            added.entry(own.clone()).or_default().extend(foreign);
            inline.entry(name).or_default().push(constraint);
        }
        if let Some(list) = inline.get_mut(name) {
            list.sort_by_key(|name| {
                let kind = table.constraints.get(*name).map_or(0, |it| it.kind as u8);
                (kind, *name)
            });
        }
    }
    inline
}

fn reaches(
    catalog: &Catalog,
    added: &BTreeMap<ObjectId, BTreeSet<ObjectId>>,
    from: &ObjectId,
    to: &ObjectId,
) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(object) = open.pop() {
        if object == to {
            return true;
        }
        if seen.insert(object) {
            open.extend(catalog.dependencies.of(object));
            open.extend(added.get(object).into_iter().flatten());
        }
    }
    false
}
