//! The figures of a run as Markdown.

use std::fmt::Write as _;

use super::MANY;
use super::many::{By, Took};
use super::stall::{LONG_READER, READERS, Stall};
use crate::report::{heading, millis};

/// All that a run found.
pub(super) struct Report {
    heading: String,
    conditions: String,
    pub(super) stalls: Vec<Stall>,
    pub(super) many: Vec<Took>,
}

impl Report {
    /// An empty one for this run.
    pub(super) fn new(version: &str, commit: &str, stalls: u32, manies: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            heading: heading(commit),
            conditions: format!(
                "PostgreSQL {version}, {cores} cores for everything; {stalls} rounds of the first table, {manies} of the second."
            ),
            stalls: Vec::new(),
            many: Vec::new(),
        }
    }

    /// As a section of the results file.
    pub(super) fn render(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.heading, self.conditions);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n| {READERS} connections read beside a reader of {} s, and | reads | p50 ms | p99 ms | max ms | the ALTER took at most s |\n\
             |---|--:|--:|--:|--:|--:|\n",
            LONG_READER.as_secs()
        );
        for stall in &self.stalls {
            let altered = if stall.by == super::stall::By::Nobody {
                "–".to_owned()
            } else {
                format!("{:.1}", stall.altered_after.as_secs_f64())
            };
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {:.1} | {:.1} | {altered} |",
                stall.by.name(),
                stall.count(),
                millis(stall.percentile(50)),
                millis(stall.percentile(99)),
                millis(stall.max()),
            );
        }
        let _ = write!(
            text,
            "\n| {MANY} files of `SELECT 1`, by | median ms | fastest ms | Plinth is × |\n|---|--:|--:|--:|\n"
        );
        let ours = self.many.iter().find(|took| took.by == By::Plinth);
        for took in &self.many {
            let ratio = match ours {
                Some(ours) if took.by != By::Plinth => {
                    format!("{:.2}", millis(ours.median()) / millis(took.median()))
                }
                _ => "–".to_owned(),
            };
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.0} | {ratio} |",
                took.by.name(),
                millis(took.median()),
                millis(took.fastest()),
            );
        }
        text
    }
}
