//! The server: version, whether it takes writes, its clock, and room for connections.

use std::time::Instant;

use app_config::DatabaseConfig;
use chrono::{DateTime, Utc};
use db_core::Clock;
use tokio_postgres::{Client, Error};

use super::catalogue::{CLOCK, CONNECTIONS, PRIMARY, SECURITY, VERSION};
use super::check::{Findings, Status, Trouble};
use super::version::{Standing, standing};

/// From this difference on, times in logs and of backups cannot be compared.
const CLOCK_WARNING: f64 = 2.0;
/// From this difference on, it is a fault.
const CLOCK_FAILURE: f64 = 60.0;
/// What commands and start-up checks open beside the pool of each process.
const BESIDE_THE_POOL: i64 = 2;

/// All of it. `pool` is the number of server connections that the pooler opens at most, where it told.
pub async fn look(
    findings: &mut Findings,
    client: &Client,
    database: &DatabaseConfig,
    replicas: u32,
    pool: Option<i64>,
) -> Result<(), Error> {
    version(findings, client).await?;
    primary(findings, client).await?;
    clock(findings, client).await?;
    connections(findings, client, database, replicas, pool).await
}

async fn version(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
            &[],
        )
        .await?;
    let (number, text): (i32, String) = (row.get(0), row.get(1));
    let text = format!("PostgreSQL {text}");
    match standing(number) {
        Standing::TooOld => {
            findings.failed(
                VERSION,
                Trouble::new(
                    &text,
                    "Plinth's schema needs PostgreSQL 14 or newer",
                    "upgrade the server (pg_upgrade, or a new server and plinth-ops restore)",
                ),
            );
            findings.skipped(SECURITY, "the version is too old anyway");
        }
        Standing::Good => {
            findings.ok(VERSION, &text);
            findings.ok(SECURITY, "none missing that Plinth knows of");
        }
        Standing::Insecure { major, minor } => {
            findings.ok(VERSION, &text);
            let (found, cure) = match minor {
                Some(minor) => (
                    format!("{text} is older than {major}.{minor}"),
                    format!(
                        "install {major}.{minor} or a later {major} and restart the server; nothing has to be migrated"
                    ),
                ),
                None => (
                    format!("{text}: {major} has no release with all fixes"),
                    "upgrade to a supported major version, 15 or newer".to_owned(),
                ),
            };
            let mut cause = "CVE-2026-14663: pgcrypto decrypts what was encrypted with bf or cast5 under any key. Plinth encrypts \
                             with aes256, which is not affected; other applications of this server may be"
                .to_owned();
            if seen(client).await {
                cause.push_str(". Tried here: a wrong key does decrypt");
            }
            findings.warning(SECURITY, Trouble::new(found, cause, cure));
        }
    }
    Ok(())
}

/// Whether the fault shows: something encrypted under one key is opened with another.
async fn seen(client: &Client) -> bool {
    let sql =
        "SELECT pgp_sym_decrypt(pgp_sym_encrypt('plinth', 'one', 'cipher-algo=bf'), 'another') = 'plinth'";
    matches!(client.query_one(sql, &[]).await, Ok(row) if row.get(0))
}

async fn primary(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let row = client
        .query_one(
            // Not the session's own setting: the doctor has made itself read-only.
            "SELECT pg_is_in_recovery(), reset_val::bool FROM pg_settings WHERE name = 'default_transaction_read_only'",
            &[],
        )
        .await?;
    if row.get(0) {
        findings.failed(
            PRIMARY,
            Trouble::new(
                "the server is in recovery: a standby, which takes no writes",
                "the address leads to a replica, or the primary is still recovering from a crash or a restore",
                "configure the primary's address (or the provider's read-write endpoint); if this is it, wait, or SELECT pg_promote()",
            ),
        );
    } else if row.get(1) {
        findings.failed(
            PRIMARY,
            Trouble::new(
                "default_transaction_read_only is on",
                "every transaction is refused that writes; some providers set it when the disk is full",
                "free or enlarge the disk, then ALTER DATABASE … RESET default_transaction_read_only (or the server's or role's setting)",
            ),
        );
    } else {
        findings.ok(PRIMARY, "it is a primary");
    }
    Ok(())
}

async fn clock(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let started = Instant::now();
    let before = Clock::System.now();
    let theirs: DateTime<Utc> = client.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    let took = started.elapsed();
    let ours = before + took / 2;
    let ahead = (theirs - ours).as_seconds_f64();
    let found = format!(
        "the server's clock is {:.1} s {} this machine's",
        ahead.abs(),
        if ahead < 0.0 { "behind" } else { "ahead of" }
    );
    let trouble = Trouble::new(
        &found,
        "expiry of sessions, keys and grants goes by the server's clock; logs, certificates and names of backups by this one",
        "let both keep time (chrony, systemd-timesyncd), and look which one is wrong: date -u",
    );
    match skew(ahead, took.as_secs_f64()) {
        Status::Failed => findings.failed(CLOCK, trouble),
        Status::Warning => findings.warning(CLOCK, trouble),
        _ => findings.ok(CLOCK, "as this machine's"),
    }
    Ok(())
}

/// How bad a difference is, in seconds, that was measured over a round trip of so many: half of that is uncertain.
fn skew(ahead: f64, round_trip: f64) -> Status {
    let sure = ahead.abs() - round_trip / 2.0;
    if sure > CLOCK_FAILURE {
        Status::Failed
    } else if sure > CLOCK_WARNING {
        Status::Warning
    } else {
        Status::Ok
    }
}

async fn connections(
    findings: &mut Findings,
    client: &Client,
    database: &DatabaseConfig,
    replicas: u32,
    pool: Option<i64>,
) -> Result<(), Error> {
    let row = client
        .query_one(
            "SELECT current_setting('max_connections')::bigint,
                    current_setting('superuser_reserved_connections')::bigint
                    + coalesce(current_setting('reserved_connections', true), '0')::bigint,
                    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                    (SELECT datconnlimit::bigint FROM pg_database WHERE datname = current_database())",
            &[],
        )
        .await?;
    let (max, reserved, used, limit): (i64, i64, i64, i64) = (row.get(0), row.get(1), row.get(2), row.get(3));
    let (size, replicas) = (i64::from(database.pool_size), i64::from(replicas));
    let pools = pool.map_or(size * replicas, |pool| pool.min(size * replicas));
    let wanted = pools + BESIDE_THE_POOL * replicas;
    let free = if limit >= 0 {
        (max - reserved).min(limit)
    } else {
        max - reserved
    };
    let mut found = format!(
        "{wanted} wanted: {replicas} {} of DATABASE_POOL_SIZE={size}{}, and {} beside; {free} to be had (max_connections {max}, {reserved} reserved",
        if replicas == 1 { "process" } else { "processes" },
        pool.map_or_else(String::new, |pool| format!(" through a pool of {pool}")),
        BESIDE_THE_POOL * replicas,
    );
    if limit >= 0 {
        found.push_str(&format!(", the database's own limit {limit}"));
    }
    found.push_str(&format!("), {used} open now"));
    let cure = "lower DATABASE_POOL_SIZE, put PgBouncer between, or raise max_connections (a restart) or ALTER DATABASE … CONNECTION LIMIT";
    if wanted > free {
        findings.failed(
            CONNECTIONS,
            Trouble::new(
                found,
                "under load, requests and backups would be refused with \"too many clients\"",
                cure,
            ),
        );
    } else if wanted * 10 > free * 9 || used * 10 > free * 9 {
        findings.warning(
            CONNECTIONS,
            Trouble::new(found, "nine tenths and more are taken or spoken for", cure),
        );
    } else {
        findings.ok(CONNECTIONS, found);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_network_is_no_wrong_clock() {
        assert_eq!(skew(1.0, 0.0), Status::Ok);
        assert_eq!(skew(-2.5, 0.1), Status::Warning);
        assert_eq!(skew(2.5, 2.0), Status::Ok);
        assert_eq!(skew(-3600.0, 0.1), Status::Failed);
        assert_eq!(skew(61.0, 0.1), Status::Failed);
    }
}
