//! Setting up over HTTP, at start and by twenty at once: exactly one wins, and nothing is left of what did not happen.

mod answers;
mod doors;
mod races;
mod start;

use std::path::Path;

use app_config::Config;
use secrecy::SecretString;
use test_support::{Actor, TestDatabase};

use crate::app::TestApp;

pub const TOKEN: &str = "setup-token-for-the-tests";
pub const SETUP: &str = "/api/db/setup";

/// A server before a database that nobody has set up, without a configured key.
pub async fn fresh(db: TestDatabase, directory: &Path) -> TestApp {
    TestApp::start_with(db, |config| unconfigured(config, directory)).await
}

pub fn unconfigured(config: &mut Config, directory: &Path) {
    config.security.encryption_key = None;
    config.setup.token = Some(SecretString::from(TOKEN));
    config.paths.persistent_dir = directory.join("persistent_data");
}

pub fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("persistent_data"));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn owner(actor: &Actor) -> Actor {
    actor.with_bearer(TOKEN)
}
