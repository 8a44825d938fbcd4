//! What processes cost, as `/proc` has it.

use std::fs;
use std::ops::Sub;

use anyhow::Context as _;

use crate::database::Database;

/// The unit of CPU times in `/proc/<pid>/stat`: USER_HZ, which is 100 for every Linux program.
const TICK_US: f64 = 10_000.0;

/// CPU time in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ticks(u64);

impl Sub for Ticks {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// What everybody has used so far, and holds now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) server: Ticks,
    pub(crate) postgres: Ticks,
    /// The load generator: this process.
    pub(crate) generator: Ticks,
    /// Memory of the server that is in RAM.
    pub(crate) server_kib: u64,
}

impl Sample {
    /// As microseconds.
    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
    pub(crate) fn micros(ticks: Ticks) -> f64 {
        ticks.0 as f64 * TICK_US
    }
}

/// Takes all figures.
pub(crate) fn sample(server: u32, database: &Database) -> anyhow::Result<Sample> {
    Ok(Sample {
        server: own(&stat(&server.to_string())?),
        postgres: postgres(database)?,
        generator: own(&stat("self")?),
        server_kib: status_kib(server, "VmRSS:")?,
    })
}

/// The most memory the server had in RAM.
pub(crate) fn peak_memory_kib(server: u32) -> anyhow::Result<u64> {
    status_kib(server, "VmHWM:")
}

/// CPU time of PostgreSQL: the postmaster, its children that live, and those it has buried.
pub(crate) fn postgres(database: &Database) -> anyhow::Result<Ticks> {
    let postmaster = database.postmaster()?;
    let mut ticks = {
        let stat = stat(&postmaster.to_string())?;
        own(&stat).0 + field(&stat, 16) + field(&stat, 17)
    };
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        // A process may go while we look; its time is then the postmaster's.
        if let Ok(stat) = stat(pid)
            && field(&stat, 4) == u64::from(postmaster)
        {
            ticks += own(&stat).0;
        }
    }
    Ok(Ticks(ticks))
}

/// utime and stime.
fn own(stat: &[String]) -> Ticks {
    Ticks(field(stat, 14) + field(stat, 15))
}

/// A field by its number in proc(5), where the state is number 3.
fn field(stat: &[String], number: usize) -> u64 {
    stat.get(number - 3)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// The fields behind the program's name, which may hold anything.
fn stat(pid: &str) -> anyhow::Result<Vec<String>> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let (_, fields) = text
        .rsplit_once(") ")
        .with_context(|| format!("/proc/{pid}/stat has no name in it"))?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}

fn status_kib(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc/{pid}/status has no {name}"))
}
