//! `with-postgres -- COMMAND …`: runs a command beside a disposable PostgreSQL with a template database.

use std::process::{Command, ExitCode};

use anyhow::Context as _;
use local_postgres::{LocalPostgres, default_state_dir};
use test_support::{ServerAddress, build_template, disposable};

fn main() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args_os().skip(1).skip_while(|word| word == "--");
    let program = words.next().context("usage: with-postgres -- COMMAND …")?;

    // One directory for each run, so that two runs side by side never share a cluster.
    let root = default_state_dir(std::path::Path::new("."))?.join("tests");
    let directory = root.join(std::process::id().to_string());
    let server = LocalPostgres::start(disposable(directory.clone()))?;
    let address = ServerAddress::of(&server);
    build_template(&address)?;

    let status = Command::new(&program)
        .args(words)
        .env(ServerAddress::VARIABLE, address.to_string())
        .status();
    server.stop()?;
    // The files are worth nothing; a leftover directory is no failure of the tests.
    let _ = std::fs::remove_dir_all(&directory);
    let code = status
        .with_context(|| format!("cannot run {}", program.display()))?
        .code()
        .unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
