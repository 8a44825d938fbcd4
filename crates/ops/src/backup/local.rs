//! A directory as the place of backups: what is in it is taken only where it is what it seems. A link may lead out of it, and
//! whoever opens a pipe waits for somebody who writes.

use std::fs;
use std::io;
use std::path::Path;

use nix::sys::stat::{Mode, umask};

use super::BackupError;
use super::manifest::Name;

/// What is made from here on is its owner's alone: a directory has 0700, a file 0600.
pub(super) fn keep_to_ourselves() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Whether the folder of a backup is a directory, and no link to one.
pub(super) fn is_folder(root: &Path, name: &Name) -> bool {
    let path = root.join(name.to_string());
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_dir() => true,
        Ok(_) => {
            tracing::warn!(path = %path.display(), "is no directory, and so no backup");
            false
        }
        Err(_) => false,
    }
}

/// Whether a file of a backup is a regular one, and no link, pipe or device.
pub(super) fn is_file(root: &Path, name: &Name, file: &str) -> bool {
    fs::symlink_metadata(root.join(name.to_string()).join(file)).is_ok_and(|meta| meta.is_file())
}

/// What is there has to be what it seems; what is not there, is another's business.
///
/// # Errors
/// The folder or the file is something else.
pub(super) fn require_real(root: &Path, name: &Name, file: &str) -> Result<(), BackupError> {
    let folder = root.join(name.to_string());
    let wanted = [(folder.clone(), true), (folder.join(file), false)];
    for (path, directory) in wanted {
        match fs::symlink_metadata(&path) {
            Ok(meta) if directory && meta.is_dir() || !directory && meta.is_file() => {}
            Ok(_) => {
                return Err(BackupError::damaged(
                    name,
                    format!(
                        "{} is no {}",
                        path.display(),
                        if directory { "directory" } else { "regular file" }
                    ),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                return Err(BackupError::Io {
                    doing: format!("cannot look at {}", path.display()),
                    source,
                });
            }
        }
    }
    Ok(())
}
