use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::binaries::Binaries;
use crate::error::{Error, Result};
use crate::server::{Durability, Options};
use crate::server_user::ServerUser;

/// Superuser of the cluster, and the database made for it.
pub(crate) const SUPERUSER: &str = "plinth";
pub(crate) const DATABASE: &str = "plinth";

const SETTINGS_FILE: &str = "plinth.conf";

/// Between the data directory's name and a process id: a cluster that is being made.
const UNFINISHED: &str = ".init-";

/// Settings for every cluster. They stand in a file, so that `ALTER SYSTEM` (in a test that logs all statements, say) wins over them.
const COMMON: &[(&str, &str)] = &[
    ("max_connections", "200"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
    ("log_checkpoints", "off"),
    // Bind parameters may be secrets; keep them out of the log.
    ("log_parameter_max_length", "0"),
    ("log_parameter_max_length_on_error", "0"),
];

/// For data that a crash of the machine may take.
const DISPOSABLE: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "30min"),
    // Its workers would sit in the template database while a test wants to clone it.
    ("autovacuum", "off"),
];

/// The major version that made `data_dir`; `None` when there is no cluster yet.
///
/// # Errors
/// [`Error::NotACluster`] when something else is there.
pub(crate) fn major_version(data_dir: &Path) -> Result<Option<u32>> {
    let version_file = data_dir.join("PG_VERSION");
    match fs::read_to_string(&version_file) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(Error::NotACluster(data_dir.to_owned())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(data_dir).map_or(true, |mut entries| entries.next().is_none());
            if is_empty {
                Ok(None)
            } else {
                Err(Error::NotACluster(data_dir.to_owned()))
            }
        }
        Err(error) => Err(Error::io("read", version_file)(error)),
    }
}

/// Makes a new cluster with one database. It grows beside `data_dir` and takes its place when complete, so that being
/// killed on the way never leaves half a cluster. Call it under the change lock.
pub(crate) fn init(
    data_dir: &Path,
    binaries: &Binaries,
    user: &ServerUser,
    durability: Durability,
) -> Result<()> {
    remove_unfinished(data_dir)?;
    // A name of our own: the initdb of a program that was killed may still be at work in its directory.
    let growing = with_suffix(data_dir, &format!("{UNFINISHED}{}", std::process::id()));
    fs::create_dir(&growing).map_err(Error::io("create", &growing))?;
    user.take(&growing)?;

    let initdb = |locale: &[&str]| {
        let mut command = binaries.command("initdb");
        user.apply(&mut command);
        command
            .arg("--pgdata")
            .arg(&growing)
            .args([
                "--username",
                SUPERUSER,
                "--encoding",
                "UTF8",
                "--auth-local",
                "trust",
                "--auth-host",
                "reject",
            ])
            .args(locale);
        match durability {
            Durability::Durable => command.arg("--data-checksums"),
            Durability::Disposable => command.arg("--no-sync"),
        };
        run(command, None)
    };
    // C.UTF-8 knows the letters of all scripts; where the C library lacks it, 17 and later bring their own.
    let fallback: &[&str] = if binaries.version().major >= 17 {
        &[
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ]
    } else {
        &["--locale", "C"]
    };
    match initdb(&["--locale", "C.UTF-8"]) {
        Err(Error::Init { output, .. }) if output.contains("invalid locale") => initdb(fallback)?,
        result => result?,
    }

    let config = growing.join("postgresql.conf");
    OpenOptions::new()
        .append(true)
        .open(&config)
        .and_then(|mut file| writeln!(file, "\n# Written by Plinth at every start. Your own settings: ALTER SYSTEM.\ninclude_if_exists = '{SETTINGS_FILE}'"))
        .map_err(Error::io("write", &config))?;

    // Single-user mode, because the cluster is not to be seen before it is complete.
    let mut single = binaries.command("postgres");
    user.apply(&mut single);
    single.args(["--single", "-c", "exit_on_error=on"]);
    if durability == Durability::Disposable {
        single.args(["-c", "fsync=off"]);
    }
    single.arg("-D").arg(&growing).arg("postgres");
    run(single, Some(&format!("CREATE DATABASE {DATABASE}\n")))?;

    fs::rename(&growing, data_dir).map_err(Error::io("move the new cluster to", data_dir))
}

fn remove_unfinished(data_dir: &Path) -> Result<()> {
    let (Some(state_dir), Some(name)) = (data_dir.parent(), data_dir.file_name()) else {
        return Ok(());
    };
    let prefix = format!("{}{UNFINISHED}", name.to_string_lossy());
    for entry in fs::read_dir(state_dir).map_err(Error::io("read", state_dir))? {
        let path = entry.map_err(Error::io("read", state_dir))?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        {
            // An orphaned initdb may still be writing there; what is left then goes next time.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// Writes the settings for the coming start.
pub(crate) fn write_settings(data_dir: &Path, user: &ServerUser, durability: Durability) -> Result<()> {
    let path = data_dir.join(SETTINGS_FILE);
    let mut text =
        String::from("# Written at every start; changes are lost. Your own settings: ALTER SYSTEM.\n");
    let extra = if durability == Durability::Disposable {
        DISPOSABLE
    } else {
        &[]
    };
    for (name, value) in COMMON.iter().chain(extra) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = '{value}'");
    }
    // The directory belongs to the server user: take the old file away rather than write through what may be a link.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("replace", &path)(error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::io("write", &path))?;
    user.take(&path)
}

/// The server, ready to be spawned. What must not be changed from inside stands on its command line, the caller's settings last.
pub(crate) fn server_command(
    data_dir: &Path,
    socket_dir: &Path,
    binaries: &Binaries,
    user: &ServerUser,
    options: &Options,
) -> Command {
    let mut command = binaries.command("postgres");
    user.apply(&mut command);
    command.arg("-D").arg(data_dir);
    let socket_dir = socket_dir.display().to_string();
    let fixed = [
        ("listen_addresses", ""),
        ("unix_socket_directories", socket_dir.as_str()),
        ("unix_socket_permissions", "0700"),
        ("port", "5432"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("cluster_name", "plinth"),
    ];
    let own = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in fixed.into_iter().chain(own) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
}

fn run(mut command: Command, input: Option<&str>) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(Error::io("run", &program))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that does not read its input says why on its own; the exit status tells.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().map_err(Error::io("run", &program))?;
    if status.success() {
        return Ok(());
    }
    let output = format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    Err(Error::Init {
        program,
        status: status.to_string(),
        output,
    })
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
