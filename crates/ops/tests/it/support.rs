//! Runs the program in a directory of its own, with an environment of its own.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use test_support::{KEY, TestDatabase};

/// The advisory lock of migrations: part of what other programs may rely on, so it is written down here once more.
pub const MIGRATION_LOCK: i64 = 0x506c_696e_7468_4d69;

/// A place to run the program in.
pub struct Ops {
    pub directory: TempDir,
    environment: Vec<(String, String)>,
}

impl Ops {
    /// Without a database.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        }
    }

    /// With a database, and its key.
    pub fn on(database: &TestDatabase) -> Self {
        Self::new()
            .with("DATABASE_URL", &url(database, "plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plinth-ops"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            // What the developer has configured is not the test's affair.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// The output, when the exit code is the wanted one.
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
            assert!(
                ran.stderr.contains("plinth-ops: "),
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
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// `DATABASE_URL` of a test's database, for a login of the test server.
pub fn url(database: &TestDatabase, user: &str) -> String {
    let address = database.address();
    format!(
        "postgresql://{user}@/{}?host={}&port={}",
        address.database, address.host, address.port
    )
}

/// Ends a process the way nobody can prepare for.
pub fn kill_9(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Asks every few milliseconds until the query gives a row whose first column is true.
pub async fn wait_until(client: &tokio_postgres::Client, condition: &str) {
    for _ in 0..400 {
        if client.query_one(condition, &[]).await.unwrap().get(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited in vain for: {condition}");
}
