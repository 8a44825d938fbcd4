//! What is to be done: for each object that comes, goes or changes, its steps.

use std::collections::{BTreeMap, BTreeSet};

use super::actions::{Action, Actions};
use super::error::PlanError;
use super::graph::{Class, Graph, Key, Verb};
use super::indexes::Way;
use super::step::{Pair, Step};
use super::{
    Context, constraints, find, functions, indexes, inline, policies, schemas, sequences, types, views,
};
use crate::model::Catalog;
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;

/// Ranks: of what could come next.
const FIRST: u8 = 0;
const WAY: u8 = 1;
const MAKE: u8 = 2;
const AFTER: u8 = 3;
const LAST: u8 = 4;

pub(super) struct Nodes<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) actions: &'a Actions,
    pub(super) graph: Graph,
    /// Constraints in the `CREATE TABLE` of new tables.
    pub(super) come_with: BTreeMap<&'a QualifiedName, Vec<&'a String>>,
    /// Constraints that go with their table, and would come back with it.
    pub(super) go_with: BTreeMap<&'a QualifiedName, Vec<&'a String>>,
    /// Dropped with the table or view they are part of.
    pub(super) implicit: BTreeSet<ObjectId>,
    /// Undone with the new table or view they are part of.
    pub(super) implicit_back: BTreeSet<ObjectId>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(context: &'a Context<'a>, actions: &'a Actions) -> Self {
        let tables = |catalog: &'a Catalog, test: fn(&Action) -> bool| {
            let names = catalog.tables.keys();
            let id = |name: &QualifiedName| ObjectId::Table { name: name.clone() };
            names
                .filter(|name| actions.is(&id(name), test))
                .collect::<BTreeSet<_>>()
        };
        Self {
            context,
            actions,
            graph: Graph::default(),
            come_with: inline::constraints(context.want, &tables(context.want, Action::creates)),
            go_with: inline::constraints(context.have, &tables(context.have, Action::drops)),
            implicit: BTreeSet::new(),
            implicit_back: BTreeSet::new(),
        }
    }

    pub(super) fn fill(&mut self) -> Result<(), PlanError> {
        for (id, action) in &self.actions.of {
            if action.drops() {
                self.drop(id, action)?;
            }
        }
        for (id, action) in &self.actions.of {
            match action {
                Action::Create | Action::Recreate => self.create(id)?,
                Action::Alter => self.alter(id)?,
                Action::Rename(old) => self.rename(id, old),
                Action::Drop => {
                    if let ObjectId::Grant { on, .. } = id {
                        self.grants(on);
                    }
                }
            }
        }
        for id in &self.actions.detached {
            self.detach(id);
        }
        Ok(())
    }

    pub(super) fn put(&mut self, verb: Verb, id: &ObjectId, class: Class, pair: Pair) {
        let rank = match (verb, id) {
            (_, ObjectId::Schema { .. } | ObjectId::DefaultPrivileges(_)) if verb == Verb::Make => FIRST,
            (Verb::Disown | Verb::Detach, _) => WAY,
            (Verb::Drop, id) if self.actions.is(id, |it| *it == Action::Drop) => LAST,
            (Verb::Drop, _) => WAY,
            (Verb::Build | Verb::Make | Verb::Attach, _) => MAKE,
            _ => AFTER,
        };
        if pair.up.sql.is_empty() && pair.down.sql.is_empty() {
            return;
        }
        let class = if self.context.options.online {
            class
        } else {
            Class::Quick
        };
        let key = Key::new(verb, id);
        self.graph.insert(key, class, rank, vec![pair]);
    }

    /// Whether the table or view is there before and after, so that somebody may be using it.
    pub(super) fn in_use(&self, relation: &QualifiedName) -> bool {
        let (table, view) = (
            ObjectId::Table {
                name: relation.clone(),
            },
            ObjectId::View {
                name: relation.clone(),
            },
        );
        let gone = |id: &ObjectId| self.actions.is(id, |it| it.creates() || it.drops());
        self.context.options.online && !gone(&table) && !gone(&view)
    }

    pub(super) fn way(&self, relation: &QualifiedName) -> Way {
        let catalogs = [self.context.have, self.context.want];
        let partitioned = catalogs.iter().any(|catalog| {
            let table = catalog.tables.get(relation);
            table.is_some_and(|table| table.partition_key.is_some())
        });
        if self.in_use(relation) && !partitioned {
            Way::Concurrently
        } else {
            Way::Plainly
        }
    }

    /// What an object is created by and dropped by, in this catalogue. `None`: it comes with its table.
    pub(super) fn whole(&self, catalog: &Catalog, id: &ObjectId) -> Result<Option<(Class, Pair)>, PlanError> {
        let quick = |pair: Pair| Some((Class::Quick, pair));
        Ok(match id {
            ObjectId::Schema { name } => quick(found(catalog.schemas.get(name), |it| {
                // Default privileges come after the schemas.
                schemas::create(self.context.have, name, it)
            })),
            ObjectId::Extension { name } => quick(found(catalog.extensions.get(name), |it| {
                schemas::create_extension(name, it)
            })),
            ObjectId::Other { class, identity } => {
                match find::other(catalog, class, identity).and_then(schemas::create_other) {
                    Some(pair) => quick(pair),
                    None => {
                        return Err(PlanError::Unsupported {
                            object: id.clone(),
                            why: "only that it is there is known of this kind".to_owned(),
                        });
                    }
                }
            }
            ObjectId::Type { name } => quick(found(catalog.types.get(name), |it| {
                types::create(self.context.want, name, it)
            })),
            ObjectId::DomainConstraint { domain, name } => {
                let of = catalog.types.get(domain).and_then(|it| it.constraints.get(name));
                quick(found(of, |it| constraints::add_to_domain(domain, name, it)))
            }
            ObjectId::Sequence { name } => quick(found(catalog.sequences.get(name), |it| {
                sequences::create(name, it, self.context.want)
            })),
            ObjectId::Function { signature } => quick(found(catalog.functions.get(signature), |it| {
                functions::create(self.context.want, signature, it)
            })),
            ObjectId::View { name } => quick(found(catalog.views.get(name), |it| {
                views::create(self.context.want, name, it)
            })),
            ObjectId::Policy { relation, name } => {
                let of = catalog.tables.get(relation).and_then(|it| it.policies.get(name));
                quick(found(of, |it| policies::create(relation, name, it)))
            }
            ObjectId::Trigger { relation, name } => {
                quick(found(find::trigger(catalog, relation, name), |it| {
                    policies::create_trigger(relation, name, it)
                }))
            }
            ObjectId::Index { relation, name } => {
                let way = self.way(relation);
                let class = if way == Way::Concurrently {
                    Class::Alone
                } else {
                    Class::Quick
                };
                let mut pair = found(find::index(catalog, relation, name), |it| {
                    indexes::create(relation, name, it, way)
                });
                if self.in_use(relation) && way == Way::Plainly {
                    pair.up.notes.push(
                        "Builds the index on every partition; nobody writes to them meanwhile.".to_owned(),
                    );
                }
                Some((class, pair))
            }
            // Tables and columns are written with what is theirs; grants where they are granted.
            _ => None,
        })
    }
}

impl Nodes<'_> {
    /// Takes a node's steps, which stand in a part with these: without what the table or view takes care of that goes in the same part.
    pub(super) fn take(&mut self, key: &Key, part: &[Key]) -> Vec<Pair> {
        let mut pairs = self
            .graph
            .nodes
            .remove(key)
            .map_or_else(Vec::new, |node| node.pairs);
        let with_parent = |verb| {
            let parent = key.object.parent_where(|it| part.contains(&Key::new(verb, it)));
            key.verb == verb && parent.is_some()
        };
        for pair in &mut pairs {
            if with_parent(Verb::Drop) && self.implicit.contains(&key.object) {
                pair.up = Step::default();
            }
            if with_parent(Verb::Make) && self.implicit_back.contains(&key.object) {
                pair.down = Step::default();
            }
        }
        pairs
    }
}

/// What is written of an object; nothing, where it is not there.
pub(super) fn found<T>(object: Option<&T>, write: impl Fn(&T) -> Pair) -> Pair {
    object.map(write).unwrap_or_default()
}
