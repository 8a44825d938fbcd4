//! Dangerous migrations, each rule at least once.

use migration_lint::Script;

use crate::support::{down, found, outside_of_a_transaction, up};

/// SQL, and the rules that it breaks with the line of each.
pub const UP: &[(&str, &[(&str, usize)])] = &[
    (
        "CREATE INDEX cards_rank ON cards (domain_id, rank);",
        &[("require-concurrent-index-creation", 1)],
    ),
    (
        "CREATE TABLE a (x text);\nCREATE INDEX b ON cards (rank);",
        &[("require-concurrent-index-creation", 2)],
    ),
    (
        "DROP INDEX cards_rank;",
        &[("require-concurrent-index-deletion", 1)],
    ),
    ("REINDEX INDEX cards_rank;", &[("require-concurrent-reindex", 1)]),
    (
        "ALTER TABLE activity_stream DETACH PARTITION old;",
        &[("require-concurrent-partition-detach", 1)],
    ),
    (
        "ALTER TABLE cards ADD CONSTRAINT c CHECK (x > 0);",
        &[("constraint-missing-not-valid", 1)],
    ),
    (
        "ALTER TABLE cards ADD CONSTRAINT c CHECK (x > 0) NOT VALID;\nALTER TABLE cards VALIDATE CONSTRAINT c;",
        &[("constraint-missing-not-valid", 2)],
    ),
    (
        "ALTER TABLE cards\n  ADD CONSTRAINT c FOREIGN KEY (domain_id, x) REFERENCES users (domain_id, id);",
        &[("adding-foreign-key-constraint", 2)],
    ),
    (
        "\nALTER TABLE cards\n  ALTER COLUMN x SET NOT NULL;",
        &[("adding-not-nullable-field", 3)],
    ),
    (
        "ALTER TABLE cards ADD PRIMARY KEY (domain_id, id);",
        &[("adding-serial-primary-key-field", 1)],
    ),
    (
        "ALTER TABLE cards ADD CONSTRAINT c UNIQUE (domain_id, x);",
        &[("disallowed-unique-constraint", 1)],
    ),
    (
        "ALTER TABLE cards ADD COLUMN x uuid DEFAULT gen_random_uuid();",
        &[("adding-field-with-default", 1)],
    ),
    (
        "ALTER TABLE cards ADD COLUMN x text NOT NULL;",
        &[("adding-required-field", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN number TYPE bigint;",
        &[("changing-column-type", 1)],
    ),
    ("ALTER TABLE cards DROP COLUMN title;", &[("ban-drop-column", 1)]),
    ("DROP TABLE cards;", &[("ban-drop-table", 1)]),
    (
        "CREATE TABLE a (x text);\nDROP TABLE a, cards;",
        &[("ban-drop-table", 2)],
    ),
    ("DROP VIEW v;", &[("ban-drop-view", 1)]),
    ("DROP FUNCTION enter(text);", &[("ban-drop-function", 1)]),
    ("DROP TYPE t;", &[("ban-drop-type", 1)]),
    ("DROP DOMAIN t;", &[("ban-drop-domain", 1)]),
    ("DROP SEQUENCE s;", &[("ban-drop-sequence", 1)]),
    ("DROP SCHEMA s;", &[("ban-drop-schema", 1)]),
    ("DROP EXTENSION pgcrypto;", &[("ban-drop-extension", 1)]),
    (
        "ALTER TABLE cards ALTER COLUMN x DROP DEFAULT;",
        &[("ban-drop-default", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN x DROP NOT NULL;",
        &[("ban-drop-not-null", 1)],
    ),
    (
        "ALTER TABLE cards DROP CONSTRAINT c;",
        &[("ban-drop-constraint", 1)],
    ),
    ("DROP TRIGGER t ON cards;", &[("ban-drop-trigger", 1)]),
    (
        "ALTER TABLE cards DISABLE TRIGGER ALL;",
        &[("ban-disable-trigger", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN x DROP EXPRESSION;",
        &[("ban-drop-generated-expression", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN x ADD GENERATED ALWAYS AS IDENTITY;",
        &[("ban-alter-identity", 1)],
    ),
    (
        "ALTER TABLE cards RENAME COLUMN title TO name;",
        &[("renaming-column", 1)],
    ),
    ("ALTER TABLE cards RENAME TO tickets;", &[("renaming-table", 1)]),
    (
        "ALTER FUNCTION enter(text) RENAME TO come_in;",
        &[("renaming-object", 1)],
    ),
    ("ALTER TABLE cards SET SCHEMA other;", &[("ban-set-schema", 1)]),
    (
        "TRUNCATE cards CASCADE;",
        &[("ban-truncate", 1), ("ban-truncate-cascade", 1)],
    ),
    (
        "TRUNCATE TABLE ONLY public.cards RESTART IDENTITY;",
        &[("ban-truncate", 1)],
    ),
    ("DROP DATABASE plinth;", &[("ban-drop-database", 1)]),
    (
        "ALTER SYSTEM SET work_mem = '1GB';",
        &[("ban-alter-system-options", 1)],
    ),
    (
        "ALTER DATABASE plinth SET work_mem = '1GB';",
        &[("ban-alter-database-options", 1)],
    ),
    (
        "ALTER ROLE plinth_app BYPASSRLS;",
        &[("ban-alter-role-options", 1), ("role-power", 1)],
    ),
    ("CREATE USER anna SUPERUSER;", &[("role-power", 1)]),
    ("GRANT plinth_system TO anna;", &[("role-power", 1)]),
    (
        "GRANT plinth_system TO CURRENT_USER, PUBLIC;",
        &[("role-power", 1)],
    ),
    ("LOCK TABLE cards;", &[("lock-table", 1)]),
    ("LOCK cards IN SHARE ROW EXCLUSIVE MODE;", &[("lock-table", 1)]),
    ("ALTER TABLE cards SET UNLOGGED;", &[("full-rewrite", 1)]),
    ("ALTER TABLE cards SET TABLESPACE fast;", &[("full-rewrite", 1)]),
    ("PREPARE p AS DELETE FROM cards;", &[("unseen-code", 1)]),
    (
        "WITH d AS (DELETE FROM cards RETURNING 1)\nSELECT count(*) FROM d;",
        &[("write-without-where", 1)],
    ),
    (
        "WITH d AS (SELECT 1 WHERE true) UPDATE cards SET title = 'x';",
        &[("write-without-where", 1)],
    ),
    (
        "UPDATE cards SET title = (SELECT 'x' WHERE true);",
        &[("write-without-where", 1)],
    ),
    ("DELETE FROM cards WHERE true;", &[("write-without-where", 1)]),
    (
        "SELECT set_config('search_path', 'x', false);",
        &[("set-without-local", 1)],
    ),
    (
        "SELECT set_config('a', 'x', true), set_config('b', f('x'), (false));",
        &[("set-without-local", 1)],
    ),
    ("RESET ALL;", &[("set-without-local", 1)]),
    (
        "CREATE SCHEMA cards;\nALTER TABLE cards DROP COLUMN due_at;\nDROP SCHEMA cards;",
        &[("ban-drop-column", 2)],
    ),
    (
        "CREATE TEMP TABLE cards (x text);\nALTER TABLE public.cards DROP COLUMN due_at;",
        &[("ban-drop-column", 2)],
    ),
    (
        "CREATE TEMP TABLE cards (x text);\nDROP TABLE cards;\nALTER TABLE cards DROP COLUMN due_at;",
        &[("ban-drop-column", 3)],
    ),
    (
        "CREATE TABLE app.cards (x text);\nALTER TABLE cards DROP COLUMN due_at;",
        &[("ban-drop-column", 2)],
    ),
    (
        "CREATE TABLE cards (x text);\nSET LOCAL search_path = app;\nALTER TABLE cards DROP COLUMN due_at;",
        &[("ban-drop-column", 3)],
    ),
    (
        "CREATE TABLE notes (x text);\nCREATE TRIGGER t BEFORE UPDATE ON notes EXECUTE FUNCTION f();\n\
         DROP TRIGGER t ON cards;",
        &[("ban-drop-trigger", 3)],
    ),
    (
        "CREATE FUNCTION f(a integer) RETURNS integer LANGUAGE sql RETURN a;\nDROP FUNCTION f(text);",
        &[("ban-drop-function", 2)],
    ),
    (
        "CREATE OR REPLACE FUNCTION f() RETURNS integer LANGUAGE sql RETURN 1;\nDROP FUNCTION f();",
        &[("ban-drop-function", 2)],
    ),
    ("COMMIT;", &[("transaction-nesting", 1)]),
    (
        "BEGIN;",
        &[("ban-uncommitted-transaction", 1), ("transaction-nesting", 1)],
    ),
    (
        "CREATE DOMAIN email AS text CHECK (VALUE <> '');",
        &[("ban-create-domain-with-constraint", 1)],
    ),
    (
        "ALTER DOMAIN email ADD CONSTRAINT c CHECK (VALUE <> '');",
        &[("ban-alter-domain-with-add-constraint", 1)],
    ),
    ("CREATE TABLE a (\n  x varchar(20));", &[("prefer-text-field", 2)]),
    ("CREATE TABLE a (x char(20));", &[("ban-char-field", 1)]),
    (
        "CREATE TABLE a (\n  y text,\n  x timestamp);",
        &[("prefer-timestamp-tz", 3)],
    ),
    ("CREATE TABLE a (x bigserial);", &[("prefer-identity", 1)]),
    (
        "CREATE TABLE a_name_that_is_very_much_longer_than_the_sixty_three_bytes_that_fit (x text);",
        &[("identifier-too-long", 1)],
    ),
    (
        "INSERT INTO cards (title, title) VALUES ('a', 'b');",
        &[
            ("ban-duplicate-column-assignments", 1),
            ("ban-duplicate-column-assignments", 1),
        ],
    ),
    (
        "ALTER TYPE mood ADD VALUE 'new';",
        &[("require-enum-value-ordering", 1)],
    ),
    ("SELECT 1;\nSELEC 2;", &[("syntax-error", 2)]),
    (
        "CREATE INDEX CONCURRENTLY cards_rank ON cards (domain_id, rank);",
        &[("concurrently-in-transaction", 1)],
    ),
    (
        "DROP INDEX CONCURRENTLY cards_rank;",
        &[("concurrently-in-transaction", 1)],
    ),
    (
        "REINDEX INDEX CONCURRENTLY cards_rank;",
        &[("concurrently-in-transaction", 1)],
    ),
    ("VACUUM FULL cards;", &[("full-rewrite", 1)]),
    ("CLUSTER cards;", &[("full-rewrite", 1)]),
    ("UPDATE cards SET title = 'x';", &[("write-without-where", 1)]),
    ("DELETE FROM ONLY public.cards;", &[("write-without-where", 1)]),
    (
        "ALTER TABLE cards ADD COLUMN x text;\n\nUPDATE cards SET x = 'y' WHERE x IS NULL;",
        &[("backfill-under-lock", 3)],
    ),
    (
        "-- What it is for.\n\n-- CREATE TABLE things ();\n",
        &[("empty-migration", 1)],
    ),
    ("", &[("empty-migration", 1)]),
    ("SET work_mem = '1GB';", &[("set-without-local", 1)]),
    ("SET ROLE plinth_system;", &[("set-without-local", 1)]),
];

/// The same for `down.sql`.
const DOWN: &[(&str, &[(&str, usize)])] = &[
    (
        "DROP INDEX cards_rank;",
        &[("require-concurrent-index-deletion", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN x SET NOT NULL;",
        &[("adding-not-nullable-field", 1)],
    ),
    (
        "ALTER TABLE cards ALTER COLUMN x TYPE integer;",
        &[("changing-column-type", 1)],
    ),
    ("COMMIT;", &[("transaction-nesting", 1)]),
];

fn check(table: &[(&str, &[(&str, usize)])], script: fn(&str) -> Script) {
    for (sql, expected) in table {
        let mut found = found(&script(sql));
        found.sort_unstable();
        assert_eq!(found, *expected, "{sql}");
    }
}

#[test]
fn every_dangerous_statement_is_named_with_its_line() {
    check(UP, up);
    check(DOWN, down);
}

#[test]
fn outside_of_a_transaction_too() {
    check(
        &[
            (
                "CREATE INDEX a ON cards (rank);",
                &[("require-concurrent-index-creation", 1)],
            ),
            (
                "CREATE INDEX CONCURRENTLY a ON cards (rank);\nALTER TABLE cards DROP COLUMN x;",
                &[("ban-drop-column", 2)],
            ),
        ],
        outside_of_a_transaction,
    );
}

#[test]
fn the_place_is_counted_in_characters() {
    let script = up("-- Größe\r\n/* ä */ ALTER TABLE cards DROP COLUMN größe;\r\n");
    let findings = migration_lint::lint(&script, None, &[]);
    let finding = findings.first().unwrap();
    assert_eq!(
        (finding.start.line, finding.start.column),
        (2, 27),
        "{findings:?}"
    );
    assert_eq!((finding.end.line, finding.end.column), (2, 44), "{findings:?}");
}
