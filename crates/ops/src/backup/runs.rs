//! `backup_runs`: what was run, for people, the API and metrics. A database whose schema is older has no such table, and does
//! without: what backups there are, and which are proved, the store knows.

use chrono::{DateTime, Utc};
use db_core::Clock;
use tokio_postgres::Client;
use uuid::Uuid;

use super::BackupError;
use super::manifest::Name;

/// What was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Backup,
    Drill,
    Restore,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Drill => "drill",
            Self::Restore => "restore",
        }
    }
}

/// What a run that succeeded leaves.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub snapshot_at: Option<DateTime<Utc>>,
    pub size_bytes: u64,
    pub manifest_sha256: String,
    pub details: serde_json::Value,
}

/// A run that was written down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// `None` where there is no table.
    id: Option<Uuid>,
}

/// As plinth_system, which sees the rows whoever the owner is.
const BEGIN: &str = "BEGIN; SET LOCAL ROLE plinth_system";

/// Writes down that it has begun.
pub(super) async fn begin(
    client: &Client,
    kind: Kind,
    backup: &Name,
    location: &str,
) -> Result<Run, BackupError> {
    if !is_there(client).await? {
        return Ok(Run { id: None });
    }
    let id = Clock::System.uuid();
    let location: String = location.chars().take(2000).collect();
    client.batch_execute(BEGIN).await?;
    client
        .execute(
            "INSERT INTO public.backup_runs (id, kind, backup, location, plinth_version) VALUES ($1, $2, $3, $4, $5)",
            &[
                &id,
                &kind.as_str(),
                &backup.to_string(),
                &location,
                &env!("CARGO_PKG_VERSION"),
            ],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(Run { id: Some(id) })
}

/// Where the database knows of the backup, the manifest has to be the one that was written then: an older one of the same
/// installation is signed as well.
///
/// # Errors
/// It is another.
pub(super) async fn require_recorded(
    client: &Client,
    backup: &Name,
    manifest_sha256: &str,
) -> Result<(), BackupError> {
    if !is_there(client).await? {
        return Ok(());
    }
    client.batch_execute(BEGIN).await?;
    let row = client
        .query_opt(
            "SELECT manifest_sha256 FROM public.backup_runs
              WHERE kind = 'backup' AND state = 'succeeded' AND backup = $1 AND manifest_sha256 IS NOT NULL",
            &[&backup.to_string()],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    match row.map(|row| row.get::<_, String>(0)) {
        Some(written) if written != manifest_sha256 => Err(BackupError::NotAuthentic {
            backup: backup.to_string(),
            problem: format!(
                "its manifest has the SHA-256 {manifest_sha256}, and the one that was written, as backup_runs has it, had {written}"
            ),
        }),
        _ => Ok(()),
    }
}

/// The newest backup that was made in a place.
pub(super) async fn last_made(client: &Client, location: &str) -> Result<Option<Name>, BackupError> {
    if !is_there(client).await? {
        return Ok(None);
    }
    client.batch_execute(BEGIN).await?;
    let row = client
        .query_opt(
            "SELECT backup FROM public.backup_runs
              WHERE kind = 'backup' AND state = 'succeeded' AND location = $1 ORDER BY finished_at DESC LIMIT 1",
            &[&location],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(row.and_then(|row| row.get::<_, String>(0).parse().ok()))
}

async fn is_there(client: &Client) -> Result<bool, BackupError> {
    let row = client
        .query_one(
            "SELECT to_regclass('public.backup_runs') IS NOT NULL,
                    coalesce(pg_has_role(current_user, to_regrole('plinth_system'), 'MEMBER'), false)",
            &[],
        )
        .await?;
    let (there, may): (bool, bool) = (row.get(0), row.get(1));
    if there && !may {
        tracing::warn!("the login is no member of plinth_system: the run is not written into backup_runs");
    }
    Ok(there && may)
}

impl Run {
    /// One that is not written down.
    pub fn untold() -> Self {
        Self { id: None }
    }

    /// Writes down how it ended.
    pub async fn end(
        self,
        client: &Client,
        result: Result<&Outcome, &BackupError>,
    ) -> Result<(), BackupError> {
        let Some(id) = self.id else { return Ok(()) };
        client.batch_execute(BEGIN).await?;
        match result {
            Ok(outcome) => {
                let size = i64::try_from(outcome.size_bytes).unwrap_or(i64::MAX);
                let sha256 = Some(&outcome.manifest_sha256).filter(|sha256| !sha256.is_empty());
                client
                    .execute(
                        "UPDATE public.backup_runs SET state = 'succeeded', finished_at = clock_timestamp(), snapshot_at = $2,
                                size_bytes = $3, manifest_sha256 = $4, details = $5::text::jsonb WHERE id = $1 AND state = 'running'",
                        &[&id, &outcome.snapshot_at, &size, &sha256, &outcome.details.to_string()],
                    )
                    .await?;
            }
            Err(error) => {
                let error: String = error.to_string().chars().take(10_000).collect();
                client
                    .execute(
                        "UPDATE public.backup_runs SET state = 'failed', finished_at = clock_timestamp(), error = $2
                          WHERE id = $1 AND state = 'running'",
                        &[&id, &error],
                    )
                    .await?;
            }
        }
        Ok(client.batch_execute("COMMIT").await?)
    }

    /// As [`Self::end`] after a failure, where only the failure counts.
    pub async fn failed(self, client: &Client, error: &BackupError) {
        if let Err(other) = self.end(client, Err(error)).await {
            tracing::warn!(error = %other, "the failed run could not be written down");
        }
    }
}

/// Those of the backups of a place whose making is known to have failed.
pub(super) async fn failed_backups(
    client: &Client,
    location: &str,
    names: &[Name],
) -> Result<Vec<Name>, BackupError> {
    if !is_there(client).await? {
        return Ok(Vec::new());
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    client.batch_execute(BEGIN).await?;
    let rows = client
        .query(
            "SELECT DISTINCT backup FROM public.backup_runs
              WHERE kind = $1 AND state = 'failed' AND location = $2 AND backup = ANY ($3)",
            &[&Kind::Backup.as_str(), &location, &names],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.get::<_, String>(0).parse().ok())
        .collect())
}

/// Calls runs of a kind dead that say they are running, and names their backups. The caller holds the lock that every living
/// run of the kind holds.
pub(super) async fn bury(client: &Client, kind: Kind, location: &str) -> Result<Vec<Name>, BackupError> {
    if !is_there(client).await? {
        return Ok(Vec::new());
    }
    client.batch_execute(BEGIN).await?;
    let rows = client
        .query(
            "UPDATE public.backup_runs SET state = 'failed', finished_at = clock_timestamp(), error = 'it was killed'
              WHERE kind = $1 AND state = 'running' RETURNING backup, location = $2",
            &[&kind.as_str(), &location],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(rows
        .iter()
        .filter(|row| row.get(1))
        .filter_map(|row| row.get::<_, String>(0).parse().ok())
        .collect())
}
