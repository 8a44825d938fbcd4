//! What happens to each object.

use std::collections::{BTreeMap, BTreeSet};

use super::alike::{in_place, is_renamed};
use super::error::PlanError;
use super::{Context, casts, columns, find, types};
use crate::model::Catalog;
use crate::model::object::ObjectId;
use crate::model::table::ConstraintKind;

/// What happens to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Drop,
    Alter,
    /// Dropped and created.
    Recreate,
    /// Only its name changes, from this one: a constraint or an index.
    Rename(String),
}

impl Action {
    /// It goes, for good or for a while.
    pub(super) fn drops(&self) -> bool {
        matches!(self, Self::Drop | Self::Recreate)
    }

    /// It comes, or comes again.
    pub(super) fn creates(&self) -> bool {
        matches!(self, Self::Create | Self::Recreate)
    }
}

/// How far a change in place reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Views and the like must not be there while a column's type changes.
    Type,
    /// Nothing that needs it may be there: the column goes and comes.
    All,
}

#[derive(Debug, Default)]
pub(super) struct Actions {
    pub(super) of: BTreeMap<ObjectId, Action>,
    /// Altered objects whose dependents must make way.
    pub(super) reach: BTreeMap<ObjectId, Reach>,
    /// Columns whose default makes way for a function or sequence.
    pub(super) detached: BTreeSet<ObjectId>,
    /// Types that are made anew, and bring their columns along.
    pub(super) anew: BTreeSet<ObjectId>,
}

impl Actions {
    pub(super) fn is(&self, id: &ObjectId, test: impl Fn(&Action) -> bool) -> bool {
        self.of.get(id).is_some_and(test)
    }

    pub(super) fn decide(context: &Context<'_>, forced: &BTreeSet<ObjectId>) -> Result<Self, PlanError> {
        let mut actions = Self::default();
        let (have, want) = (context.have, context.want);
        let had = have.objects();
        let wanted = want.objects();
        for (id, facts) in &wanted {
            let action = match had.get(id) {
                Some(had) if had == facts => continue,
                Some(_) if in_place(context, id) => Action::Alter,
                Some(_) => Action::Recreate,
                // An inherited column is no object, but it is there.
                None if column_in(have, id) => Action::Alter,
                None => Action::Create,
            };
            actions.of.insert(id.clone(), action);
        }
        for id in had.keys() {
            if wanted.contains_key(id) {
                continue;
            }
            let action = if column_in(want, id) {
                Action::Alter
            } else {
                Action::Drop
            };
            actions.of.insert(id.clone(), action);
        }
        for id in forced {
            actions.of.insert(id.clone(), Action::Recreate);
        }
        actions.attached(context);
        actions.renamed(context);
        actions.identities_to_serials(context);
        actions.spread(context)?;
        Ok(actions)
    }

    /// A constraint or index that only has another name is renamed: there is nothing to guess, and nothing to lose.
    fn renamed(&mut self, context: &Context<'_>) {
        let created: Vec<ObjectId> = self.with(|action| *action == Action::Create);
        for new in created {
            let gone = self.with(|action| *action == Action::Drop);
            let old = gone.into_iter().find(|old| is_renamed(context, old, &new));
            if let Some(old) = old
                && let ObjectId::Constraint { name, .. } | ObjectId::Index { name, .. } = &old
            {
                self.of.insert(new, Action::Rename(name.clone()));
                self.of.remove(&old);
            }
        }
    }

    /// The sequence of an identity column goes with it, and a new one may want its name: the identity makes way before, and the default
    /// comes after.
    fn identities_to_serials(&mut self, context: &Context<'_>) {
        for id in self.with(|action| *action == Action::Alter) {
            let (have, want) = (find::column(context.have, &id), find::column(context.want, &id));
            if have.is_some_and(|it| it.identity.is_some() && !it.inherited)
                && want.is_some_and(|it| it.identity.is_none() && it.default.is_some())
            {
                self.detached.insert(id);
            }
        }
    }

    fn with(&self, test: impl Fn(&Action) -> bool) -> Vec<ObjectId> {
        let found = self.of.iter().filter(|(_, action)| test(action));
        found.map(|(id, _)| id.clone()).collect()
    }

    /// What needs something that goes for a while has to go with it.
    fn spread(&mut self, context: &Context<'_>) -> Result<(), PlanError> {
        let mut dependents: BTreeMap<&ObjectId, Vec<&ObjectId>> = BTreeMap::new();
        for (object, needs) in &context.have.dependencies.0 {
            for needed in needs {
                dependents.entry(needed).or_default().push(object);
            }
        }
        let mut done: BTreeSet<(ObjectId, Option<Reach>)> = BTreeSet::new();
        loop {
            self.find_reach(context);
            self.without_support(context, &dependents);
            let mut open: Vec<(ObjectId, Option<Reach>)> = self
                .with(|action| *action == Action::Recreate)
                .into_iter()
                .map(|id| (id, None))
                .collect();
            open.extend(self.reach.iter().map(|(id, reach)| (id.clone(), Some(*reach))));
            open.retain(|it| !done.contains(it));
            if open.is_empty() {
                return Ok(());
            }
            for it in open {
                for dependent in dependents.get(&it.0).into_iter().flatten() {
                    self.make_way(context, &it.0, it.1, dependent)?;
                }
                done.insert(it);
            }
        }
    }

    /// What stays, unchanged, and yet needs something that goes, will rest on something else: a foreign key on another unique constraint.
    fn without_support(&mut self, context: &Context<'_>, dependents: &BTreeMap<&ObjectId, Vec<&ObjectId>>) {
        for gone in self.with(|action| *action == Action::Drop) {
            for dependent in dependents.get(&gone).into_iter().flatten() {
                let made_again = matches!(
                    dependent,
                    ObjectId::View { .. }
                        | ObjectId::Function { .. }
                        | ObjectId::Constraint { .. }
                        | ObjectId::Policy { .. }
                        | ObjectId::Trigger { .. }
                );
                if made_again && context.had.contains(dependent) && !self.of.contains_key(dependent) {
                    self.of.insert((*dependent).clone(), Action::Recreate);
                }
            }
        }
    }

    fn find_reach(&mut self, context: &Context<'_>) {
        for id in self.with(|action| *action == Action::Alter) {
            match &id {
                ObjectId::Column { .. } => {
                    let (Some(have), Some(want)) =
                        (find::column(context.have, &id), find::column(context.want, &id))
                    else {
                        continue;
                    };
                    let inherited = have.inherited && want.inherited;
                    if have.generated.is_some() != want.generated.is_some()
                        || columns::is_another(have, want) && !inherited
                    {
                        self.reach.insert(id, Reach::All);
                    } else if (&have.data_type, &have.collation) != (&want.data_type, &want.collation)
                        && !have.inherited
                    {
                        self.reach.entry(id).or_insert(Reach::Type);
                    }
                }
                ObjectId::Type { name } => {
                    let (have, want) = (context.have.types.get(name), context.want.types.get(name));
                    if let (Some(have), Some(want)) = (have, want)
                        && types::change(have, want) == types::Change::Anew
                    {
                        self.anew.insert(id.clone());
                        self.reach.insert(id, Reach::All);
                    }
                }
                ObjectId::Index { relation, name } => {
                    let index = |catalog: &Catalog| {
                        Some(
                            catalog
                                .tables
                                .get(relation)?
                                .indexes
                                .get(name)?
                                .definition
                                .clone(),
                        )
                    };
                    if index(context.have) != index(context.want) {
                        self.reach.insert(id, Reach::All);
                    }
                }
                _ => {}
            }
        }
    }

    /// `dependent` needs `needed`, which goes for a while, or changes as far as `reach`.
    fn make_way(
        &mut self,
        context: &Context<'_>,
        needed: &ObjectId,
        reach: Option<Reach>,
        dependent: &ObjectId,
    ) -> Result<(), PlanError> {
        let stuck = |why: &str| {
            Err(PlanError::Unsupported {
                object: needed.clone(),
                why: format!("{dependent} needs it, and {why}"),
            })
        };
        match self.of.get(dependent) {
            Some(Action::Drop | Action::Recreate) => return Ok(()),
            // A new name changes nothing for what it is about.
            None if !context.had.contains(dependent) && !is_inherited(context.have, dependent) => {
                return Ok(());
            }
            _ => {}
        }
        let by_type = reach == Some(Reach::Type);
        match dependent {
            ObjectId::Column { .. } => {
                let Some(found) = find::column(context.have, dependent) else {
                    return Ok(());
                };
                if matches!(needed, ObjectId::Type { .. }) && reach.is_some() {
                    // It comes along.
                    self.reach.entry(dependent.clone()).or_insert(Reach::Type);
                    return Ok(());
                }
                if dependent.parent().as_ref() == Some(needed) {
                    return Ok(());
                }
                if found.generated.is_some() {
                    self.of.insert(dependent.clone(), Action::Recreate);
                } else if matches!(needed, ObjectId::Function { .. } | ObjectId::Sequence { .. })
                    && found.default.is_some()
                {
                    self.detached.insert(dependent.clone());
                } else if !by_type {
                    return stuck("its rows must stay");
                }
                return Ok(());
            }
            ObjectId::Table { .. } | ObjectId::Extension { .. } | ObjectId::Schema { .. } => {
                return if by_type {
                    Ok(())
                } else {
                    stuck("it cannot be dropped for a while")
                };
            }
            ObjectId::Type { .. } if !by_type => return stuck("it cannot be dropped for a while"),
            ObjectId::Sequence { .. } | ObjectId::Grant { .. } | ObjectId::DefaultPrivileges(_) => {
                return Ok(());
            }
            _ => {}
        }
        if by_type && !must_go(context, needed, dependent) {
            return Ok(());
        }
        if let ObjectId::Other { .. } = dependent
            && by_type
            && dependent.kind() != "rule"
        {
            return Ok(());
        }
        self.of.insert(dependent.clone(), Action::Recreate);
        Ok(())
    }
}

/// Whether PostgreSQL refuses to change a column's type while this is there. Indexes and constraints it rebuilds by itself, unless the two
/// sides of a foreign key cannot be compared while only one of them has changed.
fn must_go(context: &Context<'_>, column_id: &ObjectId, dependent: &ObjectId) -> bool {
    match dependent {
        ObjectId::Index { .. } | ObjectId::DomainConstraint { .. } => false,
        ObjectId::Constraint { relation, name } => {
            let foreign = context.have.tables.get(relation);
            let foreign = foreign.and_then(|table| table.constraints.get(name));
            let foreign = foreign.is_some_and(|it| it.kind == ConstraintKind::ForeignKey);
            let types = (
                find::column(context.have, column_id),
                find::column(context.want, column_id),
            );
            let related = match types {
                (Some(have), Some(want)) => {
                    have.data_type != want.data_type && casts::related(&have.data_type, &want.data_type)
                }
                _ => false,
            };
            foreign && !related
        }
        _ => true,
    }
}

fn column_in(catalog: &Catalog, id: &ObjectId) -> bool {
    find::column(catalog, id).is_some()
}

fn is_inherited(catalog: &Catalog, id: &ObjectId) -> bool {
    find::column(catalog, id).is_some_and(|column| column.inherited)
}
