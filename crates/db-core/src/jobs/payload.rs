//! Which payloads operators are shown.

/// Kinds whose payloads hold nothing but ids, numbers and times of ours.
const SHOWN: &[&str] = &[
    super::housekeeping::EXPIRE_ASSIGNMENTS,
    super::housekeeping::DELETE_SESSIONS,
    super::housekeeping::DELETE_ACTIVITY,
    super::housekeeping::MAKE_ACTIVITY_PARTITIONS,
    // Of plinth-ops: the name of a backup, at most.
    "make_backup",
    "prove_backup",
    "prune_backups",
];

/// Whether the payload of jobs of this kind may be shown to platform operators. A kind has to be listed for that: what a domain's
/// jobs carry is the domain's, and a kind that this version does not know may carry anything.
pub fn is_shown(kind: &str) -> bool {
    SHOWN.contains(&kind)
}
