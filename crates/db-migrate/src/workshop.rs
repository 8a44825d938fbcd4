//! Where generated migrations are until they are proved, and how they get to their place.

use std::path::{Path, PathBuf};

use super::folder::FolderError;
use super::random;

/// A migration that is not in its place yet.
pub(super) struct Draft {
    /// Name of its directory.
    pub title: String,
    /// Without its first line.
    pub up: String,
    pub down: String,
    pub transactional: bool,
    pub loses: Vec<String>,
    pub notes: Vec<String>,
}

/// A hidden directory among the migrations, which no reader looks into: what is in it has not been proved. It goes with its handle, also
/// when the work is interrupted; after a kill it can be deleted.
pub(super) struct Workshop(PathBuf);

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(directory = %self.0.display(), %error, "a directory for migrations under way was not removed");
        }
    }
}

impl Workshop {
    pub fn open(migrations: &Path) -> Result<Self, FolderError> {
        let workshop = Self(migrations.join(format!(".generating-{}", random::suffix())));
        std::fs::create_dir(&workshop.0).map_err(at(&workshop.0))?;
        // Whatever happens, it is not committed.
        let ignore = workshop.0.join(".gitignore");
        std::fs::write(&ignore, "*\n").map_err(at(&ignore))?;
        Ok(workshop)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, draft: &Draft, first_line: &str) -> Result<(), FolderError> {
        let directory = self.0.join(&draft.title);
        std::fs::create_dir_all(&directory).map_err(at(&directory))?;
        let put = |file: &str, text: &str| {
            let path = directory.join(file);
            std::fs::write(&path, text).map_err(at(&path))
        };
        put("up.sql", &format!("{first_line}{}", draft.up))?;
        put("down.sql", &draft.down)?;
        if !draft.transactional {
            put("metadata.toml", "run_in_transaction = false\n")?;
        }
        Ok(())
    }

    /// Moves them to their place, whole directories at once: all, or none.
    pub fn hand_over(&self, drafts: &[Draft], migrations: &Path) -> Result<(), FolderError> {
        for (done, draft) in drafts.iter().enumerate() {
            if let Err(error) = self.place(draft, migrations) {
                for draft in drafts.iter().take(done) {
                    let _ = std::fs::rename(migrations.join(&draft.title), self.0.join(&draft.title));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// As scripts/migrate-create does: whoever makes the directory `.version-…` has the version.
    fn place(&self, draft: &Draft, migrations: &Path) -> Result<(), FolderError> {
        let place = migrations.join(&draft.title);
        let version = draft.title.split('_').next().unwrap_or_default();
        let reserved = migrations.join(format!(".version-{version}"));
        let taken = || FolderError::Name {
            path: place.clone(),
            problem: "its version was taken by another migration meanwhile; run it again",
        };
        std::fs::create_dir(&reserved).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => taken(),
            _ => at(&reserved)(source),
        })?;
        let moved = if has_version(migrations, version).map_err(at(migrations))? {
            Err(taken())
        } else {
            std::fs::rename(self.0.join(&draft.title), &place).map_err(at(&place))
        };
        std::fs::remove_dir(&reserved).map_err(at(&reserved))?;
        moved
    }
}

fn has_version(migrations: &Path, version: &str) -> std::io::Result<bool> {
    let prefix = format!("{version}_");
    for entry in std::fs::read_dir(migrations)? {
        if entry?.file_name().to_string_lossy().starts_with(&prefix) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> FolderError {
    let path = path.to_owned();
    |source| FolderError::Read { path, source }
}
