use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, attribute_by_display, facts};
use super::grant::Grants;
use super::name::QualifiedName;

/// What tells one function from another: its name and the types of its input arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    /// Name.
    pub name: QualifiedName,
    /// Types of the input arguments, as `format_type` prints them, `, ` between: `uuid, text`.
    pub arguments: String,
}

impl fmt::Display for Signature {
    /// As `DROP FUNCTION` and `COMMENT ON FUNCTION` take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments)
    }
}

impl std::str::FromStr for Signature {
    type Err = super::name::NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A quoted name may hold a parenthesis: the name ends at the first one that leaves a name before it.
        let parsed = text.match_indices('(').find_map(|(at, _)| {
            let (name, arguments) = text.split_at_checked(at)?;
            let arguments = arguments.strip_prefix('(')?.strip_suffix(')')?;
            Some((name.parse().ok()?, arguments.to_owned()))
        });
        match parsed {
            Some((name, arguments)) => Ok(Self { name, arguments }),
            None => Err(super::name::NotAName::of(text)),
        }
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// A function, window functions included.
    Function,
    /// A procedure.
    Procedure,
    /// An aggregate.
    Aggregate,
}

impl fmt::Display for FunctionKind {
    /// As SQL calls it: `FUNCTION`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Function => "FUNCTION",
            Self::Procedure => "PROCEDURE",
            Self::Aggregate => "AGGREGATE",
        })
    }
}

/// A function, procedure or aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Kind.
    pub kind: FunctionKind,
    /// Role that owns it.
    pub owner: String,
    /// `pg_get_functiondef`, the whole `CREATE OR REPLACE` statement; `CREATE AGGREGATE …` for an aggregate. Not compared:
    /// the other fields are its parts.
    pub definition: String,
    /// Arguments with names, modes and defaults.
    pub arguments: String,
    /// Result type; `None` for a procedure.
    pub returns: Option<String>,
    /// Language.
    pub language: String,
    /// The text of the body, or the `RETURN …` or `BEGIN ATOMIC …` that it is; for an aggregate what stands in its parentheses.
    pub body: String,
    /// `SECURITY DEFINER`.
    pub security_definer: bool,
    /// `IMMUTABLE`, `STABLE` or `VOLATILE`.
    pub volatility: String,
    /// `PARALLEL`: `SAFE`, `RESTRICTED` or `UNSAFE`.
    pub parallel: String,
    /// `STRICT`.
    pub strict: bool,
    /// `LEAKPROOF`.
    pub leakproof: bool,
    /// `WINDOW`.
    pub window: bool,
    /// `COST`.
    pub cost: String,
    /// `ROWS`, 0 for one that returns no set.
    pub rows: String,
    /// `SUPPORT` function.
    pub support: Option<String>,
    /// Types with a `TRANSFORM`.
    pub transforms: Vec<String>,
    /// `SET` clauses, `search_path=pg_catalog, public`, sorted.
    pub settings: Vec<String>,
    /// `COMMENT ON FUNCTION`.
    pub comment: Option<String>,
    /// Grants.
    pub grants: Grants,
}

impl Function {
    pub(crate) fn facts(&self) -> Facts {
        facts!(Function of self;
            compared: kind, owner, arguments, returns, language, body, security_definer, volatility, parallel, strict,
                leakproof, window, cost, rows, support, transforms, settings, comment;
            not: definition, grants)
    }
}

attribute_by_display!(FunctionKind);
