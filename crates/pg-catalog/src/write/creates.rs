//! What comes.

use super::actions::Action;
use super::error::PlanError;
use super::graph::{Class, Verb};
use super::nodes::Nodes;
use super::{columns, constraints, fill, find, grants, indexes, tables, words};
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::object::ObjectId;
use crate::model::table::{Column, Constraint, ConstraintKind};

impl<'a> Nodes<'a> {
    pub(super) fn create(&mut self, id: &ObjectId) -> Result<(), PlanError> {
        let want = self.context.want;
        match id {
            ObjectId::Grant { on, .. } => self.grants(on),
            ObjectId::DefaultPrivileges(key) => {
                let pair = grants::default_privileges(key, None, find::default_privileges(want, key));
                self.put(Verb::Make, id, Class::Quick, pair);
            }
            ObjectId::DomainConstraint { domain, name } => {
                let of = ObjectId::Type { name: domain.clone() };
                if !self.actions.is(&of, Action::creates) && !self.actions.anew.contains(&of) {
                    self.create_domain_constraint(id, domain, name);
                }
            }
            ObjectId::Table { name } => {
                let Some(table) = want.tables.get(name) else {
                    return Ok(());
                };
                let inline = self.come_with.get(name).cloned().unwrap_or_default();
                let pair = tables::create(want, name, table, &inline);
                self.put(Verb::Make, id, Class::Quick, pair);
                if tables::by_index(table) {
                    let pair = tables::identity_pair(name, None, table);
                    self.put(Verb::Attach, id, Class::Quick, pair);
                }
            }
            ObjectId::Column { relation, .. } => self.create_column(id, relation)?,
            ObjectId::Constraint { relation, name } => self.create_constraint(id, relation, name),
            _ => {
                if let Some((class, pair)) = self.whole(want, id)? {
                    if self.goes_back_by_itself(id) {
                        self.implicit_back.insert(id.clone());
                    }
                    self.put(Verb::Make, id, class, pair);
                }
                if let ObjectId::Sequence { .. } = id {
                    self.sequence_owner(id, Verb::Own);
                }
            }
        }
        Ok(())
    }

    /// Whether dropping the new table or view that it is part of is enough to undo it: nothing else that it needs is new.
    fn goes_back_by_itself(&self, id: &ObjectId) -> bool {
        let Some(parent) = id.parent_where(|parent| self.actions.is(parent, Action::creates)) else {
            return false;
        };
        let mut needs = self.context.want.dependencies.of(id);
        needs.all(|needed| {
            let of_parent = *needed == parent || needed.parent_where(|it| *it == parent).is_some();
            of_parent || !self.actions.is(needed, |_| true)
        })
    }

    fn create_column(&mut self, id: &ObjectId, relation: &QualifiedName) -> Result<(), PlanError> {
        let Some(column) = find::column(self.context.want, id) else {
            self.view_column(relation);
            return Ok(());
        };
        if self.actions.is(
            &ObjectId::Table {
                name: relation.clone(),
            },
            Action::creates,
        ) {
            return Ok(());
        }
        let filled = column.default.is_some() || column.identity.is_some() || column.generated.is_some();
        if column.not_null && !filled {
            return Err(PlanError::NoDefault {
                column: format!("{relation}.{}", quote_ident(&column.name)),
            });
        }
        let volatile = column
            .default
            .as_ref()
            .filter(|default| columns::is_volatile(self.context, default));
        let Some(default) = volatile.filter(|_| self.context.options.online) else {
            let pair = columns::add(relation, column, &columns::clause(column));
            self.put(Verb::Make, id, Class::Quick, pair);
            return Ok(());
        };
        let bare = Column {
            not_null: false,
            default: None,
            ..column.clone()
        };
        let mut pair = columns::add(relation, column, &columns::clause(&bare));
        let name = quote_ident(&column.name);
        pair.up.sql.push_str(&format!(
            "ALTER TABLE {relation} ALTER COLUMN {name} SET DEFAULT {default};\n"
        ));
        self.put(Verb::Make, id, Class::Quick, pair);
        self.put(
            Verb::Fill,
            id,
            Class::Alone,
            fill::backfill(self.context, relation, &column.name),
        );
        if column.not_null {
            self.not_null(id, relation, &column.name);
        }
        Ok(())
    }

    pub(super) fn not_null(&mut self, id: &ObjectId, relation: &QualifiedName, column: &str) {
        let steps = fill::not_null(relation, column);
        self.put(Verb::Check, id, Class::Quick, steps.check);
        self.put(Verb::Validate, id, Class::Validate, steps.validate);
        self.put(Verb::NotNull, id, Class::Quick, steps.set);
    }

    fn create_constraint(&mut self, id: &ObjectId, relation: &QualifiedName, name: &String) {
        if self
            .come_with
            .get(relation)
            .is_some_and(|inline| inline.contains(&name))
        {
            return;
        }
        let want = self.context.want;
        let Some(found) = find::constraint(want, relation, name) else {
            return;
        };
        let partitioned = want
            .tables
            .get(relation)
            .is_some_and(|it| it.partition_key.is_some());
        let foreign = found.kind == ConstraintKind::ForeignKey;
        if !self.in_use(relation) {
            let mut pair = constraints::add(relation, name, found);
            pair.up.notes.clear();
            self.put(Verb::Make, id, Class::Quick, pair);
            return;
        }
        if constraints::can_wait(found) && !(foreign && partitioned) {
            self.put(
                Verb::Make,
                id,
                Class::Quick,
                constraints::add_not_valid(relation, name, found),
            );
            if found.validated {
                let pair = constraints::validate(relation, name, found, found);
                self.put(Verb::Validate, id, Class::Validate, pair);
            }
            return;
        }
        if !partitioned {
            // The name may still be taken when the index is built.
            let taken = self.actions.is(id, |it| *it == Action::Recreate);
            let index = if taken {
                words::derived(name, "_new")
            } else {
                name.clone()
            };
            if let Some((build, make)) = constraints::by_index(relation, name, &index, found) {
                self.put(Verb::Build, id, Class::Alone, build);
                self.put(Verb::Make, id, Class::Quick, make);
                return;
            }
        }
        self.put(
            Verb::Make,
            id,
            Class::Quick,
            constraints::add(relation, name, found),
        );
    }

    fn create_domain_constraint(&mut self, id: &ObjectId, domain: &QualifiedName, name: &str) {
        let Some(found) = find::domain_constraint(self.context.want, domain, name) else {
            return;
        };
        if !self.context.options.online {
            self.put(
                Verb::Make,
                id,
                Class::Quick,
                constraints::add_to_domain(domain, name, found),
            );
            return;
        }
        let later = Constraint {
            validated: false,
            ..found.clone()
        };
        self.put(
            Verb::Make,
            id,
            Class::Quick,
            constraints::add_to_domain(domain, name, &later),
        );
        if found.validated {
            let pair = constraints::validate_in_domain(domain, name, found);
            self.put(Verb::Validate, id, Class::Validate, pair);
        }
    }

    pub(super) fn rename(&mut self, id: &ObjectId, old: &str) {
        let (have, want) = (self.context.have, self.context.want);
        let pair = match id {
            ObjectId::Constraint { relation, name } => {
                let sides = (
                    find::constraint(have, relation, old),
                    find::constraint(want, relation, name),
                );
                let (Some(a), Some(b)) = sides else { return };
                constraints::rename(relation, (old, a), (name, b))
            }
            ObjectId::Index { relation, name } => {
                let sides = (
                    find::index(have, relation, old),
                    find::index(want, relation, name),
                );
                let (Some(a), Some(b)) = sides else { return };
                indexes::rename(relation, (old, a), (name, b))
            }
            _ => return,
        };
        self.put(Verb::Make, id, Class::Quick, pair);
    }
}
