//! How old the last backup and the last proof are: by what the place has, held against what `backup_runs` remembers. The table
//! knows nothing of a place that was emptied, and the place nothing of a backup that failed.

use chrono::{DateTime, Utc};
use tokio_postgres::{Client, Error};

use super::catalogue::{BACKUP_LAST, BACKUP_PROOF, Kind};
use super::check::{Findings, Trouble};
use crate::backup::{Listed, Standing};

/// A backup each day, and two hours for it to take longer than the day before.
const DAY: i64 = 26;
/// Older than this, the last one is none. A proof of a week is in order.
const WEEK: i64 = 8 * 24;

const CAUSE_BACKUP: &str = "what was written since then is lost if the database is lost now";
const CURE_BACKUP: &str = "plinth-ops backup create, and schedule it daily (docs/BACKUPS.md)";
const CAUSE_PROOF: &str = "nobody knows whether the backups can be restored";
const CURE_PROOF: &str =
    "plinth-ops backup drill restores the newest one into a scratch database and compares";

/// What the place of backups has.
pub struct Stored {
    pub location: String,
    pub listed: Vec<Listed>,
}

impl Stored {
    fn complete(&self) -> impl Iterator<Item = &Listed> {
        self.listed
            .iter()
            .filter(|listed| listed.standing == Standing::Complete)
    }

    /// What became of a backup that was made there; `None` when it is there and whole.
    fn trouble(&self, backup: &str) -> Option<String> {
        match self
            .listed
            .iter()
            .find(|listed| listed.backup.to_string() == backup)
        {
            None => Some(format!(
                "the last backup that was made, {backup}, is not in {} any more",
                self.location
            )),
            Some(listed) if listed.standing == Standing::Complete => None,
            Some(listed) => Some(format!(
                "the last backup that was made, {backup}, is no good: {}",
                listed.problem.as_deref().unwrap_or("its manifest is gone")
            )),
        }
    }
}

/// What `backup_runs` remembers of one kind of run.
struct Runs {
    succeeded: Option<DateTime<Utc>>,
    /// Backup, and where, of that run.
    backup: Option<(String, String)>,
    failed: Option<(DateTime<Utc>, String)>,
    now: DateTime<Utc>,
}

/// Judges both.
pub async fn look(findings: &mut Findings, client: &Client, stored: Option<&Stored>) -> Result<(), Error> {
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
    let (mut backups, mut drills) = (read(client, "backup").await?, read(client, "drill").await?);
    let nothing_made = backups.succeeded.is_none() && drills.succeeded.is_none();
    if let Some(stored) = stored {
        // Those of another place, `--at` say, are not looked for in this one.
        let made_here = backups
            .backup
            .as_ref()
            .filter(|(_, location)| *location == stored.location);
        if let Some(trouble) = made_here.and_then(|(backup, _)| stored.trouble(backup)) {
            findings.failed(
                BACKUP_LAST,
                Trouble::new(
                    trouble,
                    "somebody, a rule of the store or a fault has taken it: what is in no backup is lost if the database is lost now",
                    CURE_BACKUP,
                ),
            );
        } else {
            backups.succeeded = stored.complete().map(|listed| listed.snapshot_at).max();
            judge(findings, BACKUP_LAST, &backups, DAY, CAUSE_BACKUP, CURE_BACKUP);
        }
        let proved = stored.complete().filter_map(|listed| listed.proved_at).max();
        if proved.is_none() && drills.succeeded.is_some() {
            findings.failed(
                BACKUP_PROOF,
                Trouble::new(
                    format!("no whole backup in {} is proved", stored.location),
                    CAUSE_PROOF,
                    CURE_PROOF,
                ),
            );
            return Ok(());
        }
        drills.succeeded = proved;
    } else {
        judge(findings, BACKUP_LAST, &backups, DAY, CAUSE_BACKUP, CURE_BACKUP);
    }
    if nothing_made && stored.is_none_or(|stored| stored.listed.is_empty()) {
        findings.skipped(BACKUP_PROOF, "there is no backup to prove");
    } else {
        judge(findings, BACKUP_PROOF, &drills, WEEK, CAUSE_PROOF, CURE_PROOF);
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
    let last = client
        .query_opt(
            "SELECT backup, location FROM public.backup_runs WHERE kind = $1 AND state = 'succeeded' ORDER BY finished_at DESC LIMIT 1",
            &[&kind],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(Runs {
        succeeded: row.get(0),
        backup: last.map(|row| (row.get(0), row.get(1))),
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
