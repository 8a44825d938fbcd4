//! How far an object is the same on both sides: whether it can be altered, or only has another name.

use super::{Context, constraints, find, functions, indexes, policies, views};
use crate::model::Catalog;
use crate::model::object::ObjectId;
use crate::model::table::{Constraint, ConstraintKind, Index, Table};

/// Whether they are one constraint, or one index, under two names.
pub(super) fn is_renamed(context: &Context<'_>, old: &ObjectId, new: &ObjectId) -> bool {
    match (old, new) {
        (
            ObjectId::Constraint { relation, name: old },
            ObjectId::Constraint {
                relation: to,
                name: new,
            },
        ) if relation == to => {
            let found = (
                find::constraint(context.have, relation, old),
                find::constraint(context.want, relation, new),
            );
            matches!(found, (Some(a), Some(b)) if constraints::same(a, b))
        }
        (
            ObjectId::Index { relation, name: old },
            ObjectId::Index {
                relation: to,
                name: new,
            },
        ) if relation == to => {
            let found = (
                find::index(context.have, relation, old),
                find::index(context.want, relation, new),
            );
            matches!(found, (Some(a), Some(b)) if indexes::same(relation, (old, a), (new, b)))
        }
        _ => false,
    }
}

/// Whether a table that is attached has this index of its parent already, so that it becomes that one's part.
pub(super) fn has_part_of(of_parent: &Index, parent: &Table, alone: &Table, attached: &Table) -> bool {
    // PostgreSQL looks at neither the order of an index nor its storage.
    let nearly = |own: &Index| {
        let what = |it: &Index| {
            (
                it.columns.clone(),
                it.unique,
                it.method.clone(),
                it.predicate.clone(),
            )
        };
        what(of_parent) == what(own) && !parent.indexes.values().any(|it| are_twins(it, own))
    };
    alone.indexes.iter().any(|(name, own)| {
        are_twins(of_parent, own) || attached.of_parent.indexes.contains_key(name) && nearly(own)
    })
}

/// Whether one is to a partitioned table what the other is to a partition.
pub(super) fn are_twins(of_parent: &Index, of_partition: &Index) -> bool {
    let form = |index: &Index| {
        let (_, form) = index.definition.split_once(" USING ")?;
        Some((index.unique, form.to_owned()))
    };
    form(of_parent) == form(of_partition)
}

/// As [`are_twins`], of constraints and their names: only checks must have the same.
pub(super) fn are_twin_constraints(
    of_parent: (&String, &Constraint),
    of_partition: (&String, &Constraint),
) -> bool {
    constraints::same(of_parent.1, of_partition.1)
        && (of_parent.1.kind != ConstraintKind::Check || of_parent.0 == of_partition.0)
}

/// Whether an object that is on both sides, and differs, can be altered, there and back.
pub(super) fn in_place(context: &Context<'_>, id: &ObjectId) -> bool {
    match id {
        ObjectId::View { name } => both(context, |it| it.views.get(name), views::in_place),
        ObjectId::Function { signature } => {
            both(context, |it| it.functions.get(signature), functions::in_place)
        }
        ObjectId::Trigger { relation, name } => both(
            context,
            |it| find::trigger(it, relation, name),
            |have, want| have.definition == want.definition,
        ),
        ObjectId::Policy { relation, name } => {
            both(context, |it| find::policy(it, relation, name), policies::in_place)
        }
        ObjectId::Constraint { relation, name } => both(
            context,
            |it| find::constraint(it, relation, name),
            constraints::in_place,
        ),
        ObjectId::DomainConstraint { domain, name } => both(
            context,
            |it| find::domain_constraint(it, domain, name),
            constraints::in_place,
        ),
        ObjectId::Column { .. } => both(
            context,
            |it| find::column(it, id),
            |have, want| {
                have.generated == want.generated || have.generated.is_none() || want.generated.is_none()
            },
        ),
        ObjectId::Other { class, identity } => both(
            context,
            |it| find::other(it, class, identity),
            |have, want| have.definition == want.definition,
        ),
        _ => true,
    }
}

fn both<'a, T: 'a>(
    context: &Context<'a>,
    find: impl Fn(&'a Catalog) -> Option<&'a T>,
    test: impl Fn(&T, &T) -> bool,
) -> bool {
    match (find(context.have), find(context.want)) {
        (Some(have), Some(want)) => test(have, want),
        _ => true,
    }
}
