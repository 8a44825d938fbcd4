use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::server_user::ServerUser;

/// `sun_path` has 108 bytes; PostgreSQL appends `/.s.PGSQL.<port>` to the directory.
const MAX_SOCKET_DIR: usize = 84;

const ROOT_RUNTIME_DIR: &str = "/run/plinth";

/// Where the clusters of the project in `project_dir` live: `<project>/.plinth`, or for root
/// `/var/lib/plinth/<hash of the project's path>`, because the unprivileged user that the server then runs as usually may
/// not enter the home a clone lies in. Give each cluster a directory of its own below it.
///
/// # Errors
/// [`Error::Io`] when `project_dir` does not exist.
pub fn default_state_dir(project_dir: &Path) -> Result<PathBuf> {
    let project =
        fs::canonicalize(project_dir).map_err(Error::io("find the project directory", project_dir))?;
    Ok(if geteuid().is_root() {
        Path::new("/var/lib/plinth").join(short_hash(&project))
    } else {
        project.join(".plinth")
    })
}

/// Twelve hex digits that stay the same for a path, whatever Rust version computes them (unlike `DefaultHasher`).
pub(crate) fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let mut text = hex::encode(digest);
    text.truncate(12);
    text
}

/// Creates `dir` and its missing parents, all to be entered by everybody (the server user among them) whatever the umask,
/// and returns the canonical path.
pub(crate) fn create_state_dir(dir: &Path) -> Result<PathBuf> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    for dir in missing.iter().rev() {
        match fs::create_dir(dir) {
            // Parallel starters race here, before there is a directory to hold a lock file.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => {
                result.map_err(Error::io("create", dir))?;
                fs::set_permissions(dir, Permissions::from_mode(0o755))
                    .map_err(Error::io("set the mode of", dir))?;
            }
        }
    }
    fs::canonicalize(dir).map_err(Error::io("find", dir))
}

/// The directory for the socket of the cluster in `data_dir`: short, because a socket's path has to fit in 108 bytes, which
/// a path below the project may not.
pub(crate) fn socket_dir(data_dir: &Path, user: &ServerUser) -> PathBuf {
    let hash = short_hash(data_dir);
    let runtime = Path::new("/run/user").join(user.uid.to_string());
    if user.is_switched() {
        // Only root writes to /run; in /tmp anybody could take the name first.
        Path::new(ROOT_RUNTIME_DIR).join(hash)
    } else if fs::metadata(&runtime).is_ok_and(|meta| meta.uid() == user.uid && meta.mode() & 0o077 == 0) {
        runtime.join(format!("plinth-{hash}"))
    } else {
        Path::new("/tmp").join(format!("plinth-{}-{hash}", user.uid))
    }
}

/// Makes the directory for the socket, mode 0700 and owned by the server user, so that `trust` lets in nobody else but root.
/// Call it when no process of the cluster is left: it clears away what a killed one left behind.
pub(crate) fn create_socket_dir(data_dir: &Path, user: &ServerUser) -> Result<PathBuf> {
    let dir = socket_dir(data_dir, user);
    if user.is_switched() {
        create_state_dir(Path::new(ROOT_RUNTIME_DIR))?;
    }
    private_dir(&dir, user)?;
    // The directory is this cluster's alone, so these are a killed server's. PostgreSQL would refuse to start over a lock
    // file whose process id is in use again.
    for entry in fs::read_dir(&dir).map_err(Error::io("read", &dir))? {
        let entry = entry.map_err(Error::io("read", &dir))?;
        if entry.file_name().as_bytes().starts_with(b".s.PGSQL.") {
            fs::remove_file(entry.path()).map_err(Error::io("remove the stale", entry.path()))?;
        }
    }
    Ok(dir)
}

fn private_dir(dir: &Path, user: &ServerUser) -> Result<()> {
    let problem = |problem: String| Error::UnsafeSocketDir {
        path: dir.to_owned(),
        problem,
    };
    if dir.as_os_str().len() > MAX_SOCKET_DIR {
        return Err(problem(format!("its path is longer than {MAX_SOCKET_DIR} bytes")));
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => user.take(dir)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", dir)(error)),
    }
    // Without following a symlink: in /tmp the name may have been taken by somebody else.
    let meta = fs::symlink_metadata(dir).map_err(Error::io("inspect", dir))?;
    if !meta.is_dir() {
        return Err(problem("it is not a directory".to_owned()));
    }
    if meta.uid() != user.uid {
        // A starter killed between mkdir and chown leaves an empty directory of root's.
        if user.is_switched() && meta.uid() == 0 {
            return user.take(dir);
        }
        return Err(problem(format!(
            "it belongs to user id {}, not to {user}",
            meta.uid()
        )));
    }
    if meta.mode() & 0o077 != 0 {
        return Err(problem(format!(
            "its mode is {:o}, which lets others in",
            meta.mode() & 0o777
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_directory_of_someone_else_is_refused() {
        let user = ServerUser::default_user().unwrap();
        let parent = tempfile::tempdir().unwrap();

        let fresh = parent.path().join("fresh");
        private_dir(&fresh, &user).unwrap();
        private_dir(&fresh, &user).unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().uid(), user.uid);
        assert_eq!(fs::metadata(&fresh).unwrap().mode() & 0o777, 0o700);

        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&fresh, &link).unwrap();
        assert!(
            private_dir(&link, &user)
                .unwrap_err()
                .to_string()
                .contains("not a directory")
        );

        fs::set_permissions(&fresh, Permissions::from_mode(0o755)).unwrap();
        assert!(
            private_dir(&fresh, &user)
                .unwrap_err()
                .to_string()
                .contains("mode is 755")
        );

        let long = parent.path().join("x".repeat(MAX_SOCKET_DIR));
        assert!(
            private_dir(&long, &user)
                .unwrap_err()
                .to_string()
                .contains("longer than")
        );
    }

    #[test]
    fn the_hash_of_a_path_is_fixed() {
        // Changing it would make every existing cluster of root's invisible.
        assert_eq!(short_hash(Path::new("/srv/plinth")), "69ad29c33e41");
    }
}
