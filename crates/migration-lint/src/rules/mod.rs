//! Which rules are asked, and which of squawk's are not and why.

mod asked;
mod excluded;
mod own;

use serde::Serialize;

use crate::finding::Level;
pub(crate) use asked::SQUAWK;
pub use excluded::EXCLUDED;
pub(crate) use own::*;

/// A rule, with what people need to know who break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its name: small letters and hyphens.
    pub id: &'static str,
    /// How bad it is to break it.
    pub level: Level,
    /// What happens otherwise.
    pub why: &'static str,
    /// What to write instead.
    pub safe_form: &'static str,
}

const fn rule(id: &'static str, level: Level, why: &'static str, safe_form: &'static str) -> RuleInfo {
    RuleInfo {
        id,
        level,
        why,
        safe_form,
    }
}

/// Where a rule of squawk's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// For every object, new or not.
    Everywhere,
    /// For objects that an earlier migration made: nobody waits for a new one.
    Existing,
    /// For those in `up.sql`: reverting removes, and that is its purpose.
    ExistingUp,
}

/// Every rule that looks at the text alone; those about the catalogue are the caller's.
pub fn rules() -> impl Iterator<Item = RuleInfo> {
    SQUAWK
        .iter()
        .map(|(_, _, rule)| *rule)
        .chain(OWN.iter().copied())
        .chain(COMMENTS.iter().copied())
}
