use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Version;

/// What [`crate::LocalPostgres`] returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no local server. Each message names the value at fault and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable PostgreSQL; the reasons name each place that was looked at.
    #[error(
        "no usable PostgreSQL found (wanted: server {min} or newer with initdb and the extensions pgcrypto and uuid-ossp).\n\
         Looked at:\n{}\n\
         To install it: run scripts/ensure-postgres, or on Debian and Ubuntu `apt-get install postgresql postgresql-contrib`. \
         To use another tree: PLINTH_POSTGRES_BIN=/path/to/bin. To use a running server instead: DATABASE_URL.",
        list(.tried), min = crate::binaries::MINIMUM_MAJOR
    )]
    NoBinaries {
        /// One line per place, with the reason why it was passed over.
        tried: Vec<String>,
    },

    /// No database is configured, and the configuration forbids a private one.
    #[error(
        "no database is configured: set DATABASE_URL (a private PostgreSQL is not allowed: PLINTH_DATABASE_LOCAL=never)"
    )]
    NotAllowed,

    /// The data directory was made by another major version.
    #[error(
        "the data directory {} was made by PostgreSQL {data_major}, but the binaries in {} are {binaries}. Install PostgreSQL \
         {data_major} beside it, or convert the data (pg_upgrade, or pg_dump with {data_major} and restore), or move the \
         directory away to start with an empty database. Nothing was changed.",
        .data_dir.display(), .bin_dir.display()
    )]
    VersionMismatch {
        /// The cluster's data directory.
        data_dir: PathBuf,
        /// Major version in its `PG_VERSION`.
        data_major: u32,
        /// The binaries that would have been used.
        bin_dir: PathBuf,
        /// Their version.
        binaries: Version,
    },

    /// The data directory exists, is not empty, and is not a cluster.
    #[error(
        "{} is neither empty nor a PostgreSQL data directory (it has no PG_VERSION). Move it away, or choose another state \
         directory. Nothing was changed.",
        .0.display()
    )]
    NotACluster(PathBuf),

    /// The data directory belongs to somebody else.
    #[error(
        "{} belongs to user id {owner}, but the server would run as {user}. Run as the owner, or choose another state \
         directory.",
        .path.display()
    )]
    WrongOwner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
        /// Who the server would run as, name and id.
        user: String,
    },

    /// A parent of the state directory is closed to the user that the server runs as.
    #[error(
        "PostgreSQL does not run as root, and {user} may not enter {}, which lies above {}. Use a state directory that it \
         can reach, for instance below /var/lib/plinth.",
        .closed.display(), .path.display()
    )]
    Unreachable {
        /// The path that has to be reached.
        path: PathBuf,
        /// The first directory above it that cannot be entered.
        closed: PathBuf,
        /// Who the server runs as.
        user: String,
    },

    /// Root runs the program, and there is no unprivileged user to run the server as.
    #[error(
        "PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody` to run it as"
    )]
    NoServerUser,

    /// The socket directory is not safely ours.
    #[error(
        "the socket directory {} is not safe: {problem}. Another user may have made it; remove it, or have it removed.",
        .path.display()
    )]
    UnsafeSocketDir {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// Another program is starting or stopping the same cluster, and takes too long.
    #[error(
        "another program has been starting or stopping the cluster in {} for more than {waited:?}; see who: fuser -v {}",
        .lock.parent().unwrap_or(.lock).display(), .lock.display()
    )]
    Busy {
        /// The lock file it holds.
        lock: PathBuf,
        /// How long we waited.
        waited: Duration,
    },

    /// initdb failed.
    #[error("{} failed with {status}:\n{output}", .program.display())]
    Init {
        /// The program that failed.
        program: PathBuf,
        /// Its exit status.
        status: String,
        /// What it printed.
        output: String,
    },

    /// The server did not come up; the end of its log says why.
    #[error("PostgreSQL did not start: {reason}. The end of {}:\n{tail}", .log.display())]
    Start {
        /// What was seen from outside.
        reason: String,
        /// The server's log file.
        log: PathBuf,
        /// Its last lines, from this start only.
        tail: String,
    },

    /// A process of this cluster is there, but does not behave.
    #[error("the PostgreSQL process {pid} of {} {problem}", .data_dir.display())]
    Stuck {
        /// Its process id.
        pid: i32,
        /// The cluster's data directory.
        data_dir: PathBuf,
        /// What it does or does not do, and what to do about it.
        problem: String,
    },

    /// `/proc` is missing.
    #[error("a local PostgreSQL needs Linux's /proc; configure a database address instead (DATABASE_URL)")]
    NoProc,

    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an I/O error with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.as_ref().to_owned(),
            source,
        }
    }
}

fn list(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| format!("  - {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
