use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

const POLL: Duration = Duration::from_millis(20);

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::io("open the lock file", path))
}

/// Held while the server is being started or stopped: one program at a time. Released on drop, and by the kernel when the
/// program dies.
#[derive(Debug)]
pub(crate) struct ChangeLock(#[expect(dead_code, reason = "held for its lock")] File);

impl ChangeLock {
    /// Waits up to `patience`.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn acquire(state_dir: &Path, patience: Duration) -> Result<Self> {
        let path = state_dir.join("change.lock");
        let file = open(&path)?;
        if lock_within(&file, &path, patience)? {
            Ok(Self(file))
        } else {
            Err(Error::Busy {
                lock: path,
                waited: patience,
            })
        }
    }
}

/// Held, shared, by everyone who uses the server. Whoever can get it exclusively is alone.
#[derive(Debug)]
pub(crate) struct UseLock {
    file: File,
    path: PathBuf,
}

impl UseLock {
    /// Enters the circle of users. Call it under the [`ChangeLock`], then nobody can hold it exclusively.
    pub(crate) fn shared(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("use.lock");
        let file = open(&path)?;
        file.lock_shared().map_err(Error::io("lock", &path))?;
        Ok(Self { file, path })
    }

    /// Whether nobody else uses the server. Call it under the [`ChangeLock`]. Ours stays locked afterwards, in one way or the other.
    pub(crate) fn is_alone(&self) -> Result<bool> {
        // A process that another thread of ours is just spawning holds a copy of every lock from its fork to its exec; so a
        // refusal counts only when it lasts.
        let alone = lock_within(&self.file, &self.path, Duration::from_millis(200))?;
        self.file.lock_shared().map_err(Error::io("lock", &self.path))?;
        Ok(alone)
    }
}

fn lock_within(file: &File, path: &Path, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
            Err(TryLockError::WouldBlock) => sleep(POLL),
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        }
    }
}
