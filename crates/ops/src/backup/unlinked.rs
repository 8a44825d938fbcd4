//! Temporary files without a name: a process that is killed leaves none of them, and nobody finds rows in the temporary
//! directory, or beside an archive.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use tempfile::TempPath;

/// A file in the temporary directory that only this process has, and those that it gives the path to.
#[derive(Debug)]
pub(super) struct Unlinked {
    file: File,
    path: PathBuf,
}

impl Unlinked {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        let file = tempfile::tempfile()?;
        Ok(Self {
            path: way_to(&file),
            file,
        })
    }

    /// Where programs that this one starts find it, for as long as it is not dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same file, with a position of its own.
    pub fn reopen(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Write for Unlinked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// By this process's number, not `self`: children open it too.
pub(crate) fn way_to(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
}

/// A file that gets its name only when it is whole. Where the file system cannot do without one, it has a hidden name until then.
#[derive(Debug)]
pub(super) struct Nameless {
    pub file: File,
    hidden: Option<TempPath>,
}

impl Nameless {
    /// An empty one that only its owner can read, in the file system of `directory`.
    pub fn new(directory: &Path, prefix: &str) -> io::Result<Self> {
        let without = OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(OFlag::O_TMPFILE.bits())
            .open(directory);
        if let Ok(file) = without {
            return Ok(Self { file, hidden: None });
        }
        let (file, path) = tempfile::Builder::new()
            .prefix(prefix)
            .tempfile_in(directory)?
            .into_parts();
        Ok(Self {
            file,
            hidden: Some(path),
        })
    }

    /// Gives it its name; what has it already stays, and is an error.
    pub fn persist(self, path: &Path) -> io::Result<()> {
        match self.hidden {
            Some(hidden) => hidden.persist_noclobber(path).map_err(|error| error.error),
            None => {
                let unnamed = way_to(&self.file);
                Ok(linkat(
                    AT_FDCWD,
                    &unnamed,
                    AT_FDCWD,
                    path,
                    AtFlags::AT_SYMLINK_FOLLOW,
                )?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_seen_of_it_and_a_child_can_read_it() {
        let mut file = Unlinked::new().unwrap();
        file.write_all(b"rows").unwrap();
        let read = std::process::Command::new("cat")
            .arg(file.path())
            .output()
            .unwrap();
        assert_eq!(read.stdout, b"rows");
        assert_eq!(io::read_to_string(file.reopen().unwrap()).unwrap(), "rows");
    }

    #[test]
    fn a_name_comes_with_the_end_and_takes_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive");
        let write = || {
            let mut made = Nameless::new(directory.path(), ".hidden-").unwrap();
            made.file.write_all(b"rows").unwrap();
            assert_eq!(
                std::fs::read_dir(directory.path()).unwrap().count(),
                usize::from(path.exists()) + usize::from(made.hidden.is_some())
            );
            made.persist(&path)
        };
        write().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"rows");
        assert_eq!(write().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
