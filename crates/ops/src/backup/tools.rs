//! pg_dump and pg_restore: which ones there are, and how they are run.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use app_config::{Config, DatabaseAddress};
use local_postgres::Binaries;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::BackupError;

/// libpq's word for "the authorities that this machine trusts", in place of a file.
const SYSTEM: &str = "system";

/// OpenSSL's variable for the file that holds them.
const CERT_FILE: &str = "SSL_CERT_FILE";

/// Where systems have that file: Debian, Alpine; Fedora, RHEL; openSUSE; macOS, FreeBSD.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How much of what a program complains about is kept.
const COMPLAINT: usize = 64 * 1024;

/// One of PostgreSQL's client programs.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    /// `pg_dump`, `pg_restore`.
    name: &'static str,
    path: PathBuf,
    library_path: Option<std::ffi::OsString>,
    pub major: u32,
    /// As it says itself: `15.18`.
    pub version: String,
}

impl Tool {
    /// The program of the version nearest to `major`, and no older.
    ///
    /// # Errors
    /// There is none; says which there are, and what to install.
    pub async fn find(
        config: &Config,
        name: &'static str,
        major: u32,
        why: &str,
    ) -> Result<Self, BackupError> {
        let mut found: Vec<Self> = Vec::new();
        for (path, library_path) in candidates(config, name) {
            if let Some(tool) = Self::inspect(name, path, library_path).await {
                found.push(tool);
            }
        }
        let seen: Vec<String> = found
            .iter()
            .map(|tool| format!("{} ({})", tool.path.display(), tool.version))
            .collect();
        found.sort_by_key(|tool| tool.major);
        found.into_iter().find(|tool| tool.major >= major).ok_or_else(|| {
            let seen = if seen.is_empty() {
                format!("there is no {name}")
            } else {
                format!("{name} is too old: found {}", seen.join(", "))
            };
            BackupError::Tools(format!(
                "{seen}; {why} needs {name} {major} or newer: install postgresql-client-{major} (Debian, Ubuntu: from \
                 apt.postgresql.org where the system has it not), or set PLINTH_POSTGRES_BIN to the directory that has it"
            ))
        })
    }

    async fn inspect(
        name: &'static str,
        path: PathBuf,
        library_path: Option<std::ffi::OsString>,
    ) -> Option<Self> {
        let mut tool = Self {
            name,
            path,
            library_path,
            major: 0,
            version: String::new(),
        };
        let output = tool.bare().arg("--version").output().await.ok()?;
        // pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
        let text = String::from_utf8(output.stdout).ok()?;
        tool.version = text
            .split_whitespace()
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?
            .to_owned();
        let digits: String = tool.version.chars().take_while(char::is_ascii_digit).collect();
        tool.major = digits.parse().ok()?;
        Some(tool)
    }

    /// With an environment of its own: nothing of the caller's `PG…` reaches it.
    fn bare(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(path) = &self.library_path {
            command.env("LD_LIBRARY_PATH", path);
        }
        command
    }

    /// A command for a database. The password goes by the environment, which other users cannot see, and not by the arguments.
    pub fn command(&self, address: &DatabaseAddress, application: &str) -> Command {
        let mut command = self.bare();
        command
            .env("PGHOST", &address.host)
            .env("PGPORT", address.port.to_string())
            .env("PGUSER", &address.user)
            .env("PGDATABASE", &address.database)
            .env("PGAPPNAME", application)
            .env("PGCONNECT_TIMEOUT", "10")
            .arg("--no-password");
        if !address.is_unix_socket() {
            command.env("PGSSLMODE", address.ssl.mode.as_str());
            let files = [
                ("PGSSLROOTCERT", &address.ssl.root_cert),
                ("PGSSLCERT", &address.ssl.cert),
                ("PGSSLKEY", &address.ssl.key),
            ];
            for (variable, file) in files {
                if let Some(file) = file {
                    command.env(variable, file);
                }
            }
            if address.ssl.root_cert.as_deref() == Some(Path::new(SYSTEM)) {
                self.trust_the_system(&mut command);
            }
        }
        if let Some(password) = &address.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        command
    }

    /// Gives libpq the authorities that pg-connect takes for `system`. The word is known from PostgreSQL 16 on: before, it would be a file's
    /// name. Where OpenSSL looks depends on who built it, so it is told.
    fn trust_the_system(&self, command: &mut Command) {
        let Some(bundle) = system_authorities() else {
            return;
        };
        if self.major >= 16 {
            command.env(CERT_FILE, &bundle);
        } else {
            command.env("PGSSLROOTCERT", &bundle);
        }
    }

    /// Starts it, and listens to its complaints.
    pub fn start(&self, mut command: Command) -> Result<Running, BackupError> {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| BackupError::Io {
                doing: format!("cannot run {}", self.path.display()),
                source,
            })?;
        let complaint = child.stderr.take().map(|stderr| tokio::spawn(read(stderr)));
        Ok(Running {
            name: self.name,
            child,
            complaint,
        })
    }
}

/// A program that runs. Killed when dropped.
pub(super) struct Running {
    name: &'static str,
    child: Child,
    complaint: Option<tokio::task::JoinHandle<String>>,
}

/// How a program ended.
pub(super) struct Ended {
    name: &'static str,
    status: std::process::ExitStatus,
    /// What it wrote to stderr.
    pub complaint: String,
}

impl Running {
    /// Waits for its end.
    pub async fn end(&mut self) -> Result<Ended, BackupError> {
        let status = self.child.wait().await.map_err(|source| BackupError::Io {
            doing: format!("cannot wait for {}", self.name),
            source,
        })?;
        let complaint = match self.complaint.take() {
            Some(task) => task.await.unwrap_or_default(),
            None => String::new(),
        };
        Ok(Ended {
            name: self.name,
            status,
            complaint: complaint.trim().to_owned(),
        })
    }
}

impl Ended {
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Anything but success is an error with the program's own words.
    pub fn check(self) -> Result<(), BackupError> {
        if self.status.success() {
            if !self.complaint.is_empty() {
                tracing::warn!(program = self.name, said = self.complaint);
            }
            return Ok(());
        }
        Err(BackupError::Failed(format!(
            "{} failed ({}): {}",
            self.name,
            self.status,
            if self.complaint.is_empty() {
                "it did not say why"
            } else {
                &self.complaint
            }
        )))
    }
}

/// The beginning of what is written, and all of it taken: a full pipe would stop the program.
async fn read(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    let mut buffer = vec![0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = COMPLAINT.saturating_sub(text.len());
        text.extend(buffer.iter().take(count.min(room)));
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Where the program may be: the configured directory alone, or all the usual ones.
fn candidates(config: &Config, name: &str) -> Vec<(PathBuf, Option<std::ffi::OsString>)> {
    if let Some(directory) = &config.paths.postgres_bin {
        let path = directory.join(name);
        return is_executable(&path).then_some((path, None)).into_iter().collect();
    }
    let mut found: Vec<PathBuf> = versioned(Path::new("/usr/lib/postgresql"), "", name);
    found.extend(versioned(Path::new("/usr"), "pgsql-", name));
    // What scripts/ensure-postgres unpacked is found by local-postgres, which knows its libraries.
    let mut unpacked = None;
    if let Ok(binaries) = Binaries::find(None)
        && let Some(path) = binaries.program(name)
    {
        let library_path = binaries
            .command(name)
            .get_envs()
            .find(|(variable, _)| *variable == "LD_LIBRARY_PATH")
            .and_then(|(_, value)| value.map(ToOwned::to_owned));
        match library_path {
            Some(libraries) => unpacked = Some((path, Some(libraries))),
            None => found.push(path),
        }
    }
    found.extend(std::env::split_paths(&path_variable()).map(|directory| directory.join(name)));
    let mut seen = HashSet::new();
    found.retain(|path| is_executable(path) && seen.insert(path.clone()));
    found
        .into_iter()
        .map(|path| (path, None))
        .chain(unpacked)
        .collect()
}

/// Where the authorities are that this machine trusts, in one file: the one that `SSL_CERT_FILE` names, else that of the usual places which
/// is there.
#[expect(
    clippy::disallowed_methods,
    reason = "SSL_CERT_FILE is OpenSSL's setting, not Plinth's"
)]
fn system_authorities() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os(CERT_FILE).filter(|file| !file.is_empty()) {
        return Some(file.into());
    }
    BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file())
}

#[expect(
    clippy::disallowed_methods,
    reason = "PATH is the system's setting, not Plinth's"
)]
fn path_variable() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// `<parent>/<prefix><major>/bin/<name>`.
fn versioned(parent: &Path, prefix: &str, name: &str) -> Vec<PathBuf> {
    fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let directory = entry.ok()?.file_name();
            directory.to_str()?.strip_prefix(prefix)?.parse::<u32>().ok()?;
            Some(parent.join(directory).join("bin").join(name))
        })
        .collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Version of the program that would be used with a server of this major version. For the doctor.
///
/// # Errors
/// There is none, or only older ones.
pub async fn version(config: &Config, name: &'static str, major: u32) -> Result<String, BackupError> {
    let tool = Tool::find(config, name, major, "this server").await?;
    Ok(format!("{name} {}", tool.version))
}
