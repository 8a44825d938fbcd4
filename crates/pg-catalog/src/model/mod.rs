//! The schema as a value: one struct for each kind of object, and the catalogue that holds them by name.

pub(crate) mod facts;
pub(crate) mod function;
pub(crate) mod grant;
pub(crate) mod name;
pub(crate) mod object;
mod objects;
pub(crate) mod sequence;
pub(crate) mod table;
pub(crate) mod types;
pub(crate) mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::order::Dependencies;
use facts::{Facts, facts};
use function::{Function, Signature};
use grant::{DefaultPrivileges, Grants};
use name::QualifiedName;
use sequence::Sequence;
use table::Table;
use types::Type;
use view::View;

/// Everyone, as a grantee or in a policy's roles.
pub const PUBLIC: &str = "PUBLIC";

/// Stands for the role that owns the database, see [`Options::symbolic_owner`](crate::Options::symbolic_owner).
pub const OWNER: &str = "@owner";

/// The schema of a database. What it holds is what [`Catalog::read`] was told to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// `server_version_num` of the server it was read from: 150018. Not compared.
    pub server_version: i32,
    /// Role that owns the database, its real name. Not compared.
    pub database_owner: String,
    /// Schemas.
    pub schemas: BTreeMap<String, Schema>,
    /// Extensions.
    pub extensions: BTreeMap<String, Extension>,
    /// Enums, domains, composite types and ranges.
    pub types: BTreeMap<QualifiedName, Type>,
    /// Sequences that are not behind an identity column.
    pub sequences: BTreeMap<QualifiedName, Sequence>,
    /// Tables with all that is theirs.
    pub tables: BTreeMap<QualifiedName, Table>,
    /// Views and materialized views.
    pub views: BTreeMap<QualifiedName, View>,
    /// Functions, procedures and aggregates.
    pub functions: BTreeMap<Signature, Function>,
    /// `ALTER DEFAULT PRIVILEGES`, in order of their keys.
    pub default_privileges: Vec<DefaultPrivileges>,
    /// What has no type of its own here, in order.
    pub others: Vec<OtherObject>,
    /// Who needs whom. Not compared.
    pub(crate) dependencies: Dependencies,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// Role that owns it. Of `public` not compared: `pg_database_owner` since 15, the server's first superuser before.
    pub owner: String,
    /// `COMMENT ON SCHEMA`.
    pub comment: Option<String>,
    /// Grants.
    pub grants: Grants,
}

impl Schema {
    pub(crate) fn facts(&self, name: &str) -> Facts {
        let mut facts = facts!(Schema of self; compared: owner, comment; not: grants);
        if name == "public" {
            facts.remove("owner");
        }
        facts
    }
}

/// An extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// Schema its objects are in.
    pub schema: String,
    /// Version. Not compared: it comes with the server, and an upgraded server keeps the old one. pg_dump leaves it out too.
    pub version: String,
    /// What it has, in order of class and identity. Not compared: it follows from the version, unless somebody has put something in or
    /// replaced it, which [`Extension::members_as_objects`] is for.
    #[serde(default)]
    pub members: Vec<Member>,
}

impl Extension {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Extension of self; compared: schema; not: version, members)
    }

    /// Its members as objects that are compared when put into [`Catalog::others`]: `function of extension pgcrypto`, with definition, owner
    /// and grants.
    pub fn members_as_objects<'a>(&'a self, name: &'a str) -> impl Iterator<Item = OtherObject> + 'a {
        self.members.iter().map(move |member| {
            let mut definition = format!("{}; OWNER {}", member.definition, member.owner);
            for (role, privileges) in &member.grants {
                definition.push_str(&format!("; GRANT {privileges} TO {role}"));
            }
            OtherObject {
                class: format!("{} of extension {name}", member.class),
                identity: member.identity.clone(),
                definition: Some(definition),
                comment: None,
            }
        })
    }
}

/// An object that belongs to an extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Kind as PostgreSQL calls it.
    pub class: String,
    /// Identity as `pg_identify_object` gives it.
    pub identity: String,
    /// What it is, as far as PostgreSQL can print it: a function's whole statement, a table's columns, a view's query.
    pub definition: String,
    /// Role that owns it; `a superuser` for any superuser, for the script of a trusted extension runs as one.
    pub owner: String,
    /// Grants.
    pub grants: Grants,
    /// Whether it can lead to what the caller may not reach otherwise: a table; a view on something that is no extension's; a function that is
    /// SECURITY DEFINER or does not belong to a superuser; an event trigger.
    pub exposed: bool,
}

/// An object of a rarer kind, so that none goes unseen: event trigger, publication, subscription, foreign table, server and data
/// wrapper, user mapping, collation, conversion, operator with its classes and families, cast, base type, language, rule,
/// extended statistics, text search object, transform, access method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherObject {
    /// Kind as PostgreSQL calls it.
    pub class: String,
    /// Identity as `pg_identify_object` gives it.
    pub identity: String,
    /// For rules and extended statistics, which PostgreSQL can print; of all others only being there and the comment are compared.
    pub definition: Option<String>,
    /// `COMMENT ON …`.
    pub comment: Option<String>,
}

impl OtherObject {
    pub(crate) fn facts(&self) -> Facts {
        facts!(OtherObject of self; compared: definition, comment; not: class, identity)
    }
}
