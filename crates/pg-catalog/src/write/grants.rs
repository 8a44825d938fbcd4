//! Grants and default privileges.

use super::step::{Pair, Script};
use super::words;
use crate::model::grant::{DefaultPrivilegesKey, Grants, Privileges};
use crate::model::name::quote_ident;
use crate::model::table::Column;
use crate::model::{Catalog, OWNER, PUBLIC};

/// Grants of privileges on something, as `GRANT` and `REVOKE` lead from one to the other. `of` stands after each privilege: the column.
fn change(script: &mut Script, target: &str, of: &str, from: &Grants, to: &Grants) {
    let none = Privileges::default();
    for (grantee, had) in from {
        let kept = to.get(grantee).unwrap_or(&none);
        let gone = had.0.keys().filter(|privilege| !kept.0.contains_key(*privilege));
        if let Some(list) = list(gone, of) {
            script.add(format!("REVOKE {list} ON {target} FROM {}", words::role(grantee)));
        }
        let not_on = had
            .0
            .iter()
            .filter(|(privilege, on)| **on && kept.0.get(*privilege) == Some(&false))
            .map(|(privilege, _)| privilege);
        if let Some(list) = list(not_on, of) {
            script.add(format!(
                "REVOKE GRANT OPTION FOR {list} ON {target} FROM {}",
                words::role(grantee)
            ));
        }
    }
    for (grantee, wanted) in to {
        let had = from.get(grantee).unwrap_or(&none);
        for (grantable, suffix) in [(false, ""), (true, " WITH GRANT OPTION")] {
            let new = wanted
                .0
                .iter()
                .filter(|(privilege, on)| {
                    **on == grantable && had.0.get(*privilege).is_none_or(|had| grantable && !*had)
                })
                .map(|(privilege, _)| privilege);
            if let Some(list) = list(new, of) {
                let grantee = words::role(grantee);
                script.add(format!("GRANT {list} ON {target} TO {grantee}{suffix}"));
            }
        }
    }
}

fn list<'a>(privileges: impl Iterator<Item = &'a String>, of: &str) -> Option<String> {
    let list: Vec<String> = privileges.map(|privilege| format!("{privilege}{of}")).collect();
    (!list.is_empty()).then(|| list.join(", "))
}

/// The kind of object, as `ALTER DEFAULT PRIVILEGES` calls it; and what `PUBLIC` may do with one from birth.
fn born_with(objects: &str) -> Grants {
    let privilege = match objects {
        "FUNCTIONS" => "EXECUTE",
        "TYPES" => "USAGE",
        _ => return Grants::new(),
    };
    let privileges = Privileges([(privilege.to_owned(), false)].into());
    Grants::from([(PUBLIC.to_owned(), privileges)])
}

fn defaults<'a>(catalog: &'a Catalog, schema: Option<&str>, objects: &str) -> Option<&'a Grants> {
    let found = catalog.default_privileges.iter().find(|entry| {
        (entry.key.role == OWNER || entry.key.role == catalog.database_owner)
            && entry.key.schema.as_deref() == schema
            && entry.key.objects == objects
    });
    found.map(|entry| &entry.grants)
}

/// Grants on a new object. What default privileges add is taken away where it is not wanted; what is wanted is granted even where default
/// privileges would do it, for they are those of one role, and another may run the migration.
pub(super) fn of_new(
    script: &mut Script,
    target: &str,
    catalog: &Catalog,
    (schema, objects): (Option<&str>, &str),
    owner: &str,
    wanted: &Grants,
) {
    let global = defaults(catalog, None, objects);
    let mut from = global.cloned().unwrap_or_else(|| born_with(objects));
    for (grantee, privileges) in defaults(catalog, schema, objects).into_iter().flatten() {
        from.entry(grantee.clone())
            .or_default()
            .0
            .extend(privileges.0.clone());
    }
    // What belongs to the owner is not a grant.
    from.remove(owner);
    for (grantee, privileges) in &mut from {
        let wanted = wanted.get(grantee);
        privileges.0.retain(|privilege, _| {
            let kept = wanted.is_some_and(|wanted| wanted.0.contains_key(privilege));
            !kept || (grantee == PUBLIC && global.is_none() && born_with(objects).contains_key(PUBLIC))
        });
    }
    change(script, target, "", &from, wanted);
}

/// Grants on an object that stays; on a relation's columns, too, that do. A `REVOKE` on the whole also revokes from each column:
/// the whole comes first, and what it took is given again.
pub(super) fn pair(target: &str, have: (&Grants, &[Column]), want: (&Grants, &[Column])) -> Pair {
    let side = |from: (&Grants, &[Column]), to: (&Grants, &[Column])| {
        let mut script = Script::default();
        change(&mut script, target, "", from.0, to.0);
        for wanted in to.1 {
            let Some(had) = from.1.iter().find(|column| column.name == wanted.name) else {
                continue;
            };
            let mut left = had.grants.clone();
            for (grantee, privileges) in &mut left {
                let whole = |grants: &Grants, privilege: &String| {
                    grants
                        .get(grantee)
                        .is_some_and(|privileges| privileges.0.contains_key(privilege))
                };
                privileges
                    .0
                    .retain(|privilege, _| !whole(from.0, privilege) || whole(to.0, privilege));
            }
            left.retain(|_, privileges| !privileges.0.is_empty());
            let of = format!(" ({})", quote_ident(&wanted.name));
            change(&mut script, target, &of, &left, &wanted.grants);
        }
        script.step()
    };
    Pair::new(side(have, want), side(want, have))
}

/// Grants where there are none yet.
pub(super) fn grant_all(script: &mut Script, target: &str, of: &str, wanted: &Grants) {
    change(script, target, of, &Grants::new(), wanted);
}

/// Grants on a new column.
pub(super) fn of_new_column(script: &mut Script, table: &str, column: &Column) {
    let of = format!(" ({})", quote_ident(&column.name));
    change(script, table, &of, &Grants::new(), &column.grants);
}

/// `ALTER DEFAULT PRIVILEGES`.
pub(super) fn default_privileges(
    key: &DefaultPrivilegesKey,
    have: Option<&Grants>,
    want: Option<&Grants>,
) -> Pair {
    let born = match key.schema {
        Some(_) => Grants::new(),
        None => born_with(&key.objects),
    };
    let (have, want) = (have.unwrap_or(&born), want.unwrap_or(&born));
    let side = |from, to| {
        let mut script = Script::default();
        change(&mut script, &key.objects, "", from, to);
        let role = match key.role.as_str() {
            OWNER => String::new(),
            name => format!(" FOR ROLE {}", quote_ident(name)),
        };
        let schema = key.schema.as_ref();
        let schema = schema.map_or_else(String::new, |name| format!(" IN SCHEMA {}", quote_ident(name)));
        let mut whole = Script::default();
        for line in script.0.lines() {
            whole.append(&format!("ALTER DEFAULT PRIVILEGES{role}{schema} {line}\n"));
        }
        whole.step()
    };
    Pair::new(side(have, want), side(want, have))
}
