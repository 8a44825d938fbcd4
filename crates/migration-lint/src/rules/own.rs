//! Our own rules about the text, and about the comments in it.

use super::{RuleInfo, rule};
use crate::finding::Level::Error;

pub(crate) const SYNTAX_ERROR: RuleInfo = rule(
    "syntax-error",
    Error,
    "PostgreSQL would refuse it, and none of the other rules can read it",
    "see the message",
);
pub(crate) const DOES_NOT_APPLY: RuleInfo = rule(
    "does-not-apply",
    Error,
    "it fails on an empty installation too",
    "see the message",
);
pub(crate) const CONCURRENTLY_IN_TRANSACTION: RuleInfo = rule(
    "concurrently-in-transaction",
    Error,
    "PostgreSQL refuses it inside of a transaction",
    "a migration of its own, and beside it a metadata.toml with run_in_transaction = false",
);
pub(crate) const FULL_REWRITE: RuleInfo = rule(
    "full-rewrite",
    Error,
    "VACUUM FULL and CLUSTER write the table anew while readers and writers wait",
    "pg_repack, by whoever runs the server; a plain VACUUM needs no migration",
);
pub(crate) const WRITE_WITHOUT_WHERE: RuleInfo = rule(
    "write-without-where",
    Error,
    "every row is locked until the end, and every row is written anew",
    "batches with WHERE, by a job; or `-- lint: allow(write-without-where) because` the table is small",
);
pub(crate) const BACKFILL_UNDER_LOCK: RuleInfo = rule(
    "backfill-under-lock",
    Error,
    "ALTER TABLE shuts everybody out of the table until the transaction ends, and now it ends after the backfill",
    "the ALTER TABLE in a migration of its own, and the backfill in the next one",
);
pub(crate) const BAN_TRUNCATE: RuleInfo = rule(
    "ban-truncate",
    Error,
    "the rows are lost, those of every domain",
    "DELETE in batches, or `-- lint: allow(ban-truncate) because …`",
);
pub(crate) const SET_WITHOUT_LOCAL: RuleInfo = rule(
    "set-without-local",
    Error,
    "it holds for the migrations that come after it on the same connection",
    "SET LOCAL, or set_config(…, true)",
);
pub(crate) const LOCK_TABLE: RuleInfo = rule(
    "lock-table",
    Error,
    "readers or writers of the table wait until the transaction ends",
    "leave it out: each statement takes the lock that it needs",
);
pub(crate) const ROLE_POWER: RuleInfo = rule(
    "role-power",
    Error,
    "whoever has the role sees or changes the rows of every domain, or more",
    "leave it to whoever runs the server; docs/OPERATIONS.md is the place to ask for it",
);
pub(crate) const UNSEEN_CODE: RuleInfo = rule(
    "unseen-code",
    Error,
    "none of the other rules can read it",
    "EXECUTE of one string, or the statement itself; or `-- lint: allow(unseen-code) because …`",
);
pub(crate) const EMPTY_MIGRATION: RuleInfo = rule(
    "empty-migration",
    Error,
    "it is applied and does nothing, and whoever fills it in later finds it applied already, and edited",
    "the statements that it is for; or no migration: delete its directory",
);
pub(crate) const REFUSED_BY_RUNNER: RuleInfo = rule(
    "refused-by-runner",
    Error,
    "`migrate run` refuses the whole directory",
    "see the message",
);

/// About the SQL.
pub(crate) const OWN: &[RuleInfo] = &[
    SYNTAX_ERROR,
    DOES_NOT_APPLY,
    CONCURRENTLY_IN_TRANSACTION,
    FULL_REWRITE,
    WRITE_WITHOUT_WHERE,
    BACKFILL_UNDER_LOCK,
    BAN_TRUNCATE,
    SET_WITHOUT_LOCAL,
    LOCK_TABLE,
    ROLE_POWER,
    UNSEEN_CODE,
    EMPTY_MIGRATION,
    REFUSED_BY_RUNNER,
];

const FORM: &str = "-- lint: allow(rule-id) because …, right above the statement";

pub(crate) const ALLOW_MALFORMED: RuleInfo = rule(
    "allow-malformed",
    Error,
    "a comment that is not understood allows nothing",
    FORM,
);
pub(crate) const ALLOW_WITHOUT_REASON: RuleInfo = rule(
    "allow-without-reason",
    Error,
    "whoever reads it later cannot tell whether it still holds",
    "-- lint: allow(rule-id) because …, in three words at least",
);
pub(crate) const ALLOW_UNKNOWN_RULE: RuleInfo = rule(
    "allow-unknown-rule",
    Error,
    "it allows nothing: there is no such rule",
    "`plinth-ops migrate lint` prints the id with each finding; docs/MIGRATIONS.md lists them",
);
pub(crate) const ALLOW_MISPLACED: RuleInfo = rule(
    "allow-misplaced",
    Error,
    "nobody can tell which statement is meant",
    FORM,
);
pub(crate) const ALLOW_UNUSED: RuleInfo = rule(
    "allow-unused",
    Error,
    "the statement does not break the rule, or does no longer; it would hide the next one that does",
    "remove the comment",
);
pub(crate) const SQUAWK_COMMENT: RuleInfo = rule("squawk-comment", Error, "it counts for nothing here", FORM);

/// About the comments that allow something; these cannot be allowed.
pub(crate) const COMMENTS: &[RuleInfo] = &[
    ALLOW_MALFORMED,
    ALLOW_WITHOUT_REASON,
    ALLOW_UNKNOWN_RULE,
    ALLOW_MISPLACED,
    ALLOW_UNUSED,
    SQUAWK_COMMENT,
];
