//! How far an object is the same on both sides: whether it can be altered, or only has another name.

use super::{Context, constraints, find, functions, indexes, policies, views};
use crate::model::Catalog;
use crate::model::object::ObjectId;

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
