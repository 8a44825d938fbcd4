//! `backup prune`: deletes what the policy does not keep, and what was never finished.

use chrono::TimeDelta;
use db_core::Clock;
use serde::Serialize;

use super::installation::{self, SetUpAt};
use super::retention::{Candidate, Policy, keep};
use super::{BackupError, Listed, Standing, Stop, Store, list, manifest};

/// An unfinished backup is left alone until something was written so long after it: it may be in the making.
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

/// Decides, and deletes unless `dry_run`; oldest first. `ours` is the installation that the policy is of, where it is known.
///
/// # Errors
/// The store cannot be read or written, or has backups of another installation: together they are no series.
pub async fn prune(
    store: &Store,
    stop: &Stop,
    ours: Option<SetUpAt>,
    policy: Policy,
    dry_run: bool,
) -> Result<Vec<Pruned>, BackupError> {
    let listed = list(store).await?;
    let mut series = ours;
    for manifest in listed.iter().filter_map(|listed| listed.manifest.as_ref()) {
        let of = *series.get_or_insert(manifest.installation);
        installation::same(store, manifest, Some(of))?;
    }
    let decisions = decide(&listed, policy);
    if !dry_run {
        for decision in decisions.iter().filter(|decision| decision.deleted) {
            // The manifest first: half deleted, it is an unfinished backup and not a broken one.
            stop.or(store.delete(&decision.backup, manifest::FILE)).await?;
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
    // By the store's clock, which wrote these times: a machine whose own runs ahead would take what another one is making. The
    // earlier of the two, because a file that was brought from elsewhere may have any time.
    let written = |one: &Listed| one.written_at.unwrap_or_else(|| one.backup.at());
    let now = listed.iter().map(written).max().min(Some(Clock::System.now()));
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
                Standing::Unfinished => match now.is_some_and(|now| now - written(one) > GRACE) {
                    true => (true, "never finished".to_owned()),
                    false => (false, "unfinished, perhaps in the making".to_owned()),
                },
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
