//! What changes in place.

use super::columns::Except;
use super::error::PlanError;
use super::graph::{Class, Key, Verb};
use super::indexes::Way;
use super::nodes::Nodes;
use super::step::{Pair, Step};
use super::{
    columns, constraints, find, functions, grants, indexes, policies, schemas, sequences, tables, types,
    views,
};
use crate::model::Catalog;
use crate::model::name::{QualifiedName, quote_ident};
use crate::model::object::ObjectId;

impl<'a> Nodes<'a> {
    pub(super) fn alter(&mut self, id: &ObjectId) -> Result<(), PlanError> {
        match id {
            ObjectId::Grant { on, .. } => {
                self.grants(on);
                return Ok(());
            }
            ObjectId::DefaultPrivileges(key) => {
                let (have, want) = (self.context.have, self.context.want);
                let pair = grants::default_privileges(
                    key,
                    find::default_privileges(have, key),
                    find::default_privileges(want, key),
                );
                self.put(Verb::Make, id, Class::Quick, pair);
                return Ok(());
            }
            ObjectId::Schema { name } => {
                self.both(
                    id,
                    |it| it.schemas.get(name),
                    |from, to| schemas::alter(name, from, to),
                );
                if name == "public" {
                    return Ok(());
                }
            }
            ObjectId::Extension { name } => self.both(
                id,
                |it| it.extensions.get(name),
                |from, to| schemas::alter_extension(name, from, to),
            ),
            ObjectId::Other { class, identity } => {
                self.both(id, |it| find::other(it, class, identity), schemas::alter_other);
            }
            ObjectId::Type { name } => self.alter_type(id, name),
            ObjectId::DomainConstraint { domain, name } => self.alter_domain_constraint(id, domain, name),
            ObjectId::Sequence { name } => self.alter_sequence(id, name),
            ObjectId::Table { name } => self.alter_table(id, name)?,
            ObjectId::Column { relation, .. } => self.alter_column(id, relation)?,
            ObjectId::Function { signature } => self.both(
                id,
                |it| it.functions.get(signature),
                |from, to| functions::alter(signature, from, to),
            ),
            ObjectId::View { name } => self.alter_view(id, name),
            ObjectId::Index { relation, name } => self.alter_index(id, relation, name),
            ObjectId::Constraint { relation, name } => self.alter_constraint(id, relation, name),
            ObjectId::Trigger { relation, name } => self.both(
                id,
                |it| find::trigger(it, relation, name),
                |from, to| policies::alter_trigger(relation, name, from, to),
            ),
            ObjectId::Policy { relation, name } => self.both(
                id,
                |it| find::policy(it, relation, name),
                |from, to| policies::alter(relation, name, from, to),
            ),
        }
        self.owner(id);
        Ok(())
    }

    /// An object that both catalogues have.
    fn sides<T>(&self, find: impl Fn(&'a Catalog) -> Option<&'a T>) -> Option<(&'a T, &'a T)> {
        Some((find(self.context.have)?, find(self.context.want)?))
    }

    /// One function writes both directions.
    fn both<T: 'a>(
        &mut self,
        id: &ObjectId,
        find: impl Fn(&'a Catalog) -> Option<&'a T>,
        step: impl Fn(&T, &T) -> Step,
    ) {
        if let Some((have, want)) = self.sides(find) {
            self.put(
                Verb::Make,
                id,
                Class::Quick,
                Pair::new(step(have, want), step(want, have)),
            );
        }
    }

    fn alter_domain_constraint(&mut self, id: &ObjectId, domain: &QualifiedName, name: &str) {
        let found = |it| find::domain_constraint(it, domain, name);
        self.both(id, found, |from, to| {
            let sql = constraints::domain_comment(domain, name, Some(from), Some(to));
            Step::new(sql.map_or_else(String::new, |sql| format!("{sql};\n")))
        });
        if let Some((have, want)) = self.sides(found)
            && !have.validated
            && want.validated
        {
            let pair = constraints::validate_in_domain(domain, name, want);
            self.put(Verb::Validate, id, Class::Validate, pair);
        }
    }

    fn alter_constraint(&mut self, id: &ObjectId, relation: &QualifiedName, name: &str) {
        let found = |it| find::constraint(it, relation, name);
        self.both(id, found, |from, to| constraints::alter(relation, name, from, to));
        if let Some((have, want)) = self.sides(found)
            && !have.validated
            && want.validated
        {
            let pair = constraints::validate(relation, name, want, want);
            self.put(Verb::Validate, id, Class::Validate, pair);
        }
    }

    fn alter_sequence(&mut self, id: &ObjectId, name: &QualifiedName) {
        let found = |it: &'a Catalog| it.sequences.get(name);
        self.both(id, found, |from, to| sequences::alter(name, from, to));
        if let Some((have, want)) = self.sides(found)
            && have.owned_by != want.owned_by
        {
            self.sequence_owner(id, Verb::Disown);
            self.sequence_owner(id, Verb::Own);
        }
    }

    fn alter_index(&mut self, id: &ObjectId, relation: &QualifiedName, name: &str) {
        let Some((have, want)) = self.sides(|it| find::index(it, relation, name)) else {
            return;
        };
        let way = self.way(relation);
        let alone = have.definition != want.definition || have.valid != want.valid;
        let class = if way == Way::Concurrently && alone {
            Class::Alone
        } else {
            Class::Quick
        };
        let pair = if have.definition == want.definition {
            indexes::alter(relation, name, have, want, way)
        } else {
            indexes::replace(relation, name, (have, want), way)
        };
        self.put(Verb::Make, id, class, pair);
    }

    fn alter_type(&mut self, id: &ObjectId, name: &QualifiedName) {
        let Some((have, want)) = self.sides(|it| it.types.get(name)) else {
            return;
        };
        if types::change(have, want) == types::Change::Anew {
            let pair = types::anew(self.context.want, name, (have, want), &self.uses(name));
            self.put(Verb::Make, id, Class::Quick, pair);
        } else {
            // New labels have been added by then.
            self.both(
                id,
                |it| it.types.get(name),
                |from, to| types::alter(name, from, to),
            );
        }
    }

    /// The columns that a new type takes along: those that are of it, and of another type afterwards, maybe.
    fn uses(&self, name: &QualifiedName) -> Vec<types::Use<'a>> {
        let (plain, array) = (name.to_string(), format!("{name}[]"));
        let mut uses = Vec::new();
        for (table_name, table) in &self.context.have.tables {
            for have in &table.columns {
                let of_it = have.data_type == plain || have.data_type == array;
                let wanted = self.context.want.tables.get(table_name);
                let Some(want) = wanted.and_then(|table| table.column(&have.name)) else {
                    continue;
                };
                if of_it && !have.inherited {
                    uses.push(types::Use {
                        table: table_name,
                        have,
                        want,
                    });
                }
            }
        }
        uses
    }

    fn alter_table(&mut self, id: &ObjectId, name: &QualifiedName) -> Result<(), PlanError> {
        let Some((have, want)) = self.sides(|it| it.tables.get(name)) else {
            return Ok(());
        };
        if have.partition_key != want.partition_key {
            return Err(PlanError::Unsupported {
                object: id.clone(),
                why: "how a table is partitioned is decided when it is created".to_owned(),
            });
        }
        self.both(
            id,
            |it| it.tables.get(name),
            |from, to| tables::alter(name, from, to),
        );
        let by_index = tables::by_index(have) || tables::by_index(want);
        if have.replica_identity != want.replica_identity && by_index {
            let pair = tables::identity_pair(name, Some(have), want);
            self.put(Verb::Attach, id, Class::Quick, pair);
        }
        Ok(())
    }

    fn alter_column(&mut self, id: &ObjectId, relation: &QualifiedName) -> Result<(), PlanError> {
        let Some(have) = find::column(self.context.have, id) else {
            self.view_column(relation);
            return Ok(());
        };
        let Some(want) = find::column(self.context.want, id) else {
            return Ok(());
        };
        let mut have = have.clone();
        if have.inherited && want.inherited {
            // These reach it from its parent.
            have.data_type.clone_from(&want.data_type);
            have.collation.clone_from(&want.collation);
            have.generated.clone_from(&want.generated);
        }
        if self.actions.detached.contains(id) {
            // It goes before the sequence comes that has its name.
            have.identity = None;
        }
        let bare = have.data_type.strip_suffix("[]").unwrap_or(&have.data_type);
        let comes_along = !have.inherited
            && self.actions.anew.iter().any(|it| match it {
                ObjectId::Type { name } => bare == name.to_string(),
                _ => false,
            });
        let another = columns::is_another(&have, want);
        let staged = want.not_null
            && !have.not_null
            && self.in_use(relation)
            && !(have.identity.is_none() && want.identity.is_some())
            && !another;
        let except = Except {
            not_null: staged,
            default: comes_along || self.actions.detached.contains(id),
            data_type: comes_along,
        };
        let pair = if another && have.generated.is_some() == want.generated.is_some() {
            let bare = want.default.is_none() && want.identity.is_none() && want.generated.is_none();
            if want.not_null && bare {
                return Err(PlanError::NoCast {
                    column: format!("{relation}.{}", quote_ident(&want.name)),
                    from: have.data_type,
                    to: want.data_type.clone(),
                });
            }
            columns::replace(self.context, relation, &have, want)
        } else {
            columns::change(relation, &have, want, except)
        };
        self.put(Verb::Make, id, Class::Quick, pair);
        if staged {
            self.not_null(id, relation, &want.name);
        }
        Ok(())
    }

    /// A view's column has its comment and default from the view's own steps.
    pub(super) fn view_column(&mut self, relation: &QualifiedName) {
        let id = ObjectId::View {
            name: relation.clone(),
        };
        if self.actions.is(&id, |_| true) || self.graph.has(&Key::new(Verb::Make, &id)) {
            return;
        }
        self.alter_view(&id, relation);
    }

    fn alter_view(&mut self, id: &ObjectId, name: &QualifiedName) {
        self.both(
            id,
            |it| it.views.get(name),
            |from, to| views::alter(name, from, to),
        );
    }

    pub(super) fn detach(&mut self, id: &ObjectId) {
        let ObjectId::Column { relation, name } = id else {
            return;
        };
        let set = |default: Option<&String>| {
            let name = quote_ident(name);
            let action = match default {
                Some(default) => format!("SET DEFAULT {default}"),
                None => "DROP DEFAULT".to_owned(),
            };
            Step::new(format!("ALTER TABLE {relation} ALTER COLUMN {name} {action};\n"))
        };
        let default = |catalog: &'a Catalog| find::column(catalog, id)?.default.as_ref();
        let (have, want) = (default(self.context.have), default(self.context.want));
        let column = find::column(self.context.have, id);
        let identity = column.and_then(|column| column.identity.as_ref());
        let mut attach = Pair::new(set(want), set(None));
        let detach = match identity {
            Some(identity) => {
                let sequence = self
                    .context
                    .want
                    .dependencies
                    .of(id)
                    .find_map(|needed| match needed {
                        ObjectId::Sequence { name } => Some(name),
                        _ => None,
                    });
                if let Some(sequence) = sequence {
                    let sequence = crate::quote_literal(&sequence.to_string());
                    attach
                        .up
                        .sql
                        .push_str(&columns::continue_counting(relation, name, &sequence));
                }
                let goes_on = sequence.is_some();
                columns::drop_identity(relation, name, identity, goes_on)
            }
            None => Pair::new(set(None), set(have)),
        };
        self.put(Verb::Detach, id, Class::Quick, detach);
        if want.is_some() {
            self.put(Verb::Attach, id, Class::Quick, attach);
        }
    }

    pub(super) fn sequence_owner(&mut self, id: &ObjectId, verb: Verb) {
        let ObjectId::Sequence { name } = id else { return };
        let catalog = if verb == Verb::Own {
            self.context.want
        } else {
            self.context.have
        };
        let owned_by = catalog.sequences.get(name).and_then(|it| it.owned_by.as_ref());
        if let Some(column) = owned_by {
            let pair = sequences::own(name, column);
            let pair = if verb == Verb::Own { pair } else { pair.flip() };
            self.put(verb, id, Class::Quick, pair);
        }
    }
}
