//! Which migrations to look at, and their text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use db_migrate::{FolderError, runs_in_transaction};
use migration_lint::{Finding, Script, Side};

use super::LintError;

/// One migration on disk.
pub struct Migration {
    pub directory: PathBuf,
    pub up: Option<Script>,
    down: Option<Script>,
    /// Whether its `up.sql` was asked for. The others are there to be applied before it.
    pub chosen: bool,
    down_chosen: bool,
}

/// What was asked for.
#[derive(Default)]
pub struct Selection {
    /// All migrations of the directories that something was asked for of, oldest first.
    pub migrations: Vec<Migration>,
    /// Files that belong to no migration.
    loose: Vec<Script>,
    /// What the runner would refuse.
    pub refused: Vec<Finding>,
}

impl Selection {
    /// All migrations of a directory, or those that are new since the merge base with a commit (`Some(None)`: with the
    /// usual one).
    pub fn of_directory(directory: &Path, new_since: Option<Option<&str>>) -> Result<Self, LintError> {
        let mut migrations = read_all(directory)?;
        let old = match new_since {
            Some(base) => merged(directory, base)?,
            None => BTreeSet::new(),
        };
        for migration in &mut migrations {
            let name = migration.directory.file_name().unwrap_or_default();
            migration.chosen = !old.contains(&*name.to_string_lossy());
            migration.down_chosen = migration.chosen;
        }
        Ok(Self {
            migrations,
            refused: refused(directory)
                .into_iter()
                .map(|(_, finding)| finding)
                .collect(),
            ..Self::default()
        })
    }

    /// What the command line names.
    pub fn of_paths(paths: &[PathBuf]) -> Result<Self, LintError> {
        let mut selection = Self::default();
        for path in paths {
            selection.add(path)?;
        }
        Ok(selection)
    }

    fn add(&mut self, path: &Path) -> Result<(), LintError> {
        if path.is_dir() {
            if path.join("up.sql").is_file() {
                return self.choose(path, true, true);
            }
            let migrations = read_all(path)?;
            if migrations.is_empty() {
                return Err(LintError::NoMigration(path.to_owned()));
            }
            for migration in migrations {
                self.choose(&migration.directory, true, true)?;
            }
            self.refuse(refused(path).map(|(_, finding)| finding));
            return Ok(());
        }
        if !path.is_file() {
            return Err(LintError::NoMigration(path.to_owned()));
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        match path.file_name().and_then(|name| name.to_str()) {
            Some("up.sql") => self.choose(parent, true, false),
            Some("down.sql") => self.choose(parent, false, true),
            _ => {
                self.loose.push(read(path, Side::Up, true)?);
                Ok(())
            }
        }
    }

    /// Chooses a migration; those beside it come along, to be applied before it.
    fn choose(&mut self, directory: &Path, up: bool, down: bool) -> Result<(), LintError> {
        // `.` and the like have no name of their own, and no place among others.
        let whole = directory.canonicalize().map_err(|source| LintError::File {
            path: directory.to_owned(),
            source,
        })?;
        let is_it = |migration: &Migration| {
            migration
                .directory
                .canonicalize()
                .is_ok_and(|other| other == whole)
        };
        if !self.migrations.iter().any(is_it) {
            let parent = match directory.parent() {
                Some(parent) if directory.file_name().is_some() && parent != Path::new("") => {
                    parent.to_owned()
                }
                _ => whole.parent().map(Path::to_owned).unwrap_or_default(),
            };
            self.migrations.extend(read_all(&parent)?);
            // What stands beside it is not asked for.
            let of_this = refused(&parent).filter(|(path, _)| path.starts_with(directory));
            self.refuse(of_this.map(|(_, finding)| finding));
        }
        for migration in self.migrations.iter_mut().filter(|migration| is_it(migration)) {
            migration.chosen |= up;
            migration.down_chosen |= down;
        }
        Ok(())
    }

    fn refuse(&mut self, finding: Option<Finding>) {
        let place = |finding: &Finding| (finding.file.clone(), finding.message.clone());
        self.refused.extend(finding);
        self.refused.sort_by_key(place);
        self.refused.dedup_by_key(|finding| place(finding));
    }

    /// The scripts that were asked for and are no `up.sql`.
    pub fn others(&self) -> impl Iterator<Item = &Script> {
        self.migrations
            .iter()
            .filter(|migration| migration.down_chosen)
            .filter_map(|migration| migration.down.as_ref())
            .chain(&self.loose)
    }
}

/// The first thing for which the runner refuses the whole directory, with its path.
fn refused(directory: &Path) -> Option<(PathBuf, Finding)> {
    let error = db_migrate::Migration::read_directory(directory).err()?;
    let (path, line) = match &error {
        FolderError::Name { path, .. } => (path.join("up.sql"), 1),
        FolderError::Order { other, .. } => (other.join("up.sql"), 1),
        FolderError::Read { path, .. } | FolderError::Metadata { path, .. } => (path.clone(), 1),
        FolderError::Statement { path, line, .. } => (path.clone(), *line),
    };
    let shown = path
        .strip_prefix(".")
        .unwrap_or(&path)
        .to_string_lossy()
        .into_owned();
    let finding = Finding::refused_by_runner(shown, line, error.to_string());
    Some((path, finding))
}

/// The migrations of a directory, oldest first. What has no `up.sql` is none.
fn read_all(directory: &Path) -> Result<Vec<Migration>, LintError> {
    let failed = |source| LintError::File {
        path: directory.to_owned(),
        source,
    };
    let mut directories = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.join("up.sql").is_file() {
            directories.push(path);
        }
    }
    directories.sort();
    directories.into_iter().map(read_migration).collect()
}

fn read_migration(directory: PathBuf) -> Result<Migration, LintError> {
    let transactional = runs_in_transaction(&directory)?;
    let up = read(&directory.join("up.sql"), Side::Up, transactional)?;
    let down = directory.join("down.sql");
    let down = if down.is_file() {
        Some(read(&down, Side::Down, transactional)?)
    } else {
        None
    };
    Ok(Migration {
        directory,
        up: Some(up),
        down,
        chosen: false,
        down_chosen: false,
    })
}

fn read(path: &Path, side: Side, transactional: bool) -> Result<Script, LintError> {
    let shown = path.strip_prefix(".").unwrap_or(path).to_string_lossy();
    Ok(Script::new(shown, read_text(path)?, side, transactional))
}

fn read_text(path: &Path) -> Result<String, LintError> {
    std::fs::read_to_string(path).map_err(|source| LintError::File {
        path: path.to_owned(),
        source,
    })
}

/// Names of the migrations that the merge base has: as scripts/check-migrations finds it.
pub fn merged(directory: &Path, base: Option<&str>) -> Result<BTreeSet<String>, LintError> {
    git(directory, &["rev-parse", "--git-dir"])?;
    if git(directory, &["rev-parse", "--verify", "--quiet", "HEAD"]).is_err() {
        // No commit yet: everything is new.
        return Ok(BTreeSet::new());
    }
    let base = match base {
        Some(base) => base,
        None if git(
            directory,
            &["rev-parse", "--verify", "--quiet", "origin/main^{commit}"],
        )
        .is_ok() =>
        {
            "origin/main"
        }
        None => "HEAD",
    };
    let commit = git(directory, &["merge-base", "HEAD", base])?;
    let names = git(directory, &["ls-tree", "--name-only", commit.trim()])?;
    Ok(names.lines().map(ToOwned::to_owned).collect())
}

fn git(directory: &Path, arguments: &[&str]) -> Result<String, LintError> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .output()
        .map_err(|error| LintError::Git(format!("git does not run: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LintError::Git(format!(
        "git {}: {}",
        arguments.join(" "),
        said.trim().lines().next().unwrap_or("failed")
    )))
}
