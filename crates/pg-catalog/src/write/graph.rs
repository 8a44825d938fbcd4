//! What is to be done, what has to come before what, and the order that follows.

use std::collections::{BTreeMap, BTreeSet};

use super::step::Pair;
use crate::model::object::ObjectId;

/// How a node is run. A part holds nodes of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// In a transaction, under whatever lock it takes, and soon over.
    Quick,
    /// By itself, outside a transaction: `CONCURRENTLY`, and backfills.
    Alone,
    /// In a transaction that reads whole tables, and therefore takes no lock that stops anyone.
    Validate,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    /// Takes a sequence from the column that owns it.
    Disown,
    /// Takes the default from a column whose function is made anew.
    Detach,
    /// Drops.
    Drop,
    /// Builds the index for a constraint.
    Build,
    /// Creates, or alters.
    Make,
    /// Gives the column its default back.
    Attach,
    /// Gives a sequence to the column that owns it.
    Own,
    /// Gives an object to another role.
    Owner,
    /// Fills a new column.
    Fill,
    /// Adds the check that stands for NOT NULL.
    Check,
    /// Validates a constraint.
    Validate,
    /// Makes a column NOT NULL.
    NotNull,
    /// Grants and revokes.
    Grant,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) verb: Verb,
    pub(super) object: ObjectId,
}

impl Key {
    pub(super) fn new(verb: Verb, object: &ObjectId) -> Self {
        Self {
            verb,
            object: object.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) class: Class,
    /// Of those that could come next, a lower one does.
    pub(super) rank: u8,
    pub(super) pairs: Vec<Pair>,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: BTreeMap<Key, Node>,
    /// From the earlier to the later ones; true: in a later part.
    edges: BTreeMap<Key, BTreeMap<Key, bool>>,
}

impl Graph {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.nodes.contains_key(key)
    }

    pub(super) fn insert(&mut self, key: Key, class: Class, rank: u8, pairs: Vec<Pair>) {
        self.nodes.insert(key, Node { class, rank, pairs });
    }

    /// `first` comes before `then`, where both are there.
    pub(super) fn before(&mut self, first: &Key, then: &Key) {
        self.edge(first, then, false);
    }

    /// As [`Self::before`], with a commit in between.
    pub(super) fn parts_before(&mut self, first: &Key, then: &Key) {
        self.edge(first, then, true);
    }

    fn edge(&mut self, first: &Key, then: &Key, cut: bool) {
        if first != then && self.has(first) && self.has(then) {
            let known = self.edges.entry(first.clone()).or_default();
            *known.entry(then.clone()).or_default() |= cut;
        }
    }

    /// As [`Self::before`], unless `then` already has to come before `first`. Whether it was added.
    pub(super) fn rather_before(&mut self, first: &Key, then: &Key) -> bool {
        if self.reaches(then, first) {
            return false;
        }
        self.before(first, then);
        true
    }

    fn reaches(&self, from: &Key, to: &Key) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(key) = open.pop() {
            if key == to {
                return true;
            }
            if seen.insert(key) {
                open.extend(self.edges.get(key).into_iter().flat_map(BTreeMap::keys));
            }
        }
        false
    }

    /// The parts: nodes of one class, in order.
    ///
    /// # Errors
    /// Those that could not be ordered.
    pub(super) fn schedule(&self) -> Result<Vec<(Class, Vec<Key>)>, BTreeSet<Key>> {
        let mut missing: BTreeMap<&Key, usize> = self.nodes.keys().map(|key| (key, 0)).collect();
        for then in self.edges.values().flat_map(BTreeMap::keys) {
            if let Some(count) = missing.get_mut(then) {
                *count += 1;
            }
        }
        // Nodes all of whose predecessors are done, and the first part that they may be in.
        let mut earliest: BTreeMap<&Key, usize> = BTreeMap::new();
        let mut ready: BTreeSet<&Key> = missing
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(key, _)| *key)
            .collect();
        let mut parts: Vec<(Class, Vec<Key>)> = Vec::new();
        let mut group: Option<ObjectId> = None;
        while !ready.is_empty() {
            let number = parts.len();
            let current = parts.last().map(|(class, _)| *class);
            let next = ready
                .iter()
                .filter(|key| {
                    Some(self.class(key)) == current && earliest.get(**key).is_none_or(|part| *part < number)
                })
                .min_by_key(|key| {
                    let rank = self.nodes.get(**key).map_or(0, |node| node.rank);
                    (rank, Some(top(&key.object)) != group, **key)
                })
                .copied();
            let Some(key) = next else {
                let Some(class) = self.next_class(&ready, parts.is_empty()) else {
                    break;
                };
                parts.push((class, Vec::new()));
                continue;
            };
            ready.remove(key);
            missing.remove(key);
            group = Some(top(&key.object));
            for (then, cut) in self.edges.get(key).into_iter().flatten() {
                let first = earliest.entry(then).or_default();
                *first = (*first).max(if *cut { number } else { 0 });
                if let Some(count) = missing.get_mut(then) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(then);
                    }
                }
            }
            if let Some((_, keys)) = parts.last_mut() {
                keys.push(key.clone());
            }
        }
        if missing.is_empty() {
            return Ok(parts);
        }
        Err(self.in_cycles(missing.into_keys().collect()))
    }

    fn class(&self, key: &Key) -> Class {
        self.nodes.get(key).map_or(Class::Quick, |node| node.class)
    }

    /// What the next part is for: first what is quick, then what takes its time, so that what waits for it waits together.
    fn next_class(&self, ready: &BTreeSet<&Key>, first: bool) -> Option<Class> {
        let order = if first {
            [Class::Quick, Class::Alone, Class::Validate]
        } else {
            [Class::Alone, Class::Validate, Class::Quick]
        };
        order
            .into_iter()
            .find(|class| ready.iter().any(|key| self.class(key) == *class))
    }

    /// Of what could not be ordered: without what merely waits for it, and without what it waits for.
    fn in_cycles(&self, mut left: BTreeSet<&Key>) -> BTreeSet<Key> {
        loop {
            let before = left.len();
            let leads = |key: &Key| {
                let then = self.edges.get(key);
                then.is_some_and(|then| then.keys().any(|key| left.contains(key)))
            };
            let kept: BTreeSet<&Key> = left.iter().copied().filter(|key| leads(key)).collect();
            left = kept;
            if left.len() == before {
                return left.into_iter().cloned().collect();
            }
        }
    }
}

/// The table or view that a part belongs to.
pub(super) fn top(object: &ObjectId) -> ObjectId {
    let mut top = object.clone();
    while let Some(parent) = top.parent() {
        top = parent;
    }
    match top {
        ObjectId::View { name } => ObjectId::Table { name },
        top => top,
    }
}
