//! The rules of squawk's that are not asked.

/// The rules of squawk's that are not asked, and why.
pub const EXCLUDED: &[(&str, &str)] = &[
    (
        "prefer-bigint-over-int",
        "keys are UUIDs; what is integer counts versions, positions and seconds, and has a CHECK where it matters",
    ),
    ("prefer-bigint-over-smallint", "as prefer-bigint-over-int"),
    (
        "prefer-robust-stmts",
        "a migration is one transaction, or resumes at the statement it was killed in; IF NOT EXISTS would take whatever has the name, an invalid index too",
    ),
    (
        "require-lock-timeout",
        "the runner sets lock_timeout to 300 ms and asks again",
    ),
    (
        "require-statement-timeout",
        "it would end the long statements that hold nobody up: VALIDATE, CREATE INDEX CONCURRENTLY",
    ),
    ("require-timeout-settings", "stands for the two before"),
    (
        "require-table-schema",
        "everything stands in public, and the rule outside-public sees to it",
    ),
    (
        "prefer-repack",
        "REPACK came with PostgreSQL 19; the rule full-rewrite takes its place",
    ),
    (
        "ban-concurrent-index-creation-in-transaction",
        "does not see a single statement, nor DROP INDEX; the rule concurrently-in-transaction takes its place",
    ),
    (
        "unused-ignore",
        "squawk's own comments do not count; the rule squawk-comment names them",
    ),
    (
        "ban-drop-index",
        "how an index is dropped is what matters: require-concurrent-index-deletion; what it kept unique is a constraint",
    ),
    (
        "ban-add-column",
        "the code names the columns that it reads and writes",
    ),
    (
        "ban-set-default",
        "the code of the version before writes the column or wants the default",
    ),
    (
        "ban-add-enum-value",
        "there are no enums; a CHECK is changed by a new one",
    ),
    ("ban-add-composite-attribute", "there are no composite types"),
    (
        "ban-new-write-restriction",
        "constraints are the point of a schema; what makes them dangerous has rules of its own",
    ),
    ("ban-alter-sequence-values", "keys are UUIDs"),
    (
        "ban-detach-inheritance",
        "there is no inheritance; partitions have require-concurrent-partition-detach",
    ),
    (
        "ban-replace-view-function",
        "CREATE OR REPLACE is how a function is mended; what it must keep is in the catalogue's rules",
    ),
    (
        "ban-alter-generated-expression",
        "adding-field-with-default says it where it rewrites",
    ),
    ("ban-replica-identity", "Plinth publishes nothing"),
    (
        "ban-alter-extension",
        "an extension is updated by whoever runs the server",
    ),
    (
        "ban-revoke",
        "the catalogue's rules compare the grants with the list",
    ),
    (
        "ban-drop-policy",
        "the catalogue's rules compare the policies with the list",
    ),
    (
        "ban-create-policy",
        "the catalogue's rules compare the policies with the list",
    ),
    (
        "ban-alter-policy-condition",
        "the catalogue's rules compare the policies with the list",
    ),
    (
        "ban-alter-policy-roles",
        "the catalogue's rules compare the policies with the list",
    ),
    (
        "ban-alter-row-level-security",
        "the catalogue's rules want it enabled and forced",
    ),
    (
        "ban-alter-function-options",
        "the catalogue's rules look at what comes out of it",
    ),
    ("ban-alter-view-options", "there are no views"),
];
