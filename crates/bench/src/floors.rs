//! What PostgreSQL alone does with the same statements: pgbench, over the same kind of socket.

use std::time::Duration;

use anyhow::Context as _;

use crate::database::{BARE_ROLE, Database};
use crate::requests::Plan;
use crate::usage::{self, Sample};
use crate::workload::{self, Request, Scheme, script, targets};

/// Numbers of clients that are tried; the better one counts.
const CLIENTS: [u32; 2] = [8, 32];

/// What one floor came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) request: Request,
    pub(crate) scheme: Scheme,
    /// Requests in a second.
    pub(crate) rate: f64,
    /// With how many clients.
    pub(crate) clients: u32,
    /// Microseconds of CPU that PostgreSQL spent on a request.
    pub(crate) postgres_us: f64,
}

/// Measures a floor with each number of clients, and returns the better.
pub(crate) fn measure(
    database: &Database,
    plan: Plan,
    request: Request,
    scheme: Scheme,
) -> anyhow::Result<Floor> {
    let directory = database.state_dir().join("pgbench");
    std::fs::create_dir_all(&directory).context("making a directory for pgbench's scripts")?;
    let mut best: Option<Floor> = None;
    for (number, clients) in (0..).zip(CLIENTS) {
        let run = number
            + if scheme == Scheme::Bare {
                0
            } else if scheme == Scheme::Pipelined {
                2
            } else {
                4
            };
        database.settle()?;
        let role = match scheme {
            Scheme::Bare => BARE_ROLE.to_owned(),
            Scheme::Pipelined | Scheme::Whole => Database::app_login(),
        };
        let mut command = database.pgbench(&role)?;
        // One second to prepare statements in, and one because the last line of progress is sometimes missing.
        let seconds = plan.measure.as_secs() + 2;
        command.args([
            "-n",
            "-M",
            "prepared",
            "-P",
            "1",
            "-T",
            &seconds.to_string(),
            "-c",
            &clients.to_string(),
        ]);
        command.args([
            "-j",
            &std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(2)
                .to_string(),
        ]);
        let targets = targets(plan.domains);
        for (name, value) in workload::variables(&targets) {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        for target in &targets {
            let file = directory.join(format!("{}.sql", target.number));
            std::fs::write(&file, script(request, scheme, target, run))?;
            command.arg("-f").arg(file);
        }
        let before = usage::postgres(database)?;
        let output = command.output().context("running pgbench")?;
        // A backend that ends while we look would be counted nowhere or twice.
        std::thread::sleep(Duration::from_millis(500));
        let after = usage::postgres(database)?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pgbench failed: {}", last_lines(&said));
        let (rate, all) = read(&said, &String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("pgbench said something unexpected: {}", last_lines(&said)))?;
        let postgres_us = Sample::micros(after - before) / all;
        if best.is_none_or(|best| rate > best.rate) {
            best = Some(Floor {
                request,
                scheme,
                rate,
                clients,
                postgres_us,
            });
        }
    }
    best.context("pgbench was not run")
}

/// Rate after the first second, in which statements are prepared; and how many transactions there were in all.
fn read(progress: &str, summary: &str) -> Option<(f64, f64)> {
    let rates: Vec<f64> = progress
        .lines()
        .filter_map(|line| {
            line.strip_prefix("progress: ")?
                .split_once(" s, ")?
                .1
                .split_once(" tps")?
                .0
                .parse()
                .ok()
        })
        .skip(1)
        .collect();
    let all = summary.lines().find_map(|line| {
        line.strip_prefix("number of transactions actually processed: ")?
            .split('/')
            .next()?
            .trim()
            .parse()
            .ok()
    })?;
    let count = u32::try_from(rates.len()).ok().filter(|count| *count > 0)?;
    Some((rates.iter().sum::<f64>() / f64::from(count), all))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(5))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_second_does_not_count() {
        let progress = "progress: 1.0 s, 100.0 tps, lat 0.2 ms stddev 0.1, 0 failed\n\
                        progress: 2.0 s, 300.0 tps, lat 0.2 ms stddev 0.1, 0 failed\n\
                        progress: 3.0 s, 500.0 tps, lat 0.2 ms stddev 0.1\n";
        let summary =
            "transaction type: multiple scripts\nnumber of transactions actually processed: 900\ntps = 1\n";
        assert_eq!(read(progress, summary), Some((400.0, 900.0)));
        assert_eq!(read("", summary), None);
    }
}
