use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{Error, Result};

pub(crate) const POLL: Duration = Duration::from_millis(20);

/// `postmaster.pid`, as PostgreSQL 10 and later write it (`src/include/utils/pidfile.h`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: i32,
    pub(crate) port: u16,
    /// `None` while the server has not yet opened its socket.
    pub(crate) socket_dir: Option<PathBuf>,
    /// `starting`, `ready`, `standby` or `stopping`; empty in the first moments.
    pub(crate) status: String,
}

impl PidFile {
    pub(crate) fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("postmaster.pid")
    }

    /// `None` when there is none, or only a part of one so far.
    pub(crate) fn read(data_dir: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(Self::path(data_dir)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let line = |number: usize| lines.get(number - 1).copied().unwrap_or_default();
        Some(Self {
            // Older servers wrote a minus sign for a stand-alone backend.
            pid: line(1).parse::<i32>().ok()?.abs(),
            port: line(4).parse().unwrap_or_default(),
            socket_dir: Some(line(5)).filter(|dir| !dir.is_empty()).map(PathBuf::from),
            status: line(8).to_owned(),
        })
    }
}

/// Whether the process is a living `postgres` of this cluster: every PostgreSQL process works in its data directory. A
/// zombie is not one: it has neither program nor directory any more.
pub(crate) fn belongs_to(pid: i32, data_dir: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    // After an upgrade of the package it reads "…/postgres (deleted)".
    let is_postgres = fs::read_link(proc.join("exe")).is_ok_and(|exe| {
        exe.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("postgres"))
    });
    let same_dir = match (fs::metadata(proc.join("cwd")), fs::metadata(data_dir)) {
        (Ok(cwd), Ok(data)) => (cwd.dev(), cwd.ino()) == (data.dev(), data.ino()),
        _ => false,
    };
    is_postgres && same_dir
}

/// Every process of this cluster: the postmaster, or the backends that have not yet noticed that it was killed.
pub(crate) fn all_of(data_dir: &Path) -> Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").map_err(Error::io("read", "/proc"))?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| belongs_to(*pid, data_dir))
        .collect())
}

/// Whether something has this process id; a zombie and another user's process count.
pub(crate) fn exists(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Signals a process of this cluster, and nothing else: it is looked at once more right before.
pub(crate) fn signal(pid: i32, data_dir: &Path, signal: Signal) -> Result<()> {
    if !belongs_to(pid, data_dir) {
        return Ok(());
    }
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(Error::Stuck {
            pid,
            data_dir: data_dir.to_owned(),
            problem: format!("cannot be sent {signal}: {errno}"),
        }),
    }
}

/// Waits until `done`, at most for `patience`; says whether it came to that.
pub(crate) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_pid_file_whole_and_in_part() {
        let whole = "4711\n/srv/data\n1700000000\n5432\n/run/plinth/abc\n\n  9001  5\nready   \n";
        assert_eq!(
            PidFile::parse(whole),
            Some(PidFile {
                pid: 4711,
                port: 5432,
                socket_dir: Some(PathBuf::from("/run/plinth/abc")),
                status: "ready".to_owned()
            })
        );
        let part = PidFile::parse("4711\n/srv/data\n").unwrap();
        assert_eq!(
            (part.pid, part.socket_dir, part.status.as_str()),
            (4711, None, "")
        );
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("garbage\n"), None);
    }

    #[test]
    fn our_own_process_is_no_postgres() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(exists(pid));
        assert!(!belongs_to(pid, &std::env::current_dir().unwrap()));
    }
}
