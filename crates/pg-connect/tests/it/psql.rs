//! libpq's verdict on the same address.

use std::path::Path;

use app_config::DatabaseAddress;

use crate::server::program;

/// What came of an attempt, by us or by libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Tls,
    Plain,
    Refused,
}

/// Connects with `psql`; `None` where it is not installed. `home` keeps the user's own certificates out.
pub fn connect(address: &DatabaseAddress, host_addr: Option<&str>, home: &Path) -> Option<(Outcome, String)> {
    let mut command = program("psql");
    command
        .env("HOME", home)
        .env("PGHOST", &address.host)
        .env("PGPORT", address.port.to_string())
        .env("PGUSER", &address.user)
        .env("PGDATABASE", &address.database)
        .env("PGSSLMODE", address.ssl.mode.as_str())
        .env("PGCONNECT_TIMEOUT", "10");
    if let Some(ip) = host_addr {
        command.env("PGHOSTADDR", ip);
    }
    for (name, file) in [
        ("PGSSLROOTCERT", &address.ssl.root_cert),
        ("PGSSLCERT", &address.ssl.cert),
        ("PGSSLKEY", &address.ssl.key),
    ] {
        if let Some(file) = file {
            command.env(name, file);
        }
    }
    command.args([
        "-X",
        "-A",
        "-t",
        "-w",
        "-c",
        "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    ]);
    let output = command.output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let outcome = match (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).trim(),
    ) {
        (true, "t") => Outcome::Tls,
        (true, "f") => Outcome::Plain,
        (true, other) => panic!("psql answered {other:?}"),
        (false, _) => Outcome::Refused,
    };
    Some((outcome, said))
}
