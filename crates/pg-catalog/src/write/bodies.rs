//! Bodies written as strings: what they mention comes before them.

use std::collections::BTreeSet;

use super::graph::{Class, Key, Verb};
use super::nodes::Nodes;
use super::words;
use crate::model::Catalog;
use crate::model::function::{Function, FunctionKind};
use crate::model::object::ObjectId;

impl Nodes<'_> {
    /// PostgreSQL does not know what a body written as a string uses, and yet looks at it when the function is created. What it mentions comes
    /// first, unless that needs the function. Functions for which it could not be so are returned.
    pub(super) fn bodies(&mut self) -> BTreeSet<Key> {
        let mut unchecked = BTreeSet::new();
        let keys: Vec<Key> = self.graph.nodes.keys().cloned().collect();
        let ids: Vec<ObjectId> = self.actions.of.keys().cloned().collect();
        for id in &ids {
            let ObjectId::Function { signature } = id else {
                continue;
            };
            let (made, gone) = (Key::new(Verb::Make, id), Key::new(Verb::Drop, id));
            let text = |catalog: &Catalog| {
                let found = catalog.functions.get(signature);
                found.filter(|it| is_string(it)).map(|it| it.body.clone())
            };
            if let Some(body) = text(self.context.want) {
                for key in &keys {
                    let mentioned =
                        key.verb == Verb::Make && *key != made && is_mentioned(&body, &key.object);
                    if mentioned && self.graph.has(&made) && !self.graph.rather_before(key, &made) {
                        unchecked.insert(made.clone());
                    }
                }
            }
            if let Some(body) = text(self.context.have) {
                let first = if self.graph.has(&gone) { &gone } else { &made };
                for key in &keys {
                    let mentioned =
                        key.verb == Verb::Drop && key != first && is_mentioned(&body, &key.object);
                    if mentioned && self.graph.has(first) && !self.graph.rather_before(first, key) {
                        unchecked.insert(first.clone());
                    }
                }
            }
        }
        unchecked.retain(|key| {
            self.graph
                .nodes
                .get(key)
                .is_some_and(|it| it.class == Class::Quick)
        });
        unchecked
    }
}

fn is_string(function: &Function) -> bool {
    let sql = function.language == "sql" && function.definition.contains("\nAS ");
    function.kind != FunctionKind::Aggregate && (sql || function.language == "plpgsql")
}

fn is_mentioned(body: &str, object: &ObjectId) -> bool {
    let name = match object {
        ObjectId::Type { name }
        | ObjectId::Sequence { name }
        | ObjectId::Table { name }
        | ObjectId::View { name }
        | ObjectId::Column { relation: name, .. } => &name.name,
        ObjectId::Function { signature } => &signature.name.name,
        ObjectId::Schema { name } => name,
        _ => return false,
    };
    words::mentions(body, name)
}
