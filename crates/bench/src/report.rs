//! The figures of a run as Markdown.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use db_core::Clock;

use crate::database::Database;
use crate::floors::Floor;
use crate::http::Load;
use crate::requests::Plan;
use crate::workload::{Kind, Request, Scheme};

/// What the server came to with one kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) request: Request,
    pub(crate) kind: Kind,
    pub(crate) load: Load,
    pub(crate) waits: f64,
}

/// All that a run found.
pub(crate) struct Report {
    heading: String,
    conditions: String,
    pub(crate) floors: Vec<Floor>,
    pub(crate) measured: Vec<Measured>,
    pub(crate) peak_memory_kib: u64,
}

impl Report {
    /// An empty one for this run.
    pub(crate) fn new(database: &Database, commit: &str, plan: Plan) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            heading: heading(commit),
            conditions: format!(
                "PostgreSQL {}, {cores} cores for everything, {} domains, {} cards, {} s for each figure.",
                database.version(),
                plan.domains,
                plan.domains * crate::dataset::BOARDS * crate::dataset::CARDS,
                plan.measure.as_secs()
            ),
            floors: Vec::new(),
            measured: Vec::new(),
            peak_memory_kib: 0,
        }
    }

    fn floor(&self, request: Request, scheme: Scheme) -> Option<&Floor> {
        self.floors
            .iter()
            .find(|floor| floor.request == request && floor.scheme == scheme)
    }

    /// As a section of the results file.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.heading, self.conditions);
        // Writing to a String cannot fail.
        if !self.floors.is_empty() {
            text.push_str(
                "\n| pgbench | how | requests/s | clients | PostgreSQL µs |\n|---|---|--:|--:|--:|\n",
            );
        }
        for floor in &self.floors {
            let Floor {
                request,
                scheme,
                rate,
                clients,
                postgres_us,
            } = floor;
            let _ = writeln!(
                text,
                "| {request} | {scheme} | {rate:.0} | {clients} | {postgres_us:.1} |"
            );
        }
        text.push_str(
            "\n| server | by | requests/s | p50 ms | p99 ms | server µs | PostgreSQL µs | waits | of bare | of pipelined | of all statements |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for Measured {
            request,
            kind,
            load,
            waits,
        } in &self.measured
        {
            let share = |scheme| {
                self.floor(*request, scheme).map_or_else(
                    || "–".to_owned(),
                    |floor| format!("{:.2}", load.rate / floor.rate),
                )
            };
            let _ = writeln!(
                text,
                "| {request} | {kind} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {waits:.1} | {} | {} | {} |",
                load.rate,
                millis(load.p50),
                millis(load.p99),
                load.server_us,
                load.postgres_us,
                share(Scheme::Bare),
                share(Scheme::Pipelined),
                share(Scheme::Whole),
            );
        }
        let most = self
            .measured
            .iter()
            .map(|measured| measured.load.server_kib)
            .max()
            .unwrap_or_default();
        let generator = self
            .measured
            .iter()
            .map(|measured| measured.load.generator_us)
            .fold(0.0, f64::max);
        let _ = writeln!(
            text,
            "\nMemory of the server: {:.1} MiB under load, {:.1} MiB at most. The load generator took up to {generator:.0} µs for a request.",
            mebi(most),
            mebi(self.peak_memory_kib.max(most))
        );
        text
    }
}

/// When, and of which commit.
pub(crate) fn heading(commit: &str) -> String {
    format!(
        "{}, commit {commit}",
        Clock::System.now().format("%Y-%m-%d %H:%M UTC")
    )
}

/// Appends a section to the results file.
pub(crate) fn append(file: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .and_then(|mut file| write!(file, "\n{text}"))
        .with_context(|| format!("appending to {}", file.display()))
}

/// In milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn mebi(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}
