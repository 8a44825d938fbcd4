//! Partitions: what comes before they come, go, or move.

use super::Context;
use super::actions::{Action, Actions};
use super::alike::{are_twin_constraints, are_twins, has_part_of};
use super::graph::{Key, Verb};
use super::nodes::Nodes;
use crate::model::Catalog;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::Table;

/// The schema as the tables that are detached will see it: what they have from their parents is their own.
/// `None` where none is detached.
pub(super) fn detached(have: &Catalog, want: &Catalog) -> Option<Catalog> {
    let mut alone: Option<Catalog> = None;
    for (name, table) in &have.tables {
        let stays = want.tables.get(name);
        if table.partition_of.is_none() || stays.is_none_or(|it| it.partition_of.is_some()) {
            continue;
        }
        if let Some(table) = alone.get_or_insert_with(|| have.clone()).tables.get_mut(name) {
            let of_parent = std::mem::take(&mut table.of_parent);
            table.constraints.extend(of_parent.constraints);
            table.indexes.extend(of_parent.indexes);
        }
    }
    alone
}

impl Actions {
    /// What is there because a table became a partition, or no longer because it was one, comes and goes by itself.
    pub(super) fn attached(&mut self, context: &Context<'_>) {
        let ids: Vec<ObjectId> = self.of.keys().cloned().collect();
        for id in ids {
            let ObjectId::Table { name } = &id else { continue };
            let (Some(have), Some(want)) = (context.have.tables.get(name), context.want.tables.get(name))
            else {
                continue;
            };
            let parent = match (&have.partition_of, &want.partition_of) {
                (None, Some(parent)) => context.want.tables.get(parent),
                (Some(parent), None) => context.have.tables.get(parent),
                _ => continue,
            };
            // A partition cannot have other columns than its parent: what differs comes after, or before, by itself.
            for (side, other, action) in [(have, want, Action::Drop), (want, have, Action::Create)] {
                for column in side.columns.iter().filter(|it| it.inherited) {
                    let of_parent = parent.is_some_and(|parent| parent.column(&column.name).is_some());
                    if other.column(&column.name).is_none()
                        && of_parent
                        && !self.moves_with(side, &column.name)
                    {
                        let (relation, name) = (name.clone(), column.name.clone());
                        self.of
                            .insert(ObjectId::Column { relation, name }, action.clone());
                    }
                }
            }
            if let Some(parent) = parent {
                self.of_parent(name, parent, have, want);
            }
        }
    }

    /// Constraints and indexes that become parts of the parent's, or are parts of those that go.
    fn of_parent(&mut self, name: &QualifiedName, parent: &Table, have: &Table, want: &Table) {
        let attach = want.partition_of.is_some();
        let index = |relation: &QualifiedName, name: &String| ObjectId::Index {
            relation: relation.clone(),
            name: name.clone(),
        };
        let constraint = |relation: &QualifiedName, name: &String| ObjectId::Constraint {
            relation: relation.clone(),
            name: name.clone(),
        };
        let of = if attach {
            &want.partition_of
        } else {
            &have.partition_of
        };
        let Some(of) = of else { return };
        // Whether this object of the parent takes the partition's along.
        let takes_along = |actions: &Self, id: ObjectId| attach || actions.is(&id, |it| *it == Action::Drop);
        for (own, it) in &have.indexes {
            let adopted = attach && want.of_parent.indexes.contains_key(own);
            let mut twins = parent
                .indexes
                .iter()
                .filter(|(_, of_parent)| are_twins(of_parent, it));
            if !want.indexes.contains_key(own)
                && (adopted || twins.any(|(name, _)| takes_along(self, index(of, name))))
            {
                self.of.remove(&index(name, own));
            }
        }
        for (own, it) in &have.constraints {
            let adopted = attach && want.of_parent.constraints.contains_key(own);
            let mut twins = parent
                .constraints
                .iter()
                .filter(|of_parent| are_twin_constraints(*of_parent, (own, it)));
            if !want.constraints.contains_key(own)
                && (adopted || twins.any(|(name, _)| takes_along(self, constraint(of, name))))
            {
                self.of.remove(&constraint(name, own));
            }
        }
    }

    /// Whether the parent's column comes or goes too, and takes the partition's along.
    fn moves_with(&self, partition: &Table, column: &str) -> bool {
        let parent = partition.partition_of.clone();
        parent.is_some_and(|relation| {
            let name = column.to_owned();
            self.is(&ObjectId::Column { relation, name }, |it| {
                matches!(it, Action::Drop | Action::Create)
            })
        })
    }
}

impl Nodes<'_> {
    /// Bounds must not overlap: the old partitions go first.
    pub(super) fn partitions(&mut self) {
        let of = |catalog: &Catalog, id: &ObjectId| match id {
            ObjectId::Table { name } => catalog.tables.get(name)?.partition_of.clone(),
            _ => None,
        };
        let ids: Vec<&ObjectId> = self.actions.of.keys().collect();
        for new in &ids {
            let Some(parent) = of(self.context.want, new) else {
                continue;
            };
            for old in &ids {
                if new != old && of(self.context.have, old).as_ref() == Some(&parent) {
                    let make = Key::new(Verb::Make, new);
                    self.graph.rather_before(&Key::new(Verb::Drop, old), &make);
                    if of(self.context.want, old).is_none() {
                        self.graph.rather_before(&Key::new(Verb::Make, old), &make);
                    }
                }
            }
        }
    }

    /// What its parent has by then, or still has, a partition has too.
    pub(super) fn attaching(&mut self) {
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        for (name, have) in &self.context.have.tables {
            let Some(want) = self.context.want.tables.get(name) else {
                continue;
            };
            let (parent, attach) = match (&have.partition_of, &want.partition_of) {
                (None, Some(parent)) => (parent, true),
                (Some(parent), None) => (parent, false),
                _ => continue,
            };
            let moves = Key::new(Verb::Make, &ObjectId::Table { name: name.clone() });
            for key in &keys {
                let Some(ObjectId::Table { name: of }) = key.object.parent() else {
                    continue;
                };
                if of != *parent && of != *name {
                    continue;
                }
                // Alone is what the table is before it is attached, and after it is detached.
                let alone = if attach { have } else { want };
                let has_its_own = match &key.object {
                    ObjectId::Column { name, .. } => alone.column(name).is_some(),
                    id @ (ObjectId::Index { relation, .. } | ObjectId::Constraint { relation, .. })
                        if relation == parent =>
                    {
                        !attach && !self.actions.is(id, |it| *it == Action::Drop)
                            || self.has_part_of(id, parent, alone, want)
                    }
                    _ => true,
                };
                let passes_on = match key.verb {
                    Verb::Make => attach && self.actions.is(&key.object, Action::creates) && !has_its_own,
                    Verb::Drop => !attach && !has_its_own,
                    _ => continue,
                };
                // Passed on to the partition while it is one; else done while it is alone.
                let partition_first = attach == (passes_on && of == *parent);
                if partition_first {
                    self.graph.rather_before(&moves, key);
                } else {
                    self.graph.rather_before(key, &moves);
                }
            }
        }
    }

    /// Whether a table has, while it is alone, what is a part of this of its parent's.
    fn has_part_of(&self, id: &ObjectId, of: &QualifiedName, alone: &Table, want: &Table) -> bool {
        let catalogs = [self.context.have, self.context.want];
        catalogs.iter().any(|catalog| {
            let Some(parent) = catalog.tables.get(of) else {
                return false;
            };
            match id {
                ObjectId::Index { name, .. } => {
                    let found = parent.indexes.get(name);
                    found.is_some_and(|found| has_part_of(found, parent, alone, want))
                }
                ObjectId::Constraint { name, .. } => {
                    let found = parent.constraints.get(name);
                    let mut own = alone.constraints.iter();
                    found.is_some_and(|found| own.any(|it| are_twin_constraints((name, found), it)))
                }
                _ => false,
            }
        })
    }
}
