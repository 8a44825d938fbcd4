//! What a plan is made of.

use serde::Serialize;

/// Statements that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// One statement or several, each terminated and on lines of its own.
    pub sql: String,
    /// What is lost when it runs: `the rows of public.cards`.
    pub destructive: Option<String>,
    /// What one should know before running it, whole sentences: what it rewrites, which lock it takes for how long.
    pub notes: Vec<String>,
}

/// Steps that are run together, in order, and what undoes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// All in one transaction; else each statement by itself, in none.
    pub transactional: bool,
    /// What to do.
    pub up: Vec<Step>,
    /// What leads from the state after this part back to the state before it, structure for structure. May be empty: what a backfill
    /// wrote needs no undoing.
    pub down: Vec<Step>,
}

impl Part {
    /// The text of a file that does it: notes and losses as comments above their statements.
    #[must_use]
    pub fn up_sql(&self) -> String {
        text(&self.up, "-- Nothing to do.\n")
    }

    /// The text of a file that undoes it.
    #[must_use]
    pub fn down_sql(&self) -> String {
        text(&self.down, "-- Nothing to undo.\n")
    }
}

fn text(steps: &[Step], nothing: &str) -> String {
    if steps.is_empty() {
        return nothing.to_owned();
    }
    let blocks: Vec<String> = steps.iter().map(Step::to_string).collect();
    blocks.join("\n")
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(lost) = &self.destructive {
            writeln!(f, "-- Loses {lost}.")?;
        }
        for note in &self.notes {
            writeln!(f, "-- {note}")?;
        }
        f.write_str(&self.sql)
    }
}

impl Step {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            ..Self::default()
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub(super) fn loses(mut self, what: impl Into<String>) -> Self {
        self.destructive = Some(what.into());
        self
    }
}

/// A step and the one that undoes it. Done in order, and undone in reverse, a list of them passes through the same states both ways:
/// that is all there is to the way back.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    pub(super) up: Step,
    pub(super) down: Step,
}

impl Pair {
    pub(super) fn new(up: Step, down: Step) -> Self {
        Self { up, down }
    }

    /// Undoing instead.
    pub(super) fn flip(self) -> Self {
        Self {
            up: self.down,
            down: self.up,
        }
    }
}

/// Statements under way.
#[derive(Default)]
pub(super) struct Script(pub(super) String);

impl Script {
    /// Adds a statement, which comes without its semicolon.
    pub(super) fn add(&mut self, statement: impl AsRef<str>) {
        self.0.push_str(statement.as_ref());
        self.0.push_str(";\n");
    }

    /// Adds terminated statements.
    pub(super) fn append(&mut self, statements: &str) {
        self.0.push_str(statements);
    }

    pub(super) fn step(self) -> Step {
        Step::new(self.0)
    }
}
