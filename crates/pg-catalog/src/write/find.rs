//! Where an object is in a catalogue.

use crate::model::grant::{DefaultPrivilegesKey, Grants};
use crate::model::name::QualifiedName;
use crate::model::object::ObjectId;
use crate::model::table::{Column, Constraint, Index, Policy, Table, Trigger};
use crate::model::{Catalog, OtherObject};

/// A table's column; a view's is none of these.
pub(super) fn column<'a>(catalog: &'a Catalog, id: &ObjectId) -> Option<&'a Column> {
    let ObjectId::Column { relation, name } = id else {
        return None;
    };
    catalog.tables.get(relation)?.column(name)
}

pub(super) fn constraint<'a>(
    catalog: &'a Catalog,
    table: &QualifiedName,
    name: &str,
) -> Option<&'a Constraint> {
    catalog.tables.get(table)?.constraints.get(name)
}

pub(super) fn domain_constraint<'a>(
    catalog: &'a Catalog,
    domain: &QualifiedName,
    name: &str,
) -> Option<&'a Constraint> {
    catalog.types.get(domain)?.constraints.get(name)
}

pub(super) fn policy<'a>(catalog: &'a Catalog, table: &QualifiedName, name: &str) -> Option<&'a Policy> {
    catalog.tables.get(table)?.policies.get(name)
}

pub(super) fn index<'a>(catalog: &'a Catalog, relation: &QualifiedName, name: &str) -> Option<&'a Index> {
    let table = catalog.tables.get(relation).map(|table| &table.indexes);
    let view = catalog.views.get(relation).map(|view| &view.indexes);
    table.or(view)?.get(name)
}

pub(super) fn trigger<'a>(catalog: &'a Catalog, relation: &QualifiedName, name: &str) -> Option<&'a Trigger> {
    let table = catalog.tables.get(relation).map(|table| &table.triggers);
    let view = catalog.views.get(relation).map(|view| &view.triggers);
    table.or(view)?.get(name)
}

pub(super) fn other<'a>(catalog: &'a Catalog, class: &str, identity: &str) -> Option<&'a OtherObject> {
    let mut others = catalog.others.iter();
    others.find(|it| it.class == class && it.identity == identity)
}

pub(super) fn default_privileges<'a>(catalog: &'a Catalog, key: &DefaultPrivilegesKey) -> Option<&'a Grants> {
    let mut all = catalog.default_privileges.iter();
    all.find(|it| it.key == *key).map(|it| &it.grants)
}

/// The column of a parent that an inherited one comes from.
pub(super) fn parent_column<'a>(catalog: &'a Catalog, table: &Table, column: &str) -> Option<&'a Column> {
    let mut parents = table.partition_of.iter().chain(&table.inherits);
    parents.find_map(|parent| catalog.tables.get(parent)?.column(column))
}
