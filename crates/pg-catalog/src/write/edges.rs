//! What has to come before what.

use std::collections::{BTreeMap, BTreeSet};

use super::actions::{Action, Reach};
use super::graph::{Key, Verb};
use super::nodes::Nodes;
use super::{constraints, find};
use crate::model::Catalog;
use crate::model::name::{QualifiedName, take_ident};
use crate::model::object::ObjectId;
use crate::model::table::ConstraintKind;
use crate::model::types::TypeDefinition;

impl Nodes<'_> {
    pub(super) fn connect(&mut self) -> BTreeSet<Key> {
        self.stages();
        self.creation();
        self.dropping();
        self.way_for_changes();
        self.default_privileges_first();
        self.names();
        self.sequences();
        self.replica_identities();
        self.partitions();
        self.attaching();
        self.primary_keys_before_null();
        let unchecked = self.bodies();
        for id in self.actions.of.keys() {
            // Where it can be, the new index is there before the old one goes.
            let (build, drop) = (Key::new(Verb::Build, id), Key::new(Verb::Drop, id));
            self.graph.rather_before(&build, &drop);
        }
        unchecked
    }

    /// The node that brings an object: its own, or that of what it comes with.
    fn make(&self, id: &ObjectId) -> Key {
        self.own_or_parents(Verb::Make, id)
    }

    fn dropped(&self, id: &ObjectId) -> Key {
        self.own_or_parents(Verb::Drop, id)
    }

    fn own_or_parents(&self, verb: Verb, id: &ObjectId) -> Key {
        let key = Key::new(verb, id);
        if self.graph.has(&key) {
            return key;
        }
        let parent = id.parent_where(|parent| self.graph.has(&Key::new(verb, parent)));
        let wanted = if verb == Verb::Make {
            Action::creates
        } else {
            Action::drops
        };
        match parent {
            Some(parent) if self.actions.is(&parent, wanted) => Key::new(verb, &parent),
            Some(parent) if matches!(parent, ObjectId::View { .. }) => Key::new(verb, &parent),
            _ => key,
        }
    }

    /// The steps of one object, in their order.
    fn stages(&mut self) {
        use Verb::{
            Attach, Build, Check, Detach, Disown, Drop, Fill, Grant, Make, NotNull, Own, Owner, Validate,
        };
        let objects: BTreeSet<ObjectId> = self.graph.nodes.keys().map(|key| key.object.clone()).collect();
        for id in &objects {
            let key = |verb| Key::new(verb, id);
            for (first, then) in [
                (Detach, Make),
                (Detach, Attach),
                (Disown, Drop),
                (Disown, Make),
                (Disown, Own),
                (Drop, Make),
                (Build, Make),
                (Make, Own),
                (Make, Owner),
                (Make, Attach),
                (Make, Fill),
                (Make, Grant),
                (Owner, Grant),
                (Make, Check),
                (Fill, Check),
            ] {
                self.graph.before(&key(first), &key(then));
            }
            for (first, then) in [(Make, Validate), (Check, Validate), (Validate, NotNull)] {
                self.graph.parts_before(&key(first), &key(then));
            }
        }
    }

    /// What is needed comes first.
    fn creation(&mut self) {
        let made: Vec<ObjectId> = self.actions.of.keys().cloned().collect();
        for id in &made {
            let own = self.make(id);
            let needs: Vec<&ObjectId> = self.context.want.dependencies.of(id).collect();
            for needed in needs {
                let first = self.make(needed);
                for then in [own.clone(), Key::new(Verb::Build, id), Key::new(Verb::Attach, id)] {
                    self.graph.before(&first, &then);
                }
                let filled = Key::new(Verb::Fill, needed);
                self.graph.before(&filled, &Key::new(Verb::Build, id));
                if is_primary_key(self.context.want, id) {
                    let not_null = Key::new(Verb::NotNull, needed);
                    self.graph.before(&not_null, &own);
                }
            }
        }
        for id in &self.actions.detached {
            for needed in self.context.want.dependencies.of(id) {
                let first = self.make(needed);
                self.graph.before(&first, &Key::new(Verb::Attach, id));
                let was_identity =
                    find::column(self.context.have, id).is_some_and(|column| column.identity.is_some());
                if was_identity && matches!(needed, ObjectId::Sequence { .. }) {
                    self.graph.before(&Key::new(Verb::Detach, id), &first);
                }
            }
        }
    }

    /// Whether it is the default that needs this, of a column whose default makes way.
    fn gives_default(&self, column: &ObjectId, needed: &ObjectId) -> bool {
        let source = matches!(needed, ObjectId::Function { .. } | ObjectId::Sequence { .. });
        source && self.actions.detached.contains(column)
    }

    /// What needs something goes, or changes, before that goes.
    fn dropping(&mut self) {
        for (object, needs) in &self.context.have.dependencies.0 {
            for needed in needs {
                let drop = self.dropped(needed);
                if !self.graph.has(&drop) {
                    continue;
                }
                let goes = self.dropped(object);
                let changes = self.make(object);
                let first = if self.actions.is(object, Action::drops) || self.graph.has(&goes) {
                    goes
                } else {
                    changes
                };
                let default_only = first.verb == Verb::Make && self.gives_default(object, needed);
                if first.object != drop.object && !default_only {
                    self.graph.before(&first, &drop);
                }
                self.graph.before(&Key::new(Verb::Detach, object), &drop);
                // What goes with its table is there until then.
                if self.implicit.contains(object)
                    && let Some(parent) = object.parent_where(|it| self.actions.is(it, Action::drops))
                    && parent != drop.object
                {
                    self.graph.before(&Key::new(Verb::Drop, &parent), &drop);
                }
            }
        }
    }

    /// What must not be there while something changes.
    fn way_for_changes(&mut self) {
        let mut changing: Vec<(ObjectId, Key)> = Vec::new();
        for id in self.actions.reach.keys() {
            changing.push((id.clone(), Key::new(Verb::Make, id)));
        }
        for data_type in &self.actions.anew {
            let key = Key::new(Verb::Make, data_type);
            for column in self.actions.reach.keys() {
                let of_it = self
                    .context
                    .have
                    .dependencies
                    .of(column)
                    .any(|it| it == data_type);
                if of_it && matches!(column, ObjectId::Column { .. }) {
                    changing.push((column.clone(), key.clone()));
                }
            }
        }
        for (id, change) in changing {
            for (object, needs) in &self.context.have.dependencies.0 {
                if !needs.contains(&id) {
                    continue;
                }
                let goes = self.dropped(object);
                if self.graph.has(&goes) && goes != change {
                    self.graph.before(&goes, &change);
                    if self.actions.is(object, Action::creates) {
                        let comes = self.make(object);
                        self.graph.before(&change, &comes);
                        self.graph.before(&change, &Key::new(Verb::Build, object));
                    }
                    continue;
                }
                let still = self.context.want.dependencies.of(object).any(|it| *it == id);
                let reach = self.actions.reach.get(&id);
                if !still && reach >= Some(&Reach::Type) {
                    let changes = self.make(object);
                    self.graph.before(&changes, &change);
                }
            }
        }
    }

    /// New objects are born with what default privileges say.
    fn default_privileges_first(&mut self) {
        let is_default = |key: &Key| matches!(key.object, ObjectId::DefaultPrivileges(_));
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        for first in keys.iter().filter(|key| is_default(key)) {
            for then in &keys {
                let schema = matches!(then.object, ObjectId::Schema { .. });
                let counts =
                    matches!(then.verb, Verb::Drop | Verb::Make) && !(schema && then.verb == Verb::Make);
                if counts && !is_default(then) {
                    self.graph.before(first, then);
                }
            }
        }
    }

    /// A name is free once what had it is gone.
    fn names(&mut self) {
        let mut freed: BTreeMap<(Space, QualifiedName), Key> = BTreeMap::new();
        for (id, action) in &self.actions.of {
            if let Action::Rename(old) = action
                && let ObjectId::Constraint { relation, .. } | ObjectId::Index { relation, .. } = id
            {
                let name = QualifiedName::new(&relation.schema, old);
                freed.insert((Space::Relation, name), Key::new(Verb::Make, id));
            }
            if !action.drops() {
                continue;
            }
            let mut key = self.dropped(id);
            if self.implicit.contains(id)
                && let Some(parent) = id.parent_where(|it| self.actions.is(it, Action::drops))
            {
                key = Key::new(Verb::Drop, &parent);
            }
            for name in taken(self.context.have, id) {
                freed.insert(name, key.clone());
            }
        }
        let ids: Vec<ObjectId> = self.actions.of.keys().cloned().collect();
        for id in ids {
            let comes = self
                .actions
                .is(&id, |it| it.creates() || matches!(it, Action::Rename(_)));
            for name in taken(self.context.want, &id).into_iter().filter(|_| comes) {
                let Some(first) = freed.get(&name) else { continue };
                let make = self.make(&id);
                self.graph.before(first, &make);
                // A constraint made anew builds its index under another name.
                if first.object != id {
                    self.graph.before(first, &Key::new(Verb::Build, &id));
                }
            }
        }
    }

    fn sequences(&mut self) {
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        for key in keys {
            let ObjectId::Sequence { name } = &key.object else {
                continue;
            };
            let catalog = match key.verb {
                Verb::Own => self.context.want,
                Verb::Disown => self.context.have,
                _ => continue,
            };
            let owner = catalog.sequences.get(name).and_then(|it| it.owned_by.as_deref());
            let Some(owner) = owner.and_then(owning_column) else {
                continue;
            };
            if key.verb == Verb::Own {
                let first = self.make(&owner);
                self.graph.before(&first, &key);
            } else {
                let then = self.dropped(&owner);
                self.graph.before(&key, &then);
            }
        }
    }

    /// A column cannot be NULL while it is in a primary key.
    fn primary_keys_before_null(&mut self) {
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        for drop in keys.iter().filter(|key| key.verb == Verb::Drop) {
            let ObjectId::Constraint { relation, name } = &drop.object else {
                continue;
            };
            if !is_primary_key(self.context.have, &drop.object) {
                continue;
            }
            let found = find::constraint(self.context.have, relation, name);
            for column in found.into_iter().flat_map(|it| &it.columns) {
                let column = ObjectId::Column {
                    relation: relation.clone(),
                    name: column.clone(),
                };
                self.graph.rather_before(drop, &Key::new(Verb::Make, &column));
            }
        }
    }

    fn replica_identities(&mut self) {
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        for attach in keys.iter().filter(|key| key.verb == Verb::Attach) {
            let ObjectId::Table { name } = &attach.object else {
                continue;
            };
            for key in &keys {
                let (ObjectId::Index { relation, .. } | ObjectId::Constraint { relation, .. }) = &key.object
                else {
                    continue;
                };
                if relation == name && key.verb == Verb::Make {
                    self.graph.before(key, attach);
                } else if relation == name && key.verb == Verb::Drop {
                    self.graph.rather_before(attach, key);
                }
            }
        }
    }
}

fn is_primary_key(catalog: &Catalog, id: &ObjectId) -> bool {
    let ObjectId::Constraint { relation, name } = id else {
        return false;
    };
    find::constraint(catalog, relation, name).is_some_and(|it| it.kind == ConstraintKind::PrimaryKey)
}

/// Where names must differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Relation,
    Type,
}

/// The names that an object takes.
fn taken(catalog: &Catalog, id: &ObjectId) -> Vec<(Space, QualifiedName)> {
    let relation = |name: &QualifiedName| (Space::Relation, name.clone());
    let data_type = |name: &QualifiedName| (Space::Type, name.clone());
    match id {
        ObjectId::Table { name } | ObjectId::View { name } => vec![relation(name), data_type(name)],
        ObjectId::Sequence { name } => vec![relation(name)],
        ObjectId::Type { name } => {
            let composite = catalog.types.get(name);
            let composite =
                composite.is_some_and(|it| matches!(it.definition, TypeDefinition::Composite { .. }));
            let mut names = vec![data_type(name)];
            names.extend(composite.then(|| relation(name)));
            names
        }
        ObjectId::Index { relation: of, name } => vec![relation(&QualifiedName::new(&of.schema, name))],
        ObjectId::Constraint { relation: of, name }
            if find::constraint(catalog, of, name).is_some_and(constraints::has_index) =>
        {
            vec![relation(&QualifiedName::new(&of.schema, name))]
        }
        _ => Vec::new(),
    }
}

/// `public.cards.id`
fn owning_column(text: &str) -> Option<ObjectId> {
    let (schema, rest) = take_ident(text)?;
    let (table, rest) = take_ident(rest.strip_prefix('.')?)?;
    let (name, _) = take_ident(rest.strip_prefix('.')?)?;
    Some(ObjectId::Column {
        relation: QualifiedName::new(schema, table),
        name,
    })
}
