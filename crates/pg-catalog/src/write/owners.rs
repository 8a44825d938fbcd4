//! Owners, where they are not who creates.

use super::step::{Pair, Script};
use super::{grants, words};
use crate::model::grant::Grants;
use crate::model::name::quote_ident;
use crate::model::table::Column;
use crate::model::{Catalog, OWNER};

/// Who creates something owns it: that is the owner of the database.
pub(super) fn of_new(script: &mut Script, target: &str, owner: &str, catalog: &Catalog) {
    if owner != OWNER && owner != catalog.database_owner {
        script.add(format!("ALTER {target} OWNER TO {}", words::role(owner)));
    }
}

/// An object's owner and what others may do with it.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    pub(super) owner: &'a str,
    pub(super) grants: &'a Grants,
    /// Columns, of a relation.
    pub(super) columns: &'a [Column],
}

impl<'a> Held<'a> {
    pub(super) fn new(owner: &'a str, grants: &'a Grants) -> Self {
        Self {
            owner,
            grants,
            columns: &[],
        }
    }

    pub(super) fn columns(mut self, columns: &'a [Column]) -> Self {
        self.columns = columns;
        self
    }

    /// Grants of the whole and of its columns, but for those to two owners that change places.
    pub(super) fn lasting(&self, other: &Self) -> (Grants, Vec<Column>) {
        let owners = [self.owner, other.owner];
        let lasting = |grants: &Grants| {
            let mut grants = grants.clone();
            grants.retain(|grantee, _| self.owner == other.owner || !owners.contains(&grantee.as_str()));
            grants
        };
        let columns = self.columns.iter().map(|column| Column {
            grants: lasting(&column.grants),
            ..column.clone()
        });
        (lasting(self.grants), columns.collect())
    }
}

/// Another owner. What the new one was granted becomes its own, and the old one is left with nothing: the grants to these two are part of it.
pub(super) fn pair(target: &str, grant_target: &str, have: Held<'_>, want: Held<'_>) -> Pair {
    let side = |from: Held<'_>, to: Held<'_>| {
        let mut script = Script::default();
        script.add(format!("ALTER {target} OWNER TO {}", words::role(to.owner)));
        let to_old_owner = |grants: &Grants| {
            let mut grants = grants.clone();
            grants.retain(|grantee, _| grantee == from.owner);
            grants
        };
        grants::grant_all(&mut script, grant_target, "", &to_old_owner(to.grants));
        for column in to.columns {
            let of = format!(" ({})", quote_ident(&column.name));
            // A column that comes or goes has its grants with it.
            if from.columns.iter().any(|it| it.name == column.name) {
                grants::grant_all(&mut script, grant_target, &of, &to_old_owner(&column.grants));
            }
        }
        script.step()
    };
    Pair::new(side(have, want), side(want, have))
}
