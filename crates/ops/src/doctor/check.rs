//! What the doctor says: one value for each thing that it looked at.

use serde::Serialize;

use super::catalogue::{self, Kind};

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, and should be looked at.
    Warning,
    /// Does not work, or is not safe.
    Failed,
    /// Not looked at; what was found says why.
    Skipped,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Stable: programs may rely on it.
    pub id: &'static str,
    /// A few words for people.
    pub title: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was found, or why nobody looked.
    pub found: String,
    /// Why that is, or why it matters; of a warning or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about it; of a warning or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// Something that is not as it should be, in words.
#[derive(Clone, Debug)]
pub struct Trouble {
    found: String,
    cause: String,
    cure: String,
}

impl Trouble {
    /// What was found, why that is or matters, and what to do about it.
    pub fn new(found: impl Into<String>, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            cause: cause.into(),
            cure: cure.into(),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings {
    checks: Vec<Check>,
}

impl Findings {
    /// As it should be.
    pub fn ok(&mut self, kind: Kind, found: impl Into<String>) {
        self.push(kind, Status::Ok, found.into(), None);
    }

    /// Works, and should be looked at.
    pub fn warning(&mut self, kind: Kind, trouble: Trouble) {
        let Trouble { found, cause, cure } = trouble;
        self.push(kind, Status::Warning, found, Some((cause, cure)));
    }

    /// Does not work, or is not safe.
    pub fn failed(&mut self, kind: Kind, trouble: Trouble) {
        let Trouble { found, cause, cure } = trouble;
        self.push(kind, Status::Failed, found, Some((cause, cure)));
    }

    /// Not looked at.
    pub fn skipped(&mut self, kind: Kind, why: impl Into<String>) {
        self.push(kind, Status::Skipped, why.into(), None);
    }

    /// Skips each of these that nothing was said of yet.
    pub fn skip_rest(&mut self, kinds: impl IntoIterator<Item = Kind>, why: &str) {
        for kind in kinds {
            if !self.has(kind) {
                self.skipped(kind, why);
            }
        }
    }

    /// Whether something was said of it.
    pub fn has(&self, kind: Kind) -> bool {
        self.checks.iter().any(|check| check.id == kind.id)
    }

    /// The whole, in the order of the catalogue.
    pub fn into_checks(mut self) -> Vec<Check> {
        self.skip_rest(catalogue::ALL.iter().copied(), "nothing to look at here");
        let place = |check: &Check| catalogue::ALL.iter().position(|kind| kind.id == check.id);
        self.checks.sort_by_key(place);
        self.checks
    }

    fn push(&mut self, kind: Kind, status: Status, found: String, trouble: Option<(String, String)>) {
        let (cause, cure) = trouble.unzip();
        self.checks.push(Check {
            id: kind.id,
            title: kind.title,
            status,
            found,
            cause,
            cure,
        });
    }
}
