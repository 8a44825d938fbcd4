use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::locks::UseLock;
use crate::process::{self, PidFile, wait_until};
use crate::server::{Durability, Options, Ownership};
use crate::server_user::ServerUser;
use crate::{cluster, paths};

/// How long a fast shutdown may take (it writes a checkpoint), and an immediate one.
pub(crate) const FAST: Duration = Duration::from_secs(20);
pub(crate) const IMMEDIATE: Duration = Duration::from_secs(5);

/// How long a process that was sent SIGKILL may take to be gone.
const DEATH: Duration = Duration::from_secs(1);

/// Backends that outlived their postmaster leave by themselves as soon as they look up.
const ORPHANS_LEAVE: Duration = Duration::from_secs(2);

/// A larger log is set aside at the next start.
const LOG_LIMIT: u64 = 10 * 1024 * 1024;

/// Where everything is, and the child to be reaped when the server is ours.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) state_dir: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) user: ServerUser,
    pub(crate) binaries: Binaries,
    child: Mutex<Option<Child>>,
}

impl Cluster {
    pub(crate) fn find(state_dir: PathBuf, options: &Options) -> Result<Self> {
        let explicit = options.binaries.as_deref();
        let (data_dir, user, binaries) = match options.durability {
            Durability::Durable => {
                let data_dir = state_dir.join("data");
                let user = ServerUser::for_data_dir(&data_dir)?;
                let existing = cluster::major_version(&data_dir)?;
                let binaries = Binaries::find_for(explicit, existing, &user)?;
                if let Some(data_major) = existing.filter(|major| *major != binaries.version().major) {
                    let bin_dir = binaries.dir().to_owned();
                    return Err(Error::VersionMismatch {
                        data_dir,
                        data_major,
                        bin_dir,
                        binaries: binaries.version(),
                    });
                }
                (data_dir, user, binaries)
            }
            Durability::Disposable => {
                let binaries = Binaries::find_for(explicit, None, &ServerUser::default_user()?)?;
                let data_dir = state_dir.join(format!("data-{}", binaries.version().major));
                cluster::major_version(&data_dir)?;
                (data_dir.clone(), ServerUser::for_data_dir(&data_dir)?, binaries)
            }
        };
        let log = state_dir.join("postgres.log");
        Ok(Self {
            state_dir,
            data_dir,
            log,
            user,
            binaries,
            child: Mutex::new(None),
        })
    }

    /// Attaches or starts. Call it under the change lock.
    pub(crate) fn bring_up(&self, using: &UseLock, options: &Options) -> Result<(Ownership, PidFile)> {
        if let Some(server) = self.running(using, options.start_timeout)? {
            return Ok((Ownership::Attached, server));
        }
        match self.start(options) {
            Ok(server) => Ok((Ownership::Started, server)),
            // A program that was killed between spawning a server and seeing it up let go of the lock: that server came first.
            Err(Error::Start { .. })
                if PidFile::read(&self.data_dir)
                    .is_some_and(|file| process::belongs_to(file.pid, &self.data_dir)) =>
            {
                match self.running(using, options.start_timeout)? {
                    Some(server) => Ok((Ownership::Attached, server)),
                    None => self.start(options).map(|server| (Ownership::Started, server)),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// A healthy server of this cluster, once it is ready; `None` when there is none (any more) and the way is free for a new one.
    fn running(&self, using: &UseLock, patience: Duration) -> Result<Option<PidFile>> {
        let Some(found) = PidFile::read(&self.data_dir) else {
            self.remove_orphans()?;
            return Ok(None);
        };
        let is_gone = || !process::belongs_to(found.pid, &self.data_dir);
        // Perhaps it is recovering, or shutting down on somebody's order: in the end it is ready or gone.
        let mut ready = None;
        let settled = wait_until(patience, || {
            ready =
                PidFile::read(&self.data_dir).filter(|file| file.pid == found.pid && file.status == "ready");
            is_gone() || ready.is_some()
        });
        if !settled {
            let problem = format!("is not ready after {patience:?}; see {}", self.log.display());
            return Err(self.stuck(found.pid, problem));
        }
        if let Some(ready) = ready.filter(|_| !is_gone()) {
            match answers(&ready) {
                Ok(()) => return Ok(Some(ready)),
                // It was just being killed.
                Err(_) if wait_until(DEATH, is_gone) => {}
                // Its socket may have been swept out of /tmp. Nobody can reach it then, so nobody misses it.
                Err(_) if using.is_alone()? => self.shut_down()?,
                Err(error) => {
                    let problem =
                        format!("does not answer ({error}), and another program uses it; stop that");
                    return Err(self.stuck(found.pid, problem));
                }
            }
        }
        self.remove_orphans()?;
        if process::exists(found.pid) && PidFile::read(&self.data_dir).is_some() {
            // Another program has the number now, or the dead server is a zombie. PostgreSQL takes either for a living
            // predecessor and would not start. With a number that is free it sorts the file out by itself.
            let path = PidFile::path(&self.data_dir);
            fs::remove_file(&path).map_err(Error::io("remove the stale", &path))?;
        }
        Ok(None)
    }

    /// After a kill -9 of the postmaster its backends may live on for a moment, or for the length of a query. They must be
    /// gone before the next postmaster comes.
    fn remove_orphans(&self) -> Result<()> {
        let none = || process::all_of(&self.data_dir).is_ok_and(|pids| pids.is_empty());
        if wait_until(ORPHANS_LEAVE, none) {
            return Ok(());
        }
        for pid in process::all_of(&self.data_dir)? {
            process::signal(pid, &self.data_dir, Signal::SIGQUIT)?;
        }
        if wait_until(IMMEDIATE, none) {
            return Ok(());
        }
        let pid = process::all_of(&self.data_dir)?
            .first()
            .copied()
            .unwrap_or_default();
        Err(self.stuck(
            pid,
            "was left by a killed server and does not end; kill it".to_owned(),
        ))
    }

    fn start(&self, options: &Options) -> Result<PidFile> {
        if cluster::major_version(&self.data_dir)?.is_none() {
            cluster::init(&self.data_dir, &self.binaries, &self.user, options.durability)?;
        }
        cluster::write_settings(&self.data_dir, &self.user, options.durability)?;
        let socket_dir = paths::create_socket_dir(&self.data_dir, &self.user)?;
        let (log, log_start) = self.open_log()?;
        let mut command =
            cluster::server_command(&self.data_dir, &socket_dir, &self.binaries, &self.user, options);
        command
            .stdout(log.try_clone().map_err(Error::io("share", &self.log))?)
            .stderr(log);
        // Ctrl-C goes to the terminal's foreground process group; the server has to outlive us, not to die with us.
        command.process_group(0);
        let mut child = command
            .spawn()
            .map_err(Error::io("run", self.binaries.dir().join("postgres")))?;
        let pid = i32::try_from(child.id()).unwrap_or_default();

        let began = Instant::now();
        let mut exit = None;
        let mut ready = None;
        let settled = wait_until(options.start_timeout, || {
            exit = child.try_wait().ok().flatten();
            ready = PidFile::read(&self.data_dir).filter(|file| file.pid == pid && file.status == "ready");
            exit.is_some() || ready.is_some()
        });
        let fail = |reason: String| Error::Start {
            reason,
            log: self.log.clone(),
            tail: self.log_tail(log_start),
        };
        if let Some(status) = exit {
            let hint = match options.durability {
                Durability::Disposable => format!(
                    " (its data is disposable: if a crash of the machine damaged it, remove {})",
                    self.data_dir.display()
                ),
                Durability::Durable => String::new(),
            };
            return Err(fail(format!("it ended with {status}{hint}")));
        }
        *self.child() = Some(child);
        match ready {
            Some(ready) if settled => match answers(&ready) {
                Ok(()) => Ok(ready),
                Err(error) => {
                    self.shut_down()?;
                    Err(fail(format!("its socket does not answer: {error}")))
                }
            },
            _ => {
                self.shut_down()?;
                Err(fail(format!("it was not ready after {:?}", began.elapsed())))
            }
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        // A child is as good after a panic elsewhere as before.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps the server if it was our child, lest it stays as a zombie.
    fn reap(&self) {
        if let Some(child) = self.child().as_mut() {
            let _ = child.try_wait();
        }
    }

    pub(crate) fn shut_down(&self) -> Result<()> {
        let Some(PidFile { pid, .. }) = PidFile::read(&self.data_dir) else {
            self.reap();
            return Ok(());
        };
        // SIGINT is a fast shutdown, SIGQUIT an immediate one.
        for (signal, patience) in [(Signal::SIGINT, FAST), (Signal::SIGQUIT, IMMEDIATE)] {
            process::signal(pid, &self.data_dir, signal)?;
            let gone = wait_until(patience, || {
                self.reap();
                !process::belongs_to(pid, &self.data_dir)
            });
            if gone {
                // Empty now. If not, the next start clears it.
                let _ = fs::remove_dir(paths::socket_dir(&self.data_dir, &self.user));
                return Ok(());
            }
        }
        Err(self.stuck(pid, "does not stop; is it stopped or traced? Kill it".to_owned()))
    }

    fn stuck(&self, pid: i32, problem: String) -> Error {
        Error::Stuck {
            pid,
            data_dir: self.data_dir.clone(),
            problem,
        }
    }

    /// The log, open for appending, and where this start's part begins.
    fn open_log(&self) -> Result<(File, u64)> {
        if fs::metadata(&self.log).is_ok_and(|meta| meta.len() > LOG_LIMIT) {
            let old = cluster::with_suffix(&self.log, ".old");
            fs::rename(&self.log, &old).map_err(Error::io("set aside", &self.log))?;
        }
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(Error::io("open the log", &self.log))?;
        let start = log.metadata().map_err(Error::io("inspect", &self.log))?.len();
        Ok((log, start))
    }

    /// What the server wrote since `start`, at most its last 4 KiB.
    fn log_tail(&self, start: u64) -> String {
        let mut text = Vec::new();
        if let Ok(mut log) = File::open(&self.log) {
            let length = log.metadata().map_or(0, |meta| meta.len());
            let from = start.max(length.saturating_sub(4096));
            let _ = log
                .seek(SeekFrom::Start(from))
                .and_then(|_| log.read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// Asks the server whether it speaks TLS: the one question that needs no login, and whose answer shows that it forks backends.
fn answers(server: &PidFile) -> std::io::Result<()> {
    let dir = server.socket_dir.as_deref().unwrap_or(Path::new("/nonexistent"));
    let mut socket = UnixStream::connect(dir.join(format!(".s.PGSQL.{}", server.port)))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    // SSLRequest: length 8, code 80877103 (PostgreSQL documentation, "Message Formats").
    socket.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])?;
    let mut answer = [0];
    socket.read_exact(&mut answer)
}
