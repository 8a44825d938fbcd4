//! Runs one of our programs in a directory of its own, with an environment of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Where every exit code is explained.
const DOCUMENT: &str = include_str!("../../../docs/OPERATIONS.md");

/// A program, and a place to run it in.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    /// Its working directory.
    pub directory: TempDir,
    environment: Vec<(String, String)>,
}

impl Program {
    /// The program at `path`: `env!("CARGO_BIN_EXE_…")`. It has no environment but `PATH`: what the developer has configured
    /// is not the test's affair.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// The same with an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with a clock that differs from the machine's: by `offset`, as libfaketime reads it (`+1d`, `-25h`). It goes on at
    /// its pace, and what the program waits for goes by the real one. `None`, and a word on stderr, where there is no libfaketime;
    /// scripts/test says where it is, and with CI=true it has to be there.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "how the scripts speak to the tests, and a skipped test to who runs it"
    )]
    pub fn with_clock(self, offset: &str) -> Option<Self> {
        let Ok(library) = std::env::var("PLINTH_TEST_FAKETIME") else {
            eprintln!("skipped: PLINTH_TEST_FAKETIME does not name a libfaketime (scripts/ensure-faketime)");
            return None;
        };
        let clocked = self
            .with("LD_PRELOAD", &library)
            .with("FAKETIME", offset)
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // The times of files are the file system's.
            .with("NO_FAKE_STAT", "1");
        Some(clocked)
    }

    /// The command, to be run in another way than the ones below.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Starts it, with pipes for what it says.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs it to its end, which has to be this exit code; a failure has to say a word about it.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(
            ran.code,
            Some(code),
            "{arguments:?}\n{}\n{}",
            ran.stdout,
            ran.stderr
        );
        if code != 0 && code != 64 {
            let name = self.path.file_name().unwrap().to_string_lossy();
            assert!(
                ran.stderr.contains(&format!("{name}: ")),
                "no word about it on stderr: {}",
                ran.stderr
            );
        }
        ran
    }

    /// The exit codes that `--help` lists, after a look into docs/OPERATIONS.md: its table has to give the program, whose
    /// name heads a column, the same ones.
    #[track_caller]
    pub fn documented_exit_codes(&self) -> Vec<String> {
        let help = self.expect(0, &["--help"]).stdout;
        let listed: Vec<String> = help
            .lines()
            .skip_while(|line| !line.starts_with("Exit codes:"))
            .skip(1)
            .map_while(|line| {
                let word = line.split_whitespace().next()?;
                word.parse::<u8>().is_ok().then(|| word.to_owned())
            })
            .collect();

        let name = format!("`{}`", self.path.file_name().unwrap().to_string_lossy());
        let mut rows = DOCUMENT
            .lines()
            .skip_while(|line| !line.starts_with("| code |"))
            .map_while(|line| line.strip_prefix('|'))
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        let column = rows
            .next()
            .unwrap()
            .iter()
            .position(|title| *title == name)
            .unwrap();
        let documented: Vec<String> = rows
            .skip(1)
            .filter(|cells| !cells[column].is_empty())
            .map(|cells| cells[0].to_owned())
            .collect();
        assert_eq!(listed, documented, "--help and docs/OPERATIONS.md differ");
        listed
    }
}

/// What scripts/test-versions found of `psql`, `pg_dump` and `pg_restore` comes first: the system's may be older than the server.
#[expect(clippy::disallowed_methods, reason = "how the scripts speak to the tests")]
fn path() -> String {
    let found = std::env::var("PLINTH_TEST_POSTGRES_CLIENT").map(|directory| directory + ":");
    found.unwrap_or_default() + "/usr/local/bin:/usr/bin:/bin"
}

/// Where a client program of PostgreSQL is that knows the test's server: `pg_dump`, say.
#[must_use]
pub fn client_program(name: &str) -> PathBuf {
    path()
        .split(':')
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("there is no {name}"))
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The JSON that was printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}
