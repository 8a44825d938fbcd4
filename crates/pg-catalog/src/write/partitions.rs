//! Partitions: what comes before they come, go, or move.

use super::actions::Action;
use super::graph::{Key, Verb};
use super::nodes::Nodes;
use crate::model::Catalog;
use crate::model::object::ObjectId;

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
                    ObjectId::Index { .. } | ObjectId::Constraint { .. } if of == *parent => false,
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
}
