//! How a long statement goes, on stderr: one line that is written over on a terminal, else a line every ten seconds.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use db_migrate::{Applied, Progress, Watch};

/// How often a line is written where there is no terminal, in seconds.
const PAUSE: u64 = 10;

pub struct Stderr {
    terminal: bool,
    /// The second of the statement in which the last line was written.
    said_at: AtomicU64,
    /// What was done, to be told where the rest fails.
    done: Mutex<Vec<Applied>>,
}

impl Stderr {
    pub fn new() -> Self {
        Self {
            terminal: stderr().is_terminal(),
            said_at: AtomicU64::new(0),
            done: Mutex::default(),
        }
    }

    /// What was applied and reverted, in order.
    pub fn done(&self) -> Vec<Applied> {
        self.done.lock().map(|done| done.clone()).unwrap_or_default()
    }
}

impl Watch for Stderr {
    fn progress(&self, progress: &Progress) {
        let seconds = progress.elapsed.as_secs();
        if self.terminal {
            // Clears what is left of a longer line.
            let _ = write!(stderr().lock(), "\r{}\x1b[K", line(progress));
        } else if seconds >= self.said_at.load(Ordering::Relaxed) + PAUSE {
            self.said_at.store(seconds, Ordering::Relaxed);
            let _ = writeln!(stderr().lock(), "{}", line(progress));
        }
    }

    fn done(&self, applied: &Applied) {
        if let Ok(mut done) = self.done.lock() {
            done.push(applied.clone());
        }
    }

    fn over(&self) {
        self.said_at.store(0, Ordering::Relaxed);
        if self.terminal {
            let _ = write!(stderr().lock(), "\r\x1b[K");
        }
    }
}

fn line(progress: &Progress) -> String {
    let mut line = format!("{}_{}", progress.version, progress.name);
    if let Some((number, of)) = progress.statement {
        line.push_str(&format!(", statement {number} of {of}"));
    }
    line.push_str(&format!(", {} s", progress.elapsed.as_secs()));
    if let Some(phase) = &progress.phase {
        line.push_str(&format!(": {phase}"));
    }
    if let Some(percent) = progress.percent {
        line.push_str(&format!(" {percent:.0}%"));
    }
    if !progress.waiting_for.is_empty() {
        let pids: Vec<String> = progress.waiting_for.iter().map(ToString::to_string).collect();
        line.push_str(&format!(", waits for pid {}", pids.join(", ")));
    }
    line
}
