//! How it goes, on stderr: one line that is written over on a terminal, else a line for each step and every ten seconds.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often the line on a terminal is renewed, and a line is written elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Counts what goes through.
pub(super) type Counter = Arc<AtomicU64>;

/// Tells how it goes.
pub struct Progress {
    terminal: bool,
    /// Into the log and nowhere else.
    logged: bool,
    step: Mutex<String>,
    /// Bytes that have gone through in this step.
    done: Counter,
    /// Bytes that there are; 0 where nobody knows.
    of: AtomicU64,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            terminal: stderr().is_terminal(),
            logged: false,
            step: Mutex::default(),
            done: Counter::default(),
            of: AtomicU64::new(0),
        }
    }

    /// For a job: the steps go into the log.
    pub fn logged() -> Self {
        Self {
            terminal: false,
            logged: true,
            ..Self::new()
        }
    }

    /// Begins a step. The counter that comes back is shown with it.
    pub(super) fn step(&self, what: impl Into<String>, of: u64) -> Counter {
        let what = what.into();
        self.done.store(0, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
        if self.logged {
            tracing::info!("{what}");
        } else if !self.terminal {
            let _ = writeln!(stderr().lock(), "{what}");
        }
        if let Ok(mut step) = self.step.lock() {
            *step = what;
        }
        Arc::clone(&self.done)
    }

    /// Does the work and tells how it goes meanwhile.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let pause = if self.terminal { ON_TERMINAL } else { ELSEWHERE };
        let mut work = std::pin::pin!(work);
        let value = loop {
            match tokio::time::timeout(pause, &mut work).await {
                Ok(value) => break value,
                Err(_elapsed) => self.tell(),
            }
        };
        if self.terminal {
            let _ = write!(stderr().lock(), "\r\x1b[K");
        }
        value
    }

    fn tell(&self) {
        let Ok(step) = self.step.lock() else { return };
        if step.is_empty() {
            return;
        }
        let mut line = step.clone();
        let (done, of) = (self.done.load(Ordering::Relaxed), self.of.load(Ordering::Relaxed));
        if done > 0 {
            line.push_str(&format!(": {}", size(done)));
            if of > 0 {
                line.push_str(&format!(" of {}", size(of)));
            }
        }
        let mut stderr = stderr().lock();
        let _ = if self.terminal {
            // Clears what is left of a longer line.
            write!(stderr, "\r{line}\x1b[K")
        } else {
            writeln!(stderr, "{line}")
        };
    }
}

/// A size for people: `3.1 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
    let mut value = bytes as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{bytes} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}
