//! `local-postgres STATE_DIR [--disposable]`: runs the cluster in STATE_DIR until its input ends. Prints one line,
//! `started` or `attached` and the address, when it is ready. For trying things by hand, and for the tests of what happens when a program is killed.

use std::error::Error;
use std::io::{Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;

use local_postgres::{Durability, LocalPostgres, Options, Ownership};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to report that the error cannot be reported.
            let _ = writeln!(stderr().lock(), "local-postgres: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let state_dir = arguments
        .next()
        .ok_or("usage: local-postgres STATE_DIR [--disposable]")?;
    let durability = match arguments.next() {
        None => Durability::Durable,
        Some(flag) if flag == "--disposable" => Durability::Disposable,
        Some(other) => return Err(format!("unknown argument {}", other.display()).into()),
    };
    let server = LocalPostgres::start(Options::new(state_dir, durability))?;
    let how = match server.ownership() {
        Ownership::Started => "started",
        Ownership::Attached => "attached",
    };
    writeln!(stdout().lock(), "{how} {}", server.address().url())?;
    stdin().lock().read_to_end(&mut Vec::new())?;
    server.stop()?;
    Ok(())
}
