use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Value};
use super::name::quote_ident;

/// Grants on one object: role, or `PUBLIC`, and what it may do. What a NULL ACL stands for is spelled out (`EXECUTE` on
/// functions and `USAGE` on types for `PUBLIC`); what the owner may do is left out.
pub type Grants = BTreeMap<String, Privileges>;

/// Privileges of one role on one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Privileges(
    /// Privilege (`SELECT`), and whether its holder may grant it on.
    pub BTreeMap<String, bool>,
);

impl Privileges {
    pub(crate) fn words(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(privilege, grantable)| {
                let suffix = if *grantable { " with grant option" } else { "" };
                format!("{privilege}{suffix}")
            })
            .collect()
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts::from([("privileges", Value::List(self.words()))])
    }
}

impl fmt::Display for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(", "))
    }
}

/// Whose new objects, where, and of which kind a default privilege is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DefaultPrivilegesKey {
    /// Whose new objects.
    pub role: String,
    /// In which schema; `None` for all.
    pub schema: Option<String>,
    /// Of which kind, as in SQL: `TABLES`, `SEQUENCES`, `FUNCTIONS`, `TYPES`, `SCHEMAS`, `LARGE OBJECTS`.
    pub objects: String,
}

impl fmt::Display for DefaultPrivilegesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {}", Role(&self.role))?;
        if let Some(schema) = &self.schema {
            write!(f, " in {}", quote_ident(schema))?;
        }
        write!(f, " on {}", self.objects.to_lowercase())
    }
}

/// `ALTER DEFAULT PRIVILEGES` of one role, place and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultPrivileges {
    /// Key.
    #[serde(flatten)]
    pub key: DefaultPrivilegesKey,
    /// To whom. In a schema these are added to the global ones; without one they replace the built-in ones, so that a missing
    /// `PUBLIC` on functions means that it was revoked.
    pub grants: Grants,
}

impl DefaultPrivileges {
    pub(crate) fn facts(&self) -> Facts {
        let grants = self
            .grants
            .iter()
            .map(|(role, privileges)| format!("{}: {privileges}", Role(role)))
            .collect();
        Facts::from([("grants", Value::List(grants))])
    }
}

/// A role's name for people: `PUBLIC` and `@owner` as they are.
pub(crate) struct Role<'a>(pub &'a str);

impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            plain @ (super::PUBLIC | super::OWNER) => f.write_str(plain),
            name => f.write_str(&quote_ident(name)),
        }
    }
}
