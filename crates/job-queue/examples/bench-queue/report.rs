//! The results as Markdown.

use std::fmt::Write as _;

use crate::Arguments;
use crate::numbers::quantile;
use crate::scratch::{Server, connect};

pub(crate) struct Report {
    text: String,
    /// Jobs each second of the bare loop, one by one: what the others are compared with.
    pub(crate) floor: f64,
    throughput: String,
    pick_up: String,
}

impl Report {
    pub(crate) async fn new(server: &Server, arguments: &Arguments) -> Self {
        let client = connect(&server.config("postgres")).await;
        let row = client
            .query_one("SELECT current_setting('server_version'), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')", &[])
            .await
            .unwrap();
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let text = format!(
            "## {} UTC, commit {}\n\nPostgreSQL {}, {cores} cores for server, workers and clients together{}; {} no-op jobs for each figure.\n",
            row.get::<_, &str>(1),
            arguments.commit,
            row.get::<_, &str>(0),
            arguments.how,
            arguments.jobs,
        );
        Self {
            text,
            floor: f64::NAN,
            throughput: String::new(),
            pick_up: String::new(),
        }
    }

    /// A row of the table of throughput.
    pub(crate) fn rate(&mut self, who: &str, setting: &str, acknowledged: &str, rate: f64, note: &str) {
        crate::say(&format!(
            "{who}, {setting}, {acknowledged}: {rate:.0} jobs/s {note}"
        ));
        let ratio = rate / self.floor;
        writeln!(
            self.throughput,
            "| {who} | {setting} | {acknowledged} | {rate:.0} | {ratio:.2} | {note} |"
        )
        .unwrap();
    }

    /// A row of the table of pick-up times, in milliseconds.
    pub(crate) fn pick_up(&mut self, who: &str, setting: &str, samples: &[f64]) {
        let (p50, p95, p99) = (
            quantile(samples, 0.5),
            quantile(samples, 0.95),
            quantile(samples, 0.99),
        );
        crate::say(&format!(
            "{who}, {setting}: pick-up p50 {p50:.1} ms, p95 {p95:.1} ms"
        ));
        writeln!(
            self.pick_up,
            "| {who} | {setting} | {p50:.1} | {p95:.1} | {p99:.1} | {} |",
            samples.len()
        )
        .unwrap();
    }

    /// A paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        crate::say(text);
        if !self.throughput.is_empty() {
            self.tables();
        }
        write!(self.text, "\n{text}\n").unwrap();
    }

    fn tables(&mut self) {
        write!(
            self.text,
            "\n| queue | setting | completions | jobs/s | of the bare loop, one by one | |\n|---|---|---|--:|--:|---|\n{}\n\
             | queue | idle | p50 ms | p95 ms | p99 ms | jobs |\n|---|---|--:|--:|--:|--:|\n{}",
            std::mem::take(&mut self.throughput),
            std::mem::take(&mut self.pick_up)
        )
        .unwrap();
    }

    pub(crate) fn finish(mut self) -> String {
        if !self.throughput.is_empty() {
            self.tables();
        }
        self.text
    }
}
