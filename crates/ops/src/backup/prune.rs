//! `backup prune`: deletes what the policy does not keep, and what was never finished.

use chrono::TimeDelta;
use db_core::Clock;
use serde::Serialize;

use super::retention::{Candidate, Policy, keep};
use super::{BackupError, Context, Listed, Standing, list, manifest};

/// An unfinished backup is left alone for so long after it was last written to: it may be in the making.
const GRACE: TimeDelta = TimeDelta::hours(24);

/// What is done with one backup.
#[derive(Clone, Debug, Serialize)]
pub struct Pruned {
    pub backup: super::Name,
    pub size_bytes: u64,
    /// Whether it is, or with `--dry-run` would be, deleted.
    pub deleted: bool,
    /// Why it is kept, or deleted.
    pub why: String,
}

/// Decides, and deletes unless `dry_run`; oldest first.
///
/// # Errors
/// The store cannot be read or written.
pub async fn prune(context: &Context<'_>, policy: Policy, dry_run: bool) -> Result<Vec<Pruned>, BackupError> {
    let decisions = decide(&list(&context.store).await?, policy);
    if !dry_run {
        for decision in decisions.iter().filter(|decision| decision.deleted) {
            // The manifest first: half deleted, it is an unfinished backup and not a broken one.
            let deletion = context.store.delete(&decision.backup, manifest::FILE);
            context.stop.or(deletion).await?;
        }
    }
    Ok(decisions)
}

fn decide(listed: &[Listed], policy: Policy) -> Vec<Pruned> {
    // A damaged one is none that could stand for a day; whether it can be mended is for people to say.
    let complete: Vec<&Listed> = listed
        .iter()
        .filter(|listed| listed.standing == Standing::Complete)
        .collect();
    let candidates: Vec<Candidate> = complete
        .iter()
        .map(|listed| Candidate {
            at: listed.snapshot_at,
            proved: listed.proved_at.is_some(),
        })
        .collect();
    let reasons = keep(&candidates, policy);
    let now = Clock::System.now();
    listed
        .iter()
        .map(|one| {
            let (deleted, why) = match one.standing {
                Standing::Complete => {
                    let why = complete
                        .iter()
                        .position(|other| other.backup == one.backup)
                        .and_then(|index| reasons.get(index))
                        .map(|why| why.join(", "))
                        .unwrap_or_default();
                    match why.is_empty() {
                        true => (true, "not kept by the policy".to_owned()),
                        false => (false, why),
                    }
                }
                Standing::Damaged => (
                    false,
                    format!(
                        "damaged: {}; delete it by hand",
                        one.problem.as_deref().unwrap_or_default()
                    ),
                ),
                Standing::Unfinished => {
                    let written = one.written_at.unwrap_or_else(|| one.backup.at());
                    match now - written > GRACE {
                        true => (true, "never finished".to_owned()),
                        false => (false, "unfinished, perhaps in the making".to_owned()),
                    }
                }
            };
            Pruned {
                backup: one.backup.clone(),
                size_bytes: one.size_bytes,
                deleted,
                why,
            }
        })
        .collect()
}
