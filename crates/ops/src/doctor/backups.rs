//! Tools for backups, the place of backups, and the disks.

use std::path::Path;

use app_config::Config;
use nix::sys::statvfs::statvfs;
use tokio_postgres::{Client, Error};

use super::catalogue::{BACKUP_PLACE, DISK_BACKUPS, DISK_DATABASE, TOOL_DUMP, TOOL_RESTORE};
use super::check::{Findings, Trouble};
use super::last_backup::{self as last, Stored};
use crate::backup::{self, Store, size};

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
    }
    let stored = place(findings, config, database_size).await;
    if let Some(client) = client {
        last::look(findings, client, stored.as_ref()).await?;
    }
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

/// What is in the place, where it can be looked at.
async fn place(findings: &mut Findings, config: &Config, database: Option<u64>) -> Option<Stored> {
    let Some(url) = &config.backup.url else {
        findings.skipped(DISK_BACKUPS, "no place for backups is configured");
        findings.warning(
            BACKUP_PLACE,
            Trouble::new(
                "PLINTH_BACKUP_URL is not set",
                "there is no place for backups",
                "set it to a directory on another disk, or to s3://bucket/prefix, and schedule plinth-ops backup create",
            ),
        );
        return None;
    };
    let listed = match Store::open(config, None, false) {
        Ok(store) => backup::list(&store).await.map(|listed| (store, listed)),
        Err(error) => Err(error),
    };
    match listed {
        Ok((store, listed)) => {
            let found = format!(
                "{} has {}",
                store.location(),
                crate::output::count(listed.len(), "backup")
            );
            match store.readable_by_others() {
                Some(mode) => findings.warning(
                    BACKUP_PLACE,
                    Trouble::new(
                        format!("{found}, and its mode is {mode:04o}"),
                        "other users of the machine can get at the backups, which hold every row",
                        format!("chmod 700 {}", store.location()),
                    ),
                ),
                None => findings.ok(BACKUP_PLACE, found),
            }
            let largest = listed.iter().map(|listed| listed.size_bytes).max();
            backup_disk(findings, Path::new(store.location()), url, largest.or(database));
            Some(Stored {
                location: store.location().to_owned(),
                listed,
            })
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
            None
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
