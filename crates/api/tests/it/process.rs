//! The program itself, in a directory and with an environment of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use test_support::{Actor, TestDatabase};

/// How to run the program.
pub struct Program {
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

impl Program {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            environment: Vec::new(),
        }
        .with("PLINTH_SERVER_BIND", "127.0.0.1:0")
        .with("PLINTH_SERVER_METRICS_BIND", "127.0.0.1:0")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn spawn(&self) -> (Child, PathBuf) {
        let log = self.directory.join("log");
        let file = File::create(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plinth-api"))
            .current_dir(&self.directory)
            // What the developer has configured is not the test's affair.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        (child, log)
    }

    /// Runs it until it listens.
    pub async fn serve(self) -> Running {
        let (child, log) = self.spawn();
        let mut running = Running {
            child,
            log,
            base: String::new(),
            metrics: String::new(),
        };
        let started = Instant::now();
        loop {
            let log = running.log();
            if let Some((_, rest)) = log.split_once("listening on ") {
                let mut addresses = rest.split("http://").skip(1).map(|part| {
                    let end = part.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
                    format!("http://{}", &part[..end.unwrap_or(part.len())])
                });
                (running.base, running.metrics) = (addresses.next().unwrap(), addresses.next().unwrap());
                return running;
            }
            assert!(running.child.try_wait().unwrap().is_none(), "it ended: {log}");
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "it does not listen: {log}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs it, waits for it to refuse, and returns what it said.
    #[track_caller]
    pub fn refuses(self) -> String {
        self.refuses_with(1)
    }

    /// The same with an exit code of its own: 78 for a configuration that is not valid.
    #[track_caller]
    pub fn refuses_with(self, code: i32) -> String {
        let (mut child, log) = self.spawn();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
                panic!("it runs: {}", std::fs::read_to_string(log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = std::fs::read_to_string(log).unwrap();
        assert_eq!(status.code(), Some(code), "{said}");
        // The last line is for whoever started it; what stands before is the log.
        said.lines().last().unwrap_or_default().to_owned()
    }
}

/// The program, running. Killed on drop.
pub struct Running {
    child: Child,
    log: PathBuf,
    pub base: String,
    /// Base address of the metrics.
    pub metrics: String,
}

impl Running {
    pub fn actor(&self) -> Actor {
        Actor::anonymous(&self.base)
    }

    /// Tells it to stop, and waits until it has.
    pub async fn terminate(&mut self) {
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(40),
                "it does not stop: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
