//! Runs the program in a directory of its own, with an environment of its own.

use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use test_support::TestDatabase;

/// A place to run the program in.
pub struct Seeder {
    pub directory: TempDir,
    database_url: String,
}

impl Seeder {
    pub fn on(database: &TestDatabase) -> Self {
        let address = database.address();
        let url = format!(
            "postgresql://{}@/{}?host={}&port={}",
            address.user, address.database, address.host, address.port
        );
        Self::at(&url)
    }

    pub fn at(database_url: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            database_url: database_url.to_owned(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plinth-seeder"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            // What the developer has configured is not the test's affair.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("DATABASE_URL", &self.database_url)
            .stdin(Stdio::null());
        command
    }

    pub fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The output, when the exit code is the wanted one.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = Ran::from(self.command(arguments).output().unwrap());
        assert_eq!(
            ran.code,
            Some(code),
            "{arguments:?}\n{}\n{}",
            ran.stdout,
            ran.stderr
        );
        if code != 0 && code != 64 {
            assert!(
                ran.stderr.contains("plinth-seeder: "),
                "no word about it on stderr: {}",
                ran.stderr
            );
        }
        ran
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
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
    /// The `changes` of the JSON that was printed.
    pub fn changes(&self) -> Vec<serde_json::Value> {
        let printed: serde_json::Value = serde_json::from_str(&self.stdout).unwrap();
        printed.get("changes").unwrap().as_array().unwrap().clone()
    }
}
