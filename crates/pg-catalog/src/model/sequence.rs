use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{Attribute as _, Facts, facts};
use super::grant::Grants;

/// A sequence of its own. One behind an identity column is part of the column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Role that owns it.
    pub owner: String,
    /// `UNLOGGED` (15 and later).
    pub unlogged: bool,
    /// Type and numbers.
    #[serde(flatten)]
    pub options: SequenceOptions,
    /// `OWNED BY` column: `public.cards.id`.
    pub owned_by: Option<String>,
    /// `COMMENT ON SEQUENCE`.
    pub comment: Option<String>,
    /// Grants.
    pub grants: Grants,
}

impl Sequence {
    pub(crate) fn facts(&self) -> Facts {
        let mut facts =
            facts!(Sequence of self; compared: owner, unlogged, owned_by, comment; not: options, grants);
        facts.append(&mut self.options.facts());
        facts
    }
}

/// What a sequence counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceOptions {
    /// `smallint`, `integer` or `bigint`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `START WITH`.
    pub start: i64,
    /// `INCREMENT BY`.
    pub increment: i64,
    /// `MINVALUE`.
    pub min: i64,
    /// `MAXVALUE`.
    pub max: i64,
    /// `CACHE`.
    pub cache: i64,
    /// `CYCLE`.
    pub cycle: bool,
}

impl SequenceOptions {
    fn facts(&self) -> Facts {
        let mut facts = facts!(SequenceOptions of self; compared: start, increment, min, max, cache, cycle; not: data_type);
        facts.insert("type", self.data_type.value());
        facts
    }
}

impl fmt::Display for SequenceOptions {
    /// As in the parentheses of `AS IDENTITY (…)`; the type is the column's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cycle = if self.cycle { "CYCLE" } else { "NO CYCLE" };
        write!(
            f,
            "START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {} {cycle}",
            self.start, self.increment, self.min, self.max, self.cache
        )
    }
}
