//! From two catalogues to a plan.

use std::collections::BTreeSet;

use super::actions::{Action, Actions};
use super::error::{Loss, PlanError};
use super::graph::{Class, Key, Verb};
use super::hints::Hints;
use super::nodes::Nodes;
use super::step::{Pair, Part, Step};
use super::{Context, Plan, PlanOptions, types};
use crate::error::Cycle;
use crate::model::object::ObjectId;
use crate::model::types::TypeDefinition;

pub(super) fn plan(context: &Context<'_>, hints: &Hints) -> Result<Plan, PlanError> {
    let mut first: Vec<Pair> = Vec::new();
    for rename in &hints.renames {
        first.push(Pair::new(Step::new(rename.sql()), Step::new(rename.undo_sql())));
    }
    let labels = labels(context)?;
    let alone = !labels.is_empty();
    first.extend(labels);

    let mut parts: Vec<(bool, Vec<Pair>)> = Vec::new();
    let mut losses = Vec::new();
    for (class, nodes) in ordered(context)? {
        let mut pairs = Vec::new();
        for (object, pair) in nodes {
            losses.extend(loss(&object, &pair));
            pairs.push(pair);
        }
        parts.push((class != Class::Alone, pairs));
    }
    if !losses.is_empty() && !context.options.allow_destructive {
        return Err(PlanError::Destructive(losses));
    }
    if !first.is_empty() {
        match parts.first_mut() {
            Some((true, pairs)) if !alone => {
                pairs.splice(0..0, first);
            }
            _ => parts.insert(0, (true, first)),
        }
    }
    let parts = parts
        .into_iter()
        .map(|(transactional, pairs)| part(transactional, pairs));
    Ok(Plan {
        parts: parts.collect(),
    })
}

fn part(transactional: bool, pairs: Vec<Pair>) -> Part {
    let mut part = Part {
        transactional,
        ..Part::default()
    };
    for pair in pairs {
        part.up.push(pair.up);
        part.down.insert(0, pair.down);
    }
    part.up.retain(|step| !step.sql.is_empty());
    part.down.retain(|step| !step.sql.is_empty());
    part
}

/// A part: its class, and of which object each step is.
type Written = (Class, Vec<(ObjectId, Pair)>);

/// The steps of everything but the renames and the labels, in parts.
fn ordered(context: &Context<'_>) -> Result<Vec<Written>, PlanError> {
    let mut forced = BTreeSet::new();
    loop {
        let actions = Actions::decide(context, &forced)?;
        let mut nodes = Nodes::new(context, &actions);
        nodes.fill()?;
        let unchecked = nodes.connect();
        let parts = match nodes.graph.schedule() {
            Ok(parts) => parts,
            Err(cycle) => {
                let forced_another = way_out(&actions, &cycle).is_some_and(|object| forced.insert(object));
                if !forced_another {
                    let objects: BTreeSet<ObjectId> = cycle.into_iter().map(|key| key.object).collect();
                    return Err(Cycle(objects.into_iter().collect()).into());
                }
                continue;
            }
        };
        let mut written = Vec::new();
        for (class, keys) in parts {
            let mut pairs = Vec::new();
            if keys.iter().any(|key| unchecked.contains(key)) {
                pairs.push((keys.first().map(|key| key.object.clone()), unchecked_bodies()));
            }
            for key in &keys {
                for pair in nodes.take(key, &keys) {
                    pairs.push((Some(key.object.clone()), pair));
                }
            }
            if keys.iter().any(|key| unchecked.contains(key)) {
                pairs.push((
                    keys.first().map(|key| key.object.clone()),
                    unchecked_bodies().flip(),
                ));
            }
            let named = pairs
                .into_iter()
                .filter_map(|(object, pair)| Some((object?, pair)));
            written.push((class, named.collect()));
        }
        return Ok(written);
    }
}

/// For bodies that mention what comes after them. At the start of the way there; at its end, flipped, the start of the way back.
fn unchecked_bodies() -> Pair {
    let off = Step::new("SET LOCAL check_function_bodies = off;\n");
    Pair::new(
        off.note("Two things mention one another, and one has to come first."),
        Step::default(),
    )
}

/// Of objects that wait for one another: one that can go and come back instead of being altered.
fn way_out(actions: &Actions, cycle: &BTreeSet<Key>) -> Option<ObjectId> {
    let altered = cycle.iter().filter(|key| {
        key.verb == Verb::Make
            && actions.is(&key.object, |it| *it == Action::Alter)
            && matches!(
                key.object,
                ObjectId::View { .. }
                    | ObjectId::Function { .. }
                    | ObjectId::Policy { .. }
                    | ObjectId::Trigger { .. }
                    | ObjectId::Constraint { .. }
            )
    });
    altered.map(|key| key.object.clone()).next()
}

fn loss(object: &ObjectId, pair: &Pair) -> Option<Loss> {
    let what = pair.up.destructive.clone()?;
    let hint = match object {
        ObjectId::Table { name } if pair.up.sql.contains("DROP TABLE ") => Some(format!("table:{name}=…")),
        ObjectId::Sequence { name } if pair.up.sql.contains("DROP SEQUENCE ") => {
            Some(format!("sequence:{name}=…"))
        }
        ObjectId::Column { relation, name } if pair.up.sql.contains(" DROP COLUMN ") => {
            Some(format!("column:{relation}.{}=…", crate::quote_ident(name)))
        }
        ObjectId::Type { name } if what.contains("value '") => Some(format!("value:{name}.old=new")),
        _ => None,
    };
    Some(Loss {
        object: object.clone(),
        what,
        hint,
    })
}

/// New labels of enums. They come first, and alone: a label can be used once it is committed. The way back makes the type anew, which is a plan
/// of its own, from the schema that differs in this only.
fn labels(context: &Context<'_>) -> Result<Vec<Pair>, PlanError> {
    let options = PlanOptions {
        allow_destructive: true,
        online: false,
        ..context.options.clone()
    };
    let mut before = context.have.clone();
    let mut pairs = Vec::new();
    for (name, want) in &context.want.types {
        let Some(have) = context.have.types.get(name) else {
            continue;
        };
        let (TypeDefinition::Enum { labels: had }, TypeDefinition::Enum { labels: wanted }) =
            (&have.definition, &want.definition)
        else {
            continue;
        };
        if types::change(have, want) != types::Change::Labels {
            continue;
        }
        let mut after = before.clone();
        if let Some(found) = after.types.get_mut(name) {
            found.definition = TypeDefinition::Enum {
                labels: wanted.clone(),
            };
        }
        let back = Plan::new(&after, &before, &Hints::default(), &options)?;
        let mut down = Step::default();
        for step in back.parts.into_iter().flat_map(|part| part.up) {
            down.sql.push_str(&step.sql);
            down.destructive = step.destructive.or(down.destructive);
            for note in step.notes {
                if !down.notes.contains(&note) {
                    down.notes.push(note);
                }
            }
        }
        pairs.push(Pair::new(types::add_labels(name, had, wanted), down));
        before = after;
    }
    Ok(pairs)
}
