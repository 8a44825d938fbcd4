//! Runs the program; see `test_support::Program`.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;
use std::time::Duration;

use test_support::{KEY, Program, TestDatabase};

pub use test_support::Ran;

/// The advisory lock of migrations.
pub use db_migrate::LOCK as MIGRATION_LOCK;

/// The program, in a place of its own.
pub struct Ops(Program);

impl Ops {
    /// Without a database.
    pub fn new() -> Self {
        Self(Program::new(env!("CARGO_BIN_EXE_plinth-ops")))
    }

    /// With a database, and its key.
    pub fn on(database: &TestDatabase) -> Self {
        Self::new()
            .with("DATABASE_URL", &database.url("plinth"))
            .with("POSTGRES_ENCRYPTION_KEY", KEY)
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        Self(self.0.with(name, value))
    }

    /// With a clock of its own; see `Program::with_clock`.
    pub fn with_clock(self, offset: &str) -> Option<Self> {
        self.0.with_clock(offset).map(Self)
    }
}

impl Deref for Ops {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

/// `DATABASE_URL` of a test's database, for a login of the test server.
pub fn url(database: &TestDatabase, user: &str) -> String {
    database.url(user)
}

/// A place for backups that nobody else can look into.
pub fn closed_place() -> tempfile::TempDir {
    let closed = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(closed).tempdir().unwrap()
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
