//! What is wrong, where, why, and what to write instead.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::rules::RuleInfo;
use crate::script::Script;

/// How bad it is. Both fail a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Data lost or shown to the wrong tenant, an outage, or a migration that cannot run.
    Error,
    /// Something to regret later.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Who noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// squawk, from the text.
    Squawk,
    /// Plinth, from the text.
    Text,
    /// Plinth, from the catalogue of a database that the migration was applied to.
    Catalogue,
}

/// A place in a file. Both count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character within the line.
    pub column: usize,
}

/// Something that is wrong with a migration.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Id of the rule.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Who noticed.
    pub source: Source,
    /// What is wrong.
    pub message: String,
    /// Path of the file, as it was given.
    pub file: String,
    /// Where it begins.
    pub start: Position,
    /// Where it ends: behind its last character.
    pub end: Position,
    /// What happens if it stays.
    pub why: &'static str,
    /// What to write instead.
    pub safe_form: &'static str,
    /// The reason that a comment gives for allowing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// Offsets of the first byte, and of the one behind the last.
    #[serde(skip)]
    pub(crate) range: Range<usize>,
}

impl Finding {
    /// A finding on the bytes of a script.
    pub fn new(
        script: &Script,
        rule: &RuleInfo,
        source: Source,
        message: String,
        range: Range<usize>,
    ) -> Self {
        Self {
            rule: rule.id,
            level: rule.level,
            source,
            message,
            file: script.path().to_owned(),
            start: script.position(range.start),
            end: script.position(range.end),
            why: rule.why,
            safe_form: rule.safe_form,
            allowed: None,
            range,
        }
    }

    /// The database refused the script, at a byte of it where it said so.
    pub fn does_not_apply(script: &Script, message: String, offset: Option<usize>) -> Self {
        let statement = offset
            .and_then(|offset| script.statement_at(offset))
            .or_else(|| script.statements().first());
        let end = statement.map_or(0, |statement| statement.range.end);
        let start = offset
            .or_else(|| statement.map(|statement| statement.range.start))
            .unwrap_or_default();
        Self::new(
            script,
            &crate::rules::DOES_NOT_APPLY,
            Source::Catalogue,
            message,
            start..end.max(start),
        )
    }

    /// The runner refuses the directory, for what stands on a line of this file.
    pub fn refused_by_runner(path: String, line: usize, message: String) -> Self {
        let rule = &crate::rules::REFUSED_BY_RUNNER;
        let place = Position { line, column: 1 };
        Self {
            rule: rule.id,
            level: rule.level,
            source: Source::Text,
            message,
            file: path,
            start: place,
            end: place,
            why: rule.why,
            safe_form: rule.safe_form,
            allowed: None,
            range: 0..0,
        }
    }
}
