//! Functions, procedures and aggregates.

use super::step::{Pair, Script, Step};
use super::{grants, owners, words};
use crate::model::Catalog;
use crate::model::function::{Function, FunctionKind, Signature};

pub(super) fn create(catalog: &Catalog, signature: &Signature, function: &Function) -> Pair {
    let mut up = Script::default();
    up.add(function.definition.replacen("CREATE OR REPLACE ", "CREATE ", 1));
    let target = words::function(signature, function);
    let comment = words::comment(&target, None, function.comment.as_ref());
    comment.into_iter().for_each(|comment| up.add(comment));
    owners::of_new(&mut up, &target, &function.owner, catalog);
    let kind = (Some(signature.name.schema.as_str()), "FUNCTIONS");
    grants::of_new(
        &mut up,
        &granted(signature, function),
        catalog,
        kind,
        &function.owner,
        &function.grants,
    );
    let mut down = Script::default();
    down.add(format!("DROP {target}"));
    Pair::new(up.step(), down.step())
}

/// As `GRANT` calls it, which knows no aggregates.
pub(super) fn granted(signature: &Signature, function: &Function) -> String {
    match function.kind {
        FunctionKind::Procedure => format!("PROCEDURE {signature}"),
        _ => format!("FUNCTION {signature}"),
    }
}

/// Whether `CREATE OR REPLACE` makes one of the other, both ways.
pub(super) fn in_place(have: &Function, want: &Function) -> bool {
    let shape = |function: &Function| {
        (
            function.kind,
            function.window,
            function.arguments.clone(),
            function.returns.clone(),
        )
    };
    let aggregate = have.kind == FunctionKind::Aggregate;
    shape(have) == shape(want) && (!aggregate || have.definition == want.definition)
}

pub(super) fn alter(signature: &Signature, from: &Function, to: &Function) -> Step {
    let mut script = Script::default();
    let unowned = |function: &Function| Function {
        owner: String::new(),
        comment: None,
        grants: Default::default(),
        definition: String::new(),
        ..function.clone()
    };
    if unowned(from) != unowned(to) {
        script.add(&to.definition);
    }
    let target = words::function(signature, to);
    let comment = words::comment(&target, from.comment.as_ref(), to.comment.as_ref());
    comment.into_iter().for_each(|comment| script.add(comment));
    script.step()
}
