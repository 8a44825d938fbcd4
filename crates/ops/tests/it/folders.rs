//! Directories of migrations, written by tests.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::support::Ops;

/// A directory of migrations.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One that runs in a transaction.
    pub fn with(self, name: &str, up: &str, down: &str) -> Self {
        self.write(name, "up.sql", up);
        self.write(name, "down.sql", down);
        self
    }

    /// One that does not.
    pub fn with_stepwise(self, name: &str, up: &str, down: &str) -> Self {
        let folder = self.with(name, up, down);
        folder.write(name, "metadata.toml", "run_in_transaction = false\n");
        folder
    }

    pub fn write(&self, name: &str, file: &str, text: &str) {
        fs::create_dir_all(self.path().join(name)).unwrap();
        fs::write(self.path().join(name).join(file), text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `migrate <arguments> --migrations <this>`
    pub fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["migrate"];
        all.extend(arguments);
        all.extend(["--migrations", self.path().to_str().unwrap()]);
        all
    }

    #[track_caller]
    pub fn expect(&self, ops: &Ops, code: i32, arguments: &[&str]) -> test_support::Ran {
        ops.expect(code, &self.arguments(arguments))
    }
}
