use std::collections::{BTreeMap, BTreeSet};

use super::Catalog;
use super::facts::{Attribute as _, Facts};
use super::grant::Grants;
use super::name::QualifiedName;
use super::object::ObjectId;
use super::table::{Column, Index, Table, Trigger};
use super::view::View;

/// Takes an object, and how to find what of it is compared.
type Visit<'a> = &'a mut dyn FnMut(ObjectId, &dyn Fn() -> Facts);

impl Catalog {
    /// Every object, with those of its attributes that are compared.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<ObjectId, Facts> {
        let mut all = BTreeMap::new();
        self.walk(&mut |id, facts| {
            all.insert(id, facts());
        });
        all
    }

    /// Every object.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<ObjectId> {
        let mut all = BTreeSet::new();
        self.walk(&mut |id, _| {
            all.insert(id);
        });
        all
    }

    fn walk(&self, visit: Visit<'_>) {
        for (name, schema) in &self.schemas {
            let id = ObjectId::Schema { name: name.clone() };
            walk_grants(visit, &id, &schema.grants);
            visit(id, &|| schema.facts(name));
        }
        for (name, extension) in &self.extensions {
            visit(ObjectId::Extension { name: name.clone() }, &|| extension.facts());
        }
        for other in &self.others {
            let id = ObjectId::Other {
                class: other.class.clone(),
                identity: other.identity.clone(),
            };
            visit(id, &|| other.facts());
        }
        for (name, data_type) in &self.types {
            for (constraint_name, constraint) in &data_type.constraints {
                let id = ObjectId::DomainConstraint {
                    domain: name.clone(),
                    name: constraint_name.clone(),
                };
                visit(id, &|| constraint.facts());
            }
            let id = ObjectId::Type { name: name.clone() };
            walk_grants(visit, &id, &data_type.grants);
            visit(id, &|| data_type.facts());
        }
        for (name, sequence) in &self.sequences {
            let id = ObjectId::Sequence { name: name.clone() };
            walk_grants(visit, &id, &sequence.grants);
            visit(id, &|| sequence.facts());
        }
        for (name, table) in &self.tables {
            self.walk_table(visit, name, table);
        }
        for (name, view) in &self.views {
            walk_view(visit, name, view);
        }
        for (signature, function) in &self.functions {
            let id = ObjectId::Function {
                signature: signature.clone(),
            };
            walk_grants(visit, &id, &function.grants);
            visit(id, &|| function.facts());
        }
        for defaults in &self.default_privileges {
            visit(ObjectId::DefaultPrivileges(defaults.key.clone()), &|| {
                defaults.facts()
            });
        }
    }

    fn walk_table(&self, visit: Visit<'_>, name: &QualifiedName, table: &Table) {
        for column in &table.columns {
            let id = column_id(name, column);
            walk_grants(visit, &id, &column.grants);
            if !column.inherited {
                visit(id, &|| column.facts());
                continue;
            }
            let own = column.facts_beside(self.parent_column(table, &column.name));
            if !own.is_empty() {
                visit(id, &|| own.clone());
            }
        }
        for (constraint_name, constraint) in &table.constraints {
            let id = ObjectId::Constraint {
                relation: name.clone(),
                name: constraint_name.clone(),
            };
            visit(id, &|| constraint.facts());
        }
        walk_indexes(visit, name, &table.indexes);
        walk_triggers(visit, name, &table.triggers);
        for (policy_name, policy) in &table.policies {
            let id = ObjectId::Policy {
                relation: name.clone(),
                name: policy_name.clone(),
            };
            visit(id, &|| policy.facts());
        }
        let id = ObjectId::Table { name: name.clone() };
        walk_grants(visit, &id, &table.grants);
        visit(id, &|| table.facts());
    }

    /// The column that an inherited one comes from.
    fn parent_column(&self, table: &Table, column: &str) -> Option<&Column> {
        table
            .partition_of
            .iter()
            .chain(&table.inherits)
            .find_map(|parent| self.tables.get(parent)?.column(column))
    }
}

fn walk_view(visit: Visit<'_>, name: &QualifiedName, view: &View) {
    for column in &view.columns {
        let id = column_id(name, column);
        walk_grants(visit, &id, &column.grants);
        if column.comment.is_some() || column.default.is_some() {
            visit(id, &|| {
                Facts::from([
                    ("comment", column.comment.value()),
                    ("default", column.default.value()),
                ])
            });
        }
    }
    walk_indexes(visit, name, &view.indexes);
    walk_triggers(visit, name, &view.triggers);
    let id = ObjectId::View { name: name.clone() };
    walk_grants(visit, &id, &view.grants);
    visit(id, &|| view.facts());
}

fn walk_indexes(visit: Visit<'_>, relation: &QualifiedName, indexes: &BTreeMap<String, Index>) {
    for (name, index) in indexes {
        let id = ObjectId::Index {
            relation: relation.clone(),
            name: name.clone(),
        };
        visit(id, &|| index.facts());
    }
}

fn walk_triggers(visit: Visit<'_>, relation: &QualifiedName, triggers: &BTreeMap<String, Trigger>) {
    for (name, trigger) in triggers {
        let id = ObjectId::Trigger {
            relation: relation.clone(),
            name: name.clone(),
        };
        visit(id, &|| trigger.facts());
    }
}

fn walk_grants(visit: Visit<'_>, on: &ObjectId, grants: &Grants) {
    for (grantee, privileges) in grants {
        let id = ObjectId::Grant {
            on: Box::new(on.clone()),
            grantee: grantee.clone(),
        };
        visit(id, &|| privileges.facts());
    }
}

fn column_id(relation: &QualifiedName, column: &Column) -> ObjectId {
    ObjectId::Column {
        relation: relation.clone(),
        name: column.name.clone(),
    }
}
