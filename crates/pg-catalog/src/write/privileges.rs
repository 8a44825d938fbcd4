//! Grants on what stays, and its owners.

use super::graph::{Class, Verb};
use super::nodes::Nodes;
use super::owners::Held;
use super::{functions, grants, owners, words};
use crate::model::Catalog;
use crate::model::name::quote_ident;
use crate::model::object::ObjectId;

impl<'a> Nodes<'a> {
    /// Grants on an object, or on the relation that it is a column of.
    pub(super) fn grants(&mut self, on: &ObjectId) {
        let top = match on {
            ObjectId::Column { .. } => on.parent_where(|id| self.context.had.contains(id)),
            other => Some(other.clone()),
        };
        let Some(top) = top else { return };
        if self.actions.is(&top, |it| it.creates() || it.drops()) || self.actions.anew.contains(&top) {
            return;
        }
        if let Some((names, have, want)) = self.held(&top) {
            let (had, had_columns) = have.lasting(&want);
            let (wanted, columns) = want.lasting(&have);
            let pair = grants::pair(&names.granted, (&had, &had_columns), (&wanted, &columns));
            self.put(Verb::Grant, &top, Class::Quick, pair);
        }
    }

    /// Another owner, where it is another.
    pub(super) fn owner(&mut self, id: &ObjectId) {
        if let Some((names, have, want)) = self.held(id)
            && have.owner != want.owner
        {
            let pair = owners::pair(&names.target, &names.granted, have, want);
            self.put(Verb::Owner, id, Class::Quick, pair);
        }
    }

    fn held(&self, id: &ObjectId) -> Option<(Names, Held<'a>, Held<'a>)> {
        let (have, want) = (self.context.have, self.context.want);
        let held = |catalog: &'a Catalog| {
            Some(match id {
                ObjectId::Schema { name } => {
                    let it = catalog.schemas.get(name)?;
                    Held::new(&it.owner, &it.grants)
                }
                ObjectId::Type { name } => {
                    let it = catalog.types.get(name)?;
                    Held::new(&it.owner, &it.grants)
                }
                ObjectId::Sequence { name } => {
                    let it = catalog.sequences.get(name)?;
                    Held::new(&it.owner, &it.grants)
                }
                ObjectId::Function { signature } => {
                    let it = catalog.functions.get(signature)?;
                    Held::new(&it.owner, &it.grants)
                }
                ObjectId::Table { name } => {
                    let it = catalog.tables.get(name)?;
                    Held::new(&it.owner, &it.grants).columns(&it.columns)
                }
                ObjectId::View { name } => {
                    let it = catalog.views.get(name)?;
                    Held::new(&it.owner, &it.grants).columns(&it.columns)
                }
                _ => return None,
            })
        };
        let same = |target: String| Names {
            granted: target.clone(),
            target,
        };
        let names = match id {
            ObjectId::Schema { name } => same(format!("SCHEMA {}", quote_ident(name))),
            ObjectId::Sequence { name } => same(format!("SEQUENCE {name}")),
            ObjectId::Table { name } => same(format!("TABLE {name}")),
            ObjectId::Type { name } => Names {
                target: format!("{} {name}", words::data_type(want.types.get(name)?)),
                granted: format!("TYPE {name}"),
            },
            ObjectId::Function { signature } => {
                let function = want.functions.get(signature)?;
                Names {
                    target: words::function(signature, function),
                    granted: functions::granted(signature, function),
                }
            }
            ObjectId::View { name } => Names {
                target: format!("{} {name}", words::view(want.views.get(name)?)),
                granted: format!("TABLE {name}"),
            },
            _ => return None,
        };
        Some((names, held(have)?, held(want)?))
    }
}

/// What `ALTER` and what `GRANT … ON` calls it.
struct Names {
    target: String,
    granted: String,
}
