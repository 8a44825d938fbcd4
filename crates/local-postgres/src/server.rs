use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::binaries::Binaries;
use crate::cluster::{DATABASE, SUPERUSER};
use crate::control::{Cluster, FAST, IMMEDIATE};
use crate::error::{Error, Result};
use crate::locks::{ChangeLock, UseLock};
use crate::process::{self, PidFile};
use crate::{Version, paths};

/// What a crash may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed: for data that somebody wants to keep.
    Durable,
    /// The last moments when the server is killed, everything when the machine goes down; for speed, in tests. Each major version of PostgreSQL gets a data directory of its own.
    Disposable,
}

/// How to run the cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's own directory; made when missing. It will hold the data, the log and the lock files.
    pub state_dir: PathBuf,
    /// A directory with PostgreSQL's programs; `None` looks for one, see [`Binaries::find`].
    pub binaries: Option<PathBuf>,
    /// Whether the data matters.
    pub durability: Durability,
    /// Further server settings, name and value, over all others. Without effect on a server that runs already.
    pub settings: Vec<(String, String)>,
    /// How long to wait for the server to accept connections, recovery after a crash included; and for another program that
    /// is just starting or stopping it.
    pub start_timeout: Duration,
}

impl Options {
    /// Binaries looked for, no further settings, a minute to start.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            state_dir: state_dir.into(),
            binaries: None,
            durability,
            settings: Vec::new(),
            start_timeout: Duration::from_secs(60),
        }
    }
}

/// Where the server listens. The superuser needs no password: only the owner of the socket's directory (and root) gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Directory of the Unix socket; drivers take it in place of a host name.
    pub socket_dir: PathBuf,
    /// Part of the socket's name; nothing listens on TCP.
    pub port: u16,
    /// The superuser, `plinth`.
    pub user: String,
    /// The database made with the cluster, `plinth`.
    pub database: String,
}

impl Address {
    /// As libpq and tokio-postgres read it: `postgresql:///plinth?host=/run/…&port=5432&user=plinth`.
    #[must_use]
    pub fn url(&self) -> String {
        // No escaping: the directory's name is ours, letters, digits and dashes.
        format!(
            "postgresql:///{}?host={}&port={}&user={}",
            self.database,
            self.socket_dir.display(),
            self.port,
            self.user
        )
    }
}

/// Who brought the server up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// This handle did.
    Started,
    /// It was up: another program uses it, or one that was killed left it.
    Attached,
}

/// What [`LocalPostgres::stop`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// The server is down.
    Stopped,
    /// Somebody else still uses it; the last one will stop it.
    LeftRunning,
}

/// A running private PostgreSQL. The last handle, in whatever process, stops it on [`Self::stop`] or when dropped.
#[derive(Debug)]
pub struct LocalPostgres {
    cluster: Cluster,
    address: Address,
    options: Options,
    ownership: Ownership,
    /// `None` once left.
    using: Option<UseLock>,
}

impl LocalPostgres {
    /// Starts the cluster in `options.state_dir`, making it first when there is none, or attaches to it when it is up.
    /// Returns when it accepts connections.
    ///
    /// # Errors
    /// See [`Error`]. Whatever goes wrong, no data is deleted and no process of another cluster is touched.
    pub fn start(options: Options) -> Result<Self> {
        if !Path::new("/proc/self/exe").exists() {
            return Err(Error::NoProc);
        }
        let state_dir = paths::create_state_dir(&options.state_dir)?;
        let changing = ChangeLock::acquire(&state_dir, options.start_timeout + FAST)?;
        let using = UseLock::shared(&state_dir)?;
        let cluster = Cluster::find(state_dir, &options)?;
        cluster.user.check_reaches(&cluster.state_dir)?;

        let (ownership, pid_file) = cluster.bring_up(&using, &options)?;
        drop(changing);
        let address = Address {
            socket_dir: pid_file.socket_dir.unwrap_or_default(),
            port: pid_file.port,
            user: SUPERUSER.to_owned(),
            database: DATABASE.to_owned(),
        };
        Ok(Self {
            cluster,
            address,
            options,
            ownership,
            using: Some(using),
        })
    }

    /// Starts the server again if it is gone (killed, say); it keeps its address. For a program that would rather go on than
    /// tell its user to start it again.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn ensure_running(&self) -> Result<Ownership> {
        let Some(using) = &self.using else {
            return Ok(Ownership::Attached);
        };
        let _changing = ChangeLock::acquire(&self.cluster.state_dir, self.options.start_timeout + FAST)?;
        self.cluster
            .bring_up(using, &self.options)
            .map(|(ownership, _)| ownership)
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether this handle started the server or found it running.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// The programs that belong to the server, `psql` and `pg_dump` among them where the tree has them.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.cluster.binaries
    }

    /// Version of the binaries.
    #[must_use]
    pub fn version(&self) -> Version {
        self.cluster.binaries.version()
    }

    /// The server's data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.cluster.data_dir
    }

    /// The server's log file.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.cluster.log
    }

    /// Process id of the server, while it runs.
    #[must_use]
    pub fn postmaster_pid(&self) -> Option<u32> {
        let pid = PidFile::read(&self.cluster.data_dir)?.pid;
        process::belongs_to(pid, &self.cluster.data_dir).then(|| u32::try_from(pid).ok())?
    }

    /// Leaves the server, and as the last one shuts it down: fast (open transactions are rolled back), after 20 seconds
    /// immediately (the next start recovers).
    ///
    /// # Errors
    /// [`Error::Stuck`] when the server does not go even so.
    pub fn stop(mut self) -> Result<StopOutcome> {
        self.leave()
    }

    fn leave(&mut self) -> Result<StopOutcome> {
        let Some(using) = self.using.take() else {
            return Ok(StopOutcome::LeftRunning);
        };
        let _changing = ChangeLock::acquire(&self.cluster.state_dir, FAST + IMMEDIATE)?;
        if !using.is_alone()? {
            return Ok(StopOutcome::LeftRunning);
        }
        self.cluster.shut_down()?;
        Ok(StopOutcome::Stopped)
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        // Nobody is left to tell; a server that could not be stopped is found by the next start.
        let _ = self.leave();
    }
}
