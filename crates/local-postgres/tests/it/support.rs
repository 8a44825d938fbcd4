//! A state directory of its own per test, `psql`, and other programs that use the same cluster.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use local_postgres::{Durability, LocalPostgres, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A directory that the server user can reach, also when the tests run as root.
pub fn state_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

pub fn disposable(dir: &Path) -> Options {
    Options::new(dir, Durability::Disposable)
}

pub fn start(dir: &Path) -> LocalPostgres {
    LocalPostgres::start(disposable(dir)).unwrap()
}

/// Runs SQL as the superuser and returns the unaligned rows.
pub fn sql(server: &LocalPostgres, sql: &str) -> String {
    let output = psql(server, sql).output().unwrap();
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn psql(server: &LocalPostgres, sql: &str) -> Command {
    let mut command = server.binaries().command("psql");
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &server.address().url(),
        "-c",
        sql,
    ]);
    command
}

pub fn is_running(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

pub fn kill_9(pid: u32) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whom the server runs as for a cluster in `data_dir`.
pub fn owner_of(data_dir: &Path) -> (u32, u32) {
    let meta = fs::metadata(data_dir).unwrap();
    (meta.uid(), meta.gid())
}

/// A process that has nothing to do with PostgreSQL, run as `owner`. Killed on drop.
pub struct Bystander(Child);

impl Bystander {
    pub fn run_as((uid, gid): (u32, u32)) -> Self {
        let mut command = Command::new("sleep");
        if nix::unistd::geteuid().is_root() {
            command.uid(uid).gid(gid);
        }
        Self(command.arg("600").spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Another program that uses a cluster: the crate's own binary.
pub struct Program {
    child: Child,
    /// `started` or `attached`.
    pub how: String,
    pub url: String,
}

impl Program {
    pub fn run(dir: &Path) -> Self {
        Self::ready(Self::spawn(
            Command::new(env!("CARGO_BIN_EXE_local-postgres")),
            dir,
        ))
    }

    /// Starts without waiting for the server.
    pub fn spawn(mut command: Command, dir: &Path) -> Child {
        command
            .arg(dir)
            .arg("--disposable")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    pub fn ready(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (how, url) = line
            .trim()
            .split_once(' ')
            .expect("the program says how it got the server");
        Self {
            child,
            how: how.to_owned(),
            url: url.to_owned(),
        }
    }

    /// Lets it end in good order.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    pub fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What Ctrl-C in a terminal does: the whole foreground process group gets SIGINT.
    pub fn ctrl_c(mut self) {
        let group = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(-group), Signal::SIGINT).unwrap();
        assert!(!self.child.wait().unwrap().success());
    }
}

/// The one cluster below a state directory.
pub fn data_dir(state_dir: &Path) -> PathBuf {
    let entry = fs::read_dir(state_dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.file_name().to_string_lossy().starts_with("data-"));
    entry.expect("a cluster").path()
}

pub fn postmaster_pid(data_dir: &Path) -> u32 {
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}
