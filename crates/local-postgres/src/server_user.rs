use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User, getegid, geteuid};

use crate::error::{Error, Result};

/// Whom initdb and postgres run as: us, or an unprivileged user when we are root, because both refuse root.
#[derive(Debug, Clone)]
pub(crate) struct ServerUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    name: String,
    /// We are root and have to become this user.
    switch: bool,
}

impl ServerUser {
    /// The user for the cluster in `data_dir`. As root it is whoever owns the directory already, so that installing
    /// PostgreSQL later (which adds the user `postgres`) does not lose a cluster made as `nobody`.
    ///
    /// # Errors
    /// [`Error::NoServerUser`]; [`Error::WrongOwner`] when the directory belongs to root or, for a plain user, to somebody else.
    pub(crate) fn for_data_dir(data_dir: &Path) -> Result<Self> {
        let owner = fs::symlink_metadata(data_dir)
            .ok()
            .map(|meta| (meta.uid(), meta.gid()));
        if !geteuid().is_root() {
            let user = Self::current();
            return match owner {
                Some((owner, _)) if owner != user.uid => Err(Error::WrongOwner {
                    path: data_dir.to_owned(),
                    owner,
                    user: user.to_string(),
                }),
                _ => Ok(user),
            };
        }
        let unprivileged = Self::unprivileged()?;
        match owner {
            Some((0, _)) => Err(Error::WrongOwner {
                path: data_dir.to_owned(),
                owner: 0,
                user: unprivileged.to_string(),
            }),
            Some((uid, gid)) if uid != unprivileged.uid => {
                let name = User::from_uid(Uid::from_raw(uid))
                    .ok()
                    .flatten()
                    .map_or_else(String::new, |user| user.name);
                Ok(Self {
                    uid,
                    gid,
                    name,
                    switch: true,
                })
            }
            _ => Ok(unprivileged),
        }
    }

    /// Whom a new cluster would belong to.
    pub(crate) fn default_user() -> Result<Self> {
        if geteuid().is_root() {
            Self::unprivileged()
        } else {
            Ok(Self::current())
        }
    }

    fn current() -> Self {
        let uid = geteuid();
        let name = User::from_uid(uid)
            .ok()
            .flatten()
            .map_or_else(String::new, |user| user.name);
        Self {
            uid: uid.as_raw(),
            gid: getegid().as_raw(),
            name,
            switch: false,
        }
    }

    fn unprivileged() -> Result<Self> {
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Self {
                uid: user.uid.as_raw(),
                gid: user.gid.as_raw(),
                name: user.name,
                switch: true,
            })
            .ok_or(Error::NoServerUser)
    }

    /// Whether this program has to switch to the user, that is, whether it runs as root.
    pub(crate) fn is_switched(&self) -> bool {
        self.switch
    }

    /// Makes `command` run as this user (std also drops root's supplementary groups).
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives `path` to this user. Without effect unless we are root.
    pub(crate) fn take(&self, path: &Path) -> Result<()> {
        if self.switch {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))
                .map_err(Error::io("change the owner of", path))?;
        }
        Ok(())
    }

    /// Checks that every directory down to `path` may be entered by this user.
    ///
    /// # Errors
    /// [`Error::Unreachable`] with the first that may not.
    pub(crate) fn check_reaches(&self, path: &Path) -> Result<()> {
        if !self.switch {
            return Ok(());
        }
        let mut ancestors: Vec<_> = path
            .ancestors()
            .filter(|dir| !dir.as_os_str().is_empty())
            .collect();
        ancestors.reverse();
        for dir in ancestors {
            let Ok(meta) = fs::metadata(dir) else { break };
            let bit = if meta.uid() == self.uid {
                0o100
            } else if meta.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if meta.mode() & bit == 0 {
                return Err(Error::Unreachable {
                    path: path.to_owned(),
                    closed: dir.to_owned(),
                    user: self.to_string(),
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for ServerUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user `{}` (id {})", self.name, self.uid)
    }
}
