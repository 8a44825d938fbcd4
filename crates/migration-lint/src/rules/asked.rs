//! The rules of squawk's that are asked: scope, level, reason, safe form.

use squawk_linter::Rule;

use super::{RuleInfo, Scope, rule};
use crate::finding::Level::{Error, Warning};

const LATER: &str = "release in two steps: stop using it and deploy that everywhere, then drop it in a later migration, \
                     with `-- lint: allow(…) because …`";
const RENAME: &str =
    "add the new one, write both, copy what is there, read the new one, drop the old one a release later";
const COMPATIBLE: &str = "while a release rolls out, the servers of the version before go on using it";
const OUTSIDE: &str = "leave it to whoever runs the server; docs/OPERATIONS.md is the place to ask for it";
const FORMATS: &str = "a CHECK on the column of the table";

/// The rules of squawk's that are asked.
pub(crate) const SQUAWK: &[(Rule, Scope, RuleInfo)] = {
    use Rule as R;
    use Scope::{Everywhere, Existing, ExistingUp};
    &[
        (
            R::RequireConcurrentIndexCreation,
            Existing,
            rule(
                "require-concurrent-index-creation",
                Error,
                "a plain CREATE INDEX keeps every writer of the table waiting until it is built",
                "CREATE INDEX CONCURRENTLY, in a migration of its own whose metadata.toml says run_in_transaction = false",
            ),
        ),
        (
            R::RequireConcurrentIndexDeletion,
            Existing,
            rule(
                "require-concurrent-index-deletion",
                Error,
                "DROP INDEX waits for every transaction on the table, and everybody else waits behind it",
                "DROP INDEX CONCURRENTLY, in a migration of its own whose metadata.toml says run_in_transaction = false",
            ),
        ),
        (
            R::RequireConcurrentReindex,
            Existing,
            rule(
                "require-concurrent-reindex",
                Error,
                "a plain REINDEX keeps writers, and readers that want the index, waiting until it is built",
                "REINDEX INDEX CONCURRENTLY, in a migration of its own whose metadata.toml says run_in_transaction = false",
            ),
        ),
        (
            R::RequireConcurrentPartitionDetach,
            Existing,
            rule(
                "require-concurrent-partition-detach",
                Error,
                "a plain DETACH shuts readers and writers out of the whole partitioned table",
                "DETACH PARTITION … CONCURRENTLY, outside of a transaction (not possible beside a default partition)",
            ),
        ),
        (
            R::ConstraintMissingNotValid,
            Existing,
            rule(
                "constraint-missing-not-valid",
                Error,
                "the whole table is read while everybody else waits",
                "ADD CONSTRAINT … NOT VALID here, VALIDATE CONSTRAINT in a later migration",
            ),
        ),
        (
            R::AddingForeignKeyConstraint,
            Existing,
            rule(
                "adding-foreign-key-constraint",
                Error,
                "both tables are locked against writes while the whole table is read",
                "ADD CONSTRAINT … FOREIGN KEY … NOT VALID here, VALIDATE CONSTRAINT in a later migration",
            ),
        ),
        (
            R::AddingNotNullableField,
            Existing,
            rule(
                "adding-not-nullable-field",
                Error,
                "the whole table is read while everybody else waits",
                "ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID; in a later migration VALIDATE CONSTRAINT, SET NOT NULL, \
             DROP CONSTRAINT",
            ),
        ),
        (
            R::AddingSerialPrimaryKeyField,
            Existing,
            rule(
                "adding-serial-primary-key-field",
                Error,
                "the index is built while readers and writers wait",
                "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … PRIMARY KEY USING INDEX",
            ),
        ),
        (
            R::DisallowedUniqueConstraint,
            Existing,
            rule(
                "disallowed-unique-constraint",
                Error,
                "the index is built while readers and writers wait",
                "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX",
            ),
        ),
        (
            R::AddingFieldWithDefault,
            Existing,
            rule(
                "adding-field-with-default",
                Error,
                "a default that differs from row to row, or a generated column, writes the whole table anew while everybody waits",
                "ADD COLUMN without a default, ALTER COLUMN … SET DEFAULT, fill the rows in batches",
            ),
        ),
        (
            R::AddingRequiredField,
            Existing,
            rule(
                "adding-required-field",
                Error,
                "it fails on a table with rows, and servers of the version before cannot insert",
                "ADD COLUMN … NOT NULL DEFAULT a constant, or without NOT NULL",
            ),
        ),
        (
            R::ChangingColumnType,
            Existing,
            rule(
                "changing-column-type",
                Error,
                "most changes of type write the whole table anew while everybody waits, and servers of the version before \
             read another type than they know",
                "add a column of the new type, write both, copy what is there, drop the old one a release later; where \
             nothing is written anew (varchar to text) say so in `-- lint: allow(changing-column-type) because …`",
            ),
        ),
        (
            R::BanDropColumn,
            ExistingUp,
            rule("ban-drop-column", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropTable,
            ExistingUp,
            rule("ban-drop-table", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropView,
            ExistingUp,
            rule("ban-drop-view", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropFunction,
            ExistingUp,
            rule("ban-drop-function", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropType,
            ExistingUp,
            rule("ban-drop-type", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropDomain,
            ExistingUp,
            rule("ban-drop-domain", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropSequence,
            ExistingUp,
            rule("ban-drop-sequence", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropSchema,
            ExistingUp,
            rule("ban-drop-schema", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropExtension,
            ExistingUp,
            rule("ban-drop-extension", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropDefault,
            ExistingUp,
            rule("ban-drop-default", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanDropNotNull,
            ExistingUp,
            rule(
                "ban-drop-not-null",
                Error,
                "servers of the version before do not expect NULL, and fail on the first one",
                "deploy a version that can read NULL, then drop it, with `-- lint: allow(ban-drop-not-null) because …`",
            ),
        ),
        (
            R::BanDropConstraint,
            ExistingUp,
            rule(
                "ban-drop-constraint",
                Error,
                "the code may rely on what the constraint promised",
                "where a wider one takes its place, add that one first (NOT VALID, then VALIDATE)",
            ),
        ),
        (
            R::BanDropTrigger,
            ExistingUp,
            rule(
                "ban-drop-trigger",
                Error,
                "what the trigger kept up, a history perhaps, ends in silence",
                LATER,
            ),
        ),
        (
            R::BanDisableTrigger,
            ExistingUp,
            rule(
                "ban-disable-trigger",
                Error,
                "what the trigger keeps up, a history perhaps, has a gap that nobody sees",
                "leave it on; write what it should write",
            ),
        ),
        (
            R::BanDropGeneratedExpression,
            ExistingUp,
            rule("ban-drop-generated-expression", Error, COMPATIBLE, LATER),
        ),
        (
            R::BanAlterIdentity,
            ExistingUp,
            rule("ban-alter-identity", Error, COMPATIBLE, LATER),
        ),
        (
            R::RenamingColumn,
            ExistingUp,
            rule("renaming-column", Error, COMPATIBLE, RENAME),
        ),
        (
            R::RenamingTable,
            ExistingUp,
            rule("renaming-table", Error, COMPATIBLE, RENAME),
        ),
        (
            R::RenamingObject,
            ExistingUp,
            rule("renaming-object", Error, COMPATIBLE, RENAME),
        ),
        (
            R::BanSetSchema,
            ExistingUp,
            rule("ban-set-schema", Error, COMPATIBLE, "leave it in schema public"),
        ),
        (
            R::BanTruncateCascade,
            Everywhere,
            rule(
                "ban-truncate-cascade",
                Error,
                "it empties tables that nobody named",
                "TRUNCATE the tables by name, or DELETE in batches",
            ),
        ),
        (
            R::BanDropDatabase,
            Everywhere,
            rule("ban-drop-database", Error, "nothing is left", OUTSIDE),
        ),
        (
            R::BanAlterSystemOptions,
            Everywhere,
            rule(
                "ban-alter-system-options",
                Error,
                "it changes the server for every database on it",
                OUTSIDE,
            ),
        ),
        (
            R::BanAlterDatabaseOptions,
            Everywhere,
            rule(
                "ban-alter-database-options",
                Error,
                "it changes the database for everybody who comes in, and no migration can tell what it was before",
                OUTSIDE,
            ),
        ),
        (
            R::BanAlterRoleOptions,
            Everywhere,
            rule(
                "ban-alter-role-options",
                Error,
                "roles belong to the server: other installations on it use them too",
                OUTSIDE,
            ),
        ),
        (
            R::TransactionNesting,
            Everywhere,
            rule(
                "transaction-nesting",
                Error,
                "the migration and its line in the history are one transaction, which the runner begins and ends",
                "leave out BEGIN, COMMIT and ROLLBACK; what must not run in a transaction has run_in_transaction = false in \
             its metadata.toml",
            ),
        ),
        (
            R::BanUncommittedTransaction,
            Everywhere,
            rule(
                "ban-uncommitted-transaction",
                Error,
                "its work is lost when the connection ends",
                "leave out BEGIN",
            ),
        ),
        (
            R::BanCreateDomainWithConstraint,
            Everywhere,
            rule(
                "ban-create-domain-with-constraint",
                Warning,
                "a constraint of a domain type cannot be changed without reading every table that uses it",
                FORMATS,
            ),
        ),
        (
            R::BanAlterDomainWithAddConstraint,
            Everywhere,
            rule(
                "ban-alter-domain-with-add-constraint",
                Error,
                "every table that uses the type is read while everybody else waits",
                FORMATS,
            ),
        ),
        (
            R::PreferTextField,
            Everywhere,
            rule(
                "prefer-text-field",
                Warning,
                "to make a varchar(n) shorter, or to say more about it, takes another type and not another CHECK",
                "text, with CHECK (char_length(…) BETWEEN 1 AND 200)",
            ),
        ),
        (
            R::BanCharField,
            Everywhere,
            rule(
                "ban-char-field",
                Warning,
                "char(n) is filled up with blanks",
                "text with a CHECK",
            ),
        ),
        (
            R::PreferTimestampTz,
            Everywhere,
            rule(
                "prefer-timestamp-tz",
                Warning,
                "timestamp forgets the time zone, so that two sessions read two times",
                "timestamptz",
            ),
        ),
        (
            R::PreferIdentity,
            Everywhere,
            rule(
                "prefer-identity",
                Warning,
                "the sequence of a serial column has an owner and grants of its own, and tells how many rows there are",
                "uuid, UUIDv7 made by the code; else GENERATED ALWAYS AS IDENTITY",
            ),
        ),
        (
            R::IdentifierTooLong,
            Everywhere,
            rule(
                "identifier-too-long",
                Error,
                "PostgreSQL cuts it at 63 bytes without an error, and two may become one",
                "a shorter name",
            ),
        ),
        (
            R::BanDuplicateColumnAssignments,
            Everywhere,
            rule(
                "ban-duplicate-column-assignments",
                Error,
                "PostgreSQL refuses it",
                "each column once",
            ),
        ),
        (
            R::RequireEnumValueOrdering,
            Everywhere,
            rule(
                "require-enum-value-ordering",
                Warning,
                "a value that is added at the end compares as the greatest, wherever it belongs",
                "ALTER TYPE … ADD VALUE … BEFORE or AFTER; better text with a CHECK",
            ),
        ),
    ]
};
