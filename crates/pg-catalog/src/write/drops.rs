//! What goes.

use std::collections::BTreeSet;

use super::actions::Action;
use super::error::PlanError;
use super::graph::{Class, Verb};
use super::nodes::{Nodes, found};
use super::{columns, constraints, find, grants, tables};
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::Constraint;

impl<'a> Nodes<'a> {
    pub(super) fn drop(&mut self, id: &ObjectId, action: &Action) -> Result<(), PlanError> {
        let have = self.context.have;
        match id {
            ObjectId::Grant { .. } => return Ok(()),
            ObjectId::DefaultPrivileges(key) => {
                let defaults = find::default_privileges(have, key);
                self.put(
                    Verb::Make,
                    id,
                    Class::Quick,
                    grants::default_privileges(key, defaults, None),
                );
                return Ok(());
            }
            ObjectId::DomainConstraint { domain, .. }
                if self
                    .actions
                    .is(&ObjectId::Type { name: domain.clone() }, Action::drops)
                    || self
                        .actions
                        .anew
                        .contains(&ObjectId::Type { name: domain.clone() }) =>
            {
                return Ok(());
            }
            ObjectId::Table { name } => {
                if *action == Action::Recreate {
                    return Err(PlanError::Unsupported {
                        object: id.clone(),
                        why: "its rows would have to be moved".to_owned(),
                    });
                }
                let inline = self.go_with.get(name).cloned().unwrap_or_default();
                let mut pair = found(have.tables.get(name), |it| {
                    tables::create(self.context.want, name, it, &inline)
                });
                pair.up
                    .notes
                    .push(format!("The rows of {name} are lost: it comes back empty."));
                self.put(Verb::Drop, id, Class::Quick, pair.flip());
                return Ok(());
            }
            ObjectId::Column { relation, .. } => {
                if self.goes_with_relation(relation) {
                    return Ok(());
                }
                let Some(column) = find::column(have, id) else {
                    // A view's comment or default.
                    self.view_column(relation);
                    return Ok(());
                };
                self.put(
                    Verb::Drop,
                    id,
                    Class::Quick,
                    columns::drop(self.context, relation, column),
                );
                return Ok(());
            }
            ObjectId::Constraint { relation, name } => {
                if self
                    .go_with
                    .get(relation)
                    .is_some_and(|inline| inline.contains(&name))
                {
                    return Ok(());
                }
                let Some(found) = find::constraint(have, relation, name) else {
                    return Ok(());
                };
                let pair = if self.may_not_hold(relation, found) {
                    constraints::add_if_valid(relation, name, found)
                } else {
                    constraints::add(relation, name, found)
                };
                let pair = pair.flip();
                self.put(Verb::Drop, id, Class::Quick, pair);
                return Ok(());
            }
            _ => {}
        }
        let Some((class, pair)) = self.whole(have, id)? else {
            return Ok(());
        };
        let pair = pair.flip();
        if self.drops_by_itself(id) {
            self.implicit.insert(id.clone());
        }
        self.put(Verb::Drop, id, class, pair);
        if let ObjectId::Sequence { .. } = id {
            self.sequence_owner(id, Verb::Disown);
        }
        Ok(())
    }

    /// Whether a constraint is about values that will have been lost when it comes back.
    fn may_not_hold(&self, relation: &QualifiedName, constraint: &Constraint) -> bool {
        let lost = |table: &QualifiedName, columns: &[String]| {
            let column = |name: &String| ObjectId::Column {
                relation: table.clone(),
                name: name.clone(),
            };
            let gone = |id: &ObjectId| self.actions.is(id, |it| *it == Action::Drop);
            gone(&ObjectId::Table { name: table.clone() }) || columns.iter().any(|name| gone(&column(name)))
        };
        let table = self.context.have.tables.get(relation);
        let partitioned = table.is_some_and(|table| table.partition_key.is_some());
        let other = constraint.references.as_ref();
        constraints::can_wait(constraint)
            && constraint.validated
            && !partitioned
            && (lost(relation, &constraint.columns)
                || other.is_some_and(|other| lost(other, &constraint.referenced_columns)))
    }

    fn goes_with_relation(&self, relation: &QualifiedName) -> bool {
        let (table, view) = (
            ObjectId::Table {
                name: relation.clone(),
            },
            ObjectId::View {
                name: relation.clone(),
            },
        );
        self.actions.is(&table, Action::drops) || self.actions.is(&view, Action::drops)
    }

    /// Whether it goes with the table or view it is part of: unless something that it needs has to go before that.
    fn drops_by_itself(&self, id: &ObjectId) -> bool {
        let Some(parent) = id.parent_where(|parent| self.actions.is(parent, Action::drops)) else {
            return false;
        };
        let mut open: Vec<&ObjectId> = self
            .context
            .have
            .dependencies
            .of(id)
            .filter(|needed| {
                **needed != parent
                    && needed.parent_where(|it| *it == parent).is_none()
                    && self.actions.is(needed, Action::drops)
            })
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(object) = open.pop() {
            if *object == parent {
                return false;
            }
            if seen.insert(object) {
                open.extend(self.context.have.dependencies.of(object));
            }
        }
        true
    }
}
