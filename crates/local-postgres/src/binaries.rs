use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::server_user::ServerUser;

/// The oldest PostgreSQL that Plinth supports.
pub(crate) const MINIMUM_MAJOR: u32 = 14;

/// Written by `scripts/ensure-postgres` at the root of an unpacked tree: directories with its shared libraries, relative to
/// that root, one per line.
const LIBRARY_PATH_FILE: &str = "library-path";

/// A PostgreSQL version, such as 15.18 or 18beta2 (then `minor` is 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 15 in 15.18; data directories are compatible within one major version.
    pub major: u32,
    /// 18 in 15.18.
    pub minor: u32,
}

impl Version {
    /// Reads the output of `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(text: &str) -> Option<Self> {
        let number = text
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        let major = parts.next()?.parse().ok()?;
        let minor = if number.contains('.') {
            parts.next()?.parse().ok()?
        } else {
            0
        };
        Some(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A directory with PostgreSQL's programs that can run a cluster for Plinth.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
    version: Version,
    library_path: Option<OsString>,
}

impl Binaries {
    /// Looks for usable binaries: only in `explicit` when given, else the newest in `/usr/lib/postgresql/*/bin` (Debian), then where
    /// `pg_config` points, `PATH`, the newest in `/usr/pgsql-*/bin` (Red Hat), and what `scripts/ensure-postgres` unpacked into the cache.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] with every place and why it was passed over.
    pub fn find(explicit: Option<&Path>) -> Result<Self> {
        Self::find_for(explicit, None, &ServerUser::default_user()?)
    }

    /// As [`Self::find`], but with `major` (that of an existing data directory) prefers binaries of that version, and makes sure that
    /// `user` can run them.
    pub(crate) fn find_for(explicit: Option<&Path>, major: Option<u32>, user: &ServerUser) -> Result<Self> {
        let mut tried = Vec::new();
        let mut usable: Vec<Self> = Vec::new();
        for dir in explicit.map_or_else(candidates, |dir| vec![dir.to_owned()]) {
            if usable.iter().any(|found| found.dir == dir) {
                continue;
            }
            match Self::inspect(&dir, user) {
                Ok(found) if major.is_none_or(|major| major == found.version.major) => return Ok(found),
                Ok(found) => usable.push(found),
                Err(reason) => tried.push(format!("{}: {reason}", dir.display())),
            }
        }
        if explicit.is_none() {
            tried.push(
                "and nothing in: /usr/lib/postgresql/*/bin, `pg_config --bindir`, PATH, /usr/pgsql-*/bin, ~/.cache/plinth/postgresql"
                    .to_owned(),
            );
        }
        usable.into_iter().next().ok_or(Error::NoBinaries { tried })
    }

    fn inspect(dir: &Path, user: &ServerUser) -> std::result::Result<Self, String> {
        for program in ["postgres", "initdb"] {
            if !is_executable(&dir.join(program)) {
                return Err(format!("no program `{program}`"));
            }
        }
        user.check_reaches(dir).map_err(|error| error.to_string())?;
        let mut binaries = Self {
            dir: dir.to_owned(),
            version: Version { major: 0, minor: 0 },
            library_path: library_path(dir),
        };
        binaries.version = binaries.read_version(user)?;
        if binaries.version.major < MINIMUM_MAJOR {
            return Err(format!(
                "PostgreSQL {} is older than {MINIMUM_MAJOR}",
                binaries.version
            ));
        }
        for extension in ["pgcrypto", "uuid-ossp"] {
            if !binaries.has_extension(extension) {
                return Err(format!(
                    "PostgreSQL {} without the extension {extension} (contrib)",
                    binaries.version
                ));
            }
        }
        Ok(binaries)
    }

    fn read_version(&self, user: &ServerUser) -> std::result::Result<Version, String> {
        let mut command = self.command("postgres");
        user.apply(&mut command);
        let output = command
            .arg("--version")
            .output()
            .map_err(|error| format!("postgres cannot be run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Version::parse(&text).ok_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            format!("`postgres --version` says: {}{}", text.trim(), complaint.trim())
        })
    }

    /// Where PostgreSQL itself will look, in the layouts there are: it finds its files relative to its programs.
    fn has_extension(&self, name: &str) -> bool {
        let mut share_dirs = vec![
            self.dir.join("../share/postgresql"),
            self.dir.join("../share"),
            self.dir
                .join(format!("../../../../share/postgresql/{}", self.version.major)),
        ];
        if is_executable(&self.dir.join("pg_config"))
            && let Ok(output) = self
                .command("pg_config")
                .arg("--sharedir")
                .stderr(Stdio::null())
                .output()
        {
            share_dirs.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        share_dirs
            .iter()
            .any(|share| share.join("extension").join(format!("{name}.control")).is_file())
    }

    /// The directory that holds the programs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path of a program such as `psql` or `pg_dump`, if this tree has it: bare server trees have no client programs.
    #[must_use]
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.dir.join(name)).filter(|path| is_executable(path))
    }

    /// A command for one of the programs, with an environment of its own: none of the caller's `PG…` variables or locale reach it.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.dir.join(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }
}

/// Directories that may hold the programs, the best first.
fn candidates() -> Vec<PathBuf> {
    let mut dirs = versioned(Path::new("/usr/lib/postgresql"), "");
    if let Ok(output) = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
    {
        let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !dir.is_empty() {
            dirs.push(PathBuf::from(dir));
        }
    }
    let path = system_variable("PATH").unwrap_or_default();
    // Debian's /usr/bin has wrappers for the client programs only: such directories are no candidates worth a line.
    dirs.extend(env::split_paths(&path).filter(|dir| is_executable(&dir.join("initdb"))));
    dirs.extend(versioned(Path::new("/usr"), "pgsql-"));
    for cache in cache_dirs() {
        let tree = cache.join("plinth/postgresql");
        dirs.extend(versioned(&tree.join("usr/lib/postgresql"), ""));
        dirs.extend(Some(tree.join("native/bin")).filter(|dir| dir.is_dir()));
    }
    let mut seen = std::collections::HashSet::new();
    dirs.retain(|dir| seen.insert(dir.clone()));
    dirs
}

/// `<parent>/<prefix><major>/bin`, the newest first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let major = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((major, parent.join(name).join("bin")))
        })
        .filter(|(_, bin)| bin.is_dir())
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, bin)| bin).collect()
}

/// The same places as in `scripts/ensure-postgres`: the user's cache, and the machine's where root put it.
fn cache_dirs() -> Vec<PathBuf> {
    let user = system_variable("XDG_CACHE_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    user.into_iter().chain([PathBuf::from("/var/cache")]).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "PATH and XDG_CACHE_HOME are the system's settings, not Plinth's"
)]
fn system_variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// The library directories of an unpacked tree, for `LD_LIBRARY_PATH`: its programs expect them in `/usr/lib`.
fn library_path(bin: &Path) -> Option<OsString> {
    let root = bin
        .ancestors()
        .take(6)
        .find(|dir| dir.join(LIBRARY_PATH_FILE).is_file())?;
    let list = fs::read_to_string(root.join(LIBRARY_PATH_FILE)).ok()?;
    env::join_paths(
        list.lines()
            .filter(|line| !line.is_empty())
            .map(|line| root.join(line)),
    )
    .ok()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let parse = |text| Version::parse(text).map(|version| (version.major, version.minor));
        assert_eq!(
            parse("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some((15, 18))
        );
        assert_eq!(parse("postgres (PostgreSQL) 18beta2"), Some((18, 0)));
        assert_eq!(parse("postgres (PostgreSQL) 17.5"), Some((17, 5)));
        assert_eq!(parse("error while loading shared libraries"), None);
    }

    #[test]
    fn versioned_directories_come_newest_first_and_by_number() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9", "14", "100", "current"] {
            fs::create_dir_all(parent.path().join(name).join("bin")).unwrap();
        }
        fs::create_dir_all(parent.path().join("16")).unwrap();
        let majors: Vec<_> = versioned(parent.path(), "")
            .iter()
            .map(|bin| {
                bin.parent()
                    .unwrap()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert_eq!(majors, ["100", "14", "9"]);
    }
}
