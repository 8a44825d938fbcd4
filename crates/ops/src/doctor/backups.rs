//! Tools for backups, the place of backups, the disks, and how old the last backup and the last proof are.

use std::path::Path;

use app_config::Config;
use chrono::{DateTime, Utc};
use nix::sys::statvfs::statvfs;
use tokio_postgres::{Client, Error};

use super::catalogue::{
    BACKUP_LAST, BACKUP_PLACE, BACKUP_PROOF, DISK_BACKUPS, DISK_DATABASE, Kind, TOOL_DUMP, TOOL_RESTORE,
};
use super::check::{Findings, Trouble};
use crate::backup::{self, Store, size};

/// A backup each day, and two hours for it to take longer than the day before.
const DAY: i64 = 26;
/// Older than this, the last one is none. A proof of a week is in order.
const WEEK: i64 = 8 * 24;
/// A server with less free space stops soon.
const SERVER_ROOM: u64 = 1 << 30;

/// The programs, the place and the disks.
pub async fn look(findings: &mut Findings, client: Option<&Client>, config: &Config) -> Result<(), Error> {
    let mut database_size = None;
    if let Some(client) = client {
        let row = client
            .query_one(
                "SELECT current_setting('server_version_num')::int / 10000, pg_database_size(current_database())",
                &[],
            )
            .await?;
        let major = u32::try_from(row.get::<_, i32>(0)).unwrap_or_default();
        tools(findings, config, major).await;
        database_size = u64::try_from(row.get::<_, i64>(1)).ok();
        server_disk(findings, client, database_size.unwrap_or_default()).await?;
        runs(findings, client).await?;
    }
    place(findings, config, database_size).await;
    Ok(())
}

async fn tools(findings: &mut Findings, config: &Config, major: u32) {
    for (kind, name) in [(TOOL_DUMP, "pg_dump"), (TOOL_RESTORE, "pg_restore")] {
        match backup::tool_version(config, name, major).await {
            Ok(version) => findings.ok(kind, format!("{version}, for a server of {major}")),
            Err(error) => findings.failed(
                kind,
                Trouble::new(
                    error.to_string(),
                    format!("backups need {name} at least as new as the server"),
                    format!(
                        "apt install postgresql-client-{major} (dnf install postgresql{major}), or PLINTH_POSTGRES_BIN=<its directory>; Debian \
                         and Ubuntu have other versions at https://apt.postgresql.org"
                    ),
                ),
            ),
        }
    }
}

/// Free space of the file system that holds `path`, in bytes.
fn free(path: &Path) -> Option<u64> {
    let stat = statvfs(path).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

async fn server_disk(findings: &mut Findings, client: &Client, database: u64) -> Result<(), Error> {
    let found = format!("the database has {}", size(database));
    // Readable for superusers and pg_read_all_settings only, and of use on the same machine only.
    let local: bool = client
        .query_one(
            "SELECT inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8'",
            &[],
        )
        .await?
        .get(0);
    let directory = client
        .query_opt(
            "SELECT setting FROM pg_settings WHERE name = 'data_directory'",
            &[],
        )
        .await?
        .map(|row| row.get::<_, String>(0));
    let room = directory
        .filter(|_| local)
        .and_then(|directory| free(Path::new(&directory)));
    match room {
        Some(room) if room < SERVER_ROOM => findings.failed(
            DISK_DATABASE,
            Trouble::new(
                format!("{found}, and its disk {} free", size(room)),
                "PostgreSQL stops when its disk is full",
                "free space, or enlarge the disk; look for old replication slots that keep WAL: SELECT * FROM pg_replication_slots",
            ),
        ),
        Some(room) if room < database => findings.warning(
            DISK_DATABASE,
            Trouble::new(
                format!("{found}, and its disk {} free", size(room)),
                "drills and restores make a second copy of the database on the server",
                "enlarge the disk, or drill on another server (docs/BACKUPS.md)",
            ),
        ),
        Some(room) => findings.ok(DISK_DATABASE, format!("{found}, and its disk {} free", size(room))),
        None => findings.ok(
            DISK_DATABASE,
            format!("{found}; its disk cannot be seen from here"),
        ),
    }
    Ok(())
}

async fn place(findings: &mut Findings, config: &Config, database: Option<u64>) {
    let Some(url) = &config.backup.url else {
        findings.skipped(DISK_BACKUPS, "no place for backups is configured");
        return findings.warning(
            BACKUP_PLACE,
            Trouble::new(
                "PLINTH_BACKUP_URL is not set",
                "there is no place for backups",
                "set it to a directory on another disk, or to s3://bucket/prefix, and schedule plinth-ops backup create",
            ),
        );
    };
    let listed = match Store::open(&config.backup, None, false) {
        Ok(store) => backup::list(&store).await.map(|listed| (store, listed)),
        Err(error) => Err(error),
    };
    match listed {
        Ok((store, listed)) => {
            findings.ok(
                BACKUP_PLACE,
                format!(
                    "{} has {}",
                    store.location(),
                    crate::output::count(listed.len(), "backup")
                ),
            );
            let largest = listed.iter().map(|listed| listed.size_bytes).max();
            backup_disk(findings, Path::new(store.location()), url, largest.or(database));
        }
        Err(error) => {
            findings.skipped(DISK_BACKUPS, "the place of backups cannot be looked at");
            findings.failed(
                BACKUP_PLACE,
                Trouble::new(
                    error.to_string(),
                    "backups cannot be written there, nor read from there",
                    "a directory: make it, and let it belong to the user that runs backups; s3: check endpoint, credentials and bucket \
                     (PLINTH_BACKUP_S3_…)",
                ),
            );
        }
    }
}

/// `wanted`: what the next backup may need.
fn backup_disk(findings: &mut Findings, directory: &Path, url: &str, wanted: Option<u64>) {
    if url.starts_with("s3://") {
        return findings.skipped(DISK_BACKUPS, "an object store");
    }
    let Some(room) = free(directory) else {
        return findings.skipped(DISK_BACKUPS, "its free space cannot be told");
    };
    let wanted = wanted.unwrap_or_default();
    if room < wanted {
        return findings.failed(
            DISK_BACKUPS,
            Trouble::new(
                format!(
                    "{} free, and the next backup may take {}",
                    size(room),
                    size(wanted)
                ),
                "the next backup will not fit",
                "plinth-ops backup prune --dry-run shows what the policy would delete; or enlarge the disk",
            ),
        );
    }
    findings.ok(DISK_BACKUPS, format!("{} free", size(room)));
}

/// What `backup_runs` remembers of one kind of run.
struct Runs {
    succeeded: Option<DateTime<Utc>>,
    failed: Option<(DateTime<Utc>, String)>,
    now: DateTime<Utc>,
}

async fn runs(findings: &mut Findings, client: &Client) -> Result<(), Error> {
    let readable: bool = client
        .query_one(
            "SELECT to_regclass('public.backup_runs') IS NOT NULL
                    AND coalesce(pg_has_role(current_user, to_regrole('plinth_system'), 'MEMBER'), false)",
            &[],
        )
        .await?
        .get(0);
    if !readable {
        findings.skip_rest(
            [BACKUP_LAST, BACKUP_PROOF],
            "the table backup_runs is not there, or may not be read",
        );
        return Ok(());
    }
    let backups = read(client, "backup").await?;
    judge(
        findings,
        BACKUP_LAST,
        &backups,
        DAY,
        "what was written since then is lost if the database is lost now",
        "plinth-ops backup create, and schedule it daily (docs/BACKUPS.md)",
    );
    let drills = read(client, "drill").await?;
    if backups.succeeded.is_none() && drills.succeeded.is_none() {
        findings.skipped(BACKUP_PROOF, "there is no backup to prove");
    } else {
        judge(
            findings,
            BACKUP_PROOF,
            &drills,
            WEEK,
            "nobody knows whether the backups can be restored",
            "plinth-ops backup drill restores the newest one into a scratch database and compares",
        );
    }
    Ok(())
}

async fn read(client: &Client, kind: &str) -> Result<Runs, Error> {
    client
        .batch_execute("BEGIN READ ONLY; SET LOCAL ROLE plinth_system")
        .await?;
    let row = client
        .query_one(
            "SELECT (SELECT max(finished_at) FROM public.backup_runs WHERE kind = $1 AND state = 'succeeded'),
                    (SELECT max(finished_at) FROM public.backup_runs WHERE kind = $1 AND state = 'failed'),
                    (SELECT error FROM public.backup_runs WHERE kind = $1 AND state = 'failed' ORDER BY finished_at DESC LIMIT 1),
                    clock_timestamp()",
            &[&kind],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(Runs {
        succeeded: row.get(0),
        failed: row
            .get::<_, Option<DateTime<Utc>>>(1)
            .zip(row.get::<_, Option<String>>(2)),
        now: row.get(3),
    })
}

fn judge(findings: &mut Findings, kind: Kind, runs: &Runs, hours: i64, cause: &str, cure: &str) {
    let failure = runs
        .failed
        .as_ref()
        .filter(|(at, _)| runs.succeeded.is_none_or(|succeeded| succeeded < *at));
    let Some(succeeded) = runs.succeeded else {
        let trouble = match failure {
            None => return findings.warning(kind, Trouble::new("there is none yet", cause, cure)),
            Some((at, error)) => Trouble::new(
                format!(
                    "none has succeeded; the last one, {}, failed: {error}",
                    crate::output::time(*at)
                ),
                cause,
                cure,
            ),
        };
        return findings.failed(kind, trouble);
    };
    let age = (runs.now - succeeded).num_hours();
    let when = format!("{} ago, at {}", words(age), crate::output::time(succeeded));
    if age >= WEEK.max(hours) {
        return findings.failed(kind, Trouble::new(when, cause, cure));
    }
    if let Some((at, error)) = failure {
        return findings.warning(
            kind,
            Trouble::new(
                format!(
                    "{when}; the one after it, {}, failed: {error}",
                    crate::output::time(*at)
                ),
                cause,
                cure,
            ),
        );
    }
    if age >= hours {
        return findings.warning(kind, Trouble::new(when, cause, cure));
    }
    findings.ok(kind, when);
}

fn words(hours: i64) -> String {
    match hours {
        0 => "less than an hour".to_owned(),
        1 => "an hour".to_owned(),
        2..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}
