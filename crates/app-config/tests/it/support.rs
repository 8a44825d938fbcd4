//! What the tests share.

use app_config::{Config, DatabaseAddress, Environment, Loaded, Loader};
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// A working directory with some files, and an environment.
pub struct Place {
    dir: TempDir,
    environment: Environment,
}

impl Place {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            environment: Environment::default(),
        }
    }

    pub fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.dir.path().join(name), content).unwrap();
        self
    }

    /// Lines of `NAME=value`, taken as they are.
    pub fn env(mut self, lines: &str) -> Self {
        self.environment = environment(lines);
        self
    }

    pub fn loader(&self) -> Loader {
        Loader::new(self.dir.path(), self.environment.clone())
    }

    pub fn load(&self) -> Loaded {
        self.loader().load().expect("a valid configuration")
    }

    /// All problems, in one text.
    pub fn problems(&self) -> String {
        self.loader().load().expect_err("problems").to_string()
    }
}

pub fn environment(lines: &str) -> Environment {
    lines
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .collect()
}

/// The configuration that an environment alone gives.
pub fn config(lines: &str) -> Config {
    Place::new().env(lines).load().config
}

/// The database that an environment alone gives.
pub fn address(lines: &str) -> DatabaseAddress {
    config(lines).database.address.expect("a configured database")
}

/// The problems that an environment alone has.
pub fn problems(lines: &str) -> String {
    Place::new().env(lines).problems()
}

/// `user:password@host:port/database sslmode`, for short comparisons.
pub fn whole(address: &DatabaseAddress) -> String {
    let password = address
        .password
        .as_ref()
        .map_or("(none)", |password| password.expose_secret());
    let DatabaseAddress {
        host,
        port,
        database,
        user,
        ssl,
        ..
    } = address;
    format!("{user}:{password}@{host}:{port}/{database} {}", ssl.mode.as_str())
}

/// Where a setting came from, as `config show` prints it.
pub fn origin(loaded: &Loaded, key: &str) -> String {
    loaded
        .entries
        .iter()
        .find(|entry| entry.key == key)
        .expect("a known key")
        .origin
        .to_string()
}
