//! What runs inside of DO, of functions that the file calls, and of EXECUTE.

use migration_lint::lint;

use crate::support::{found, outside_of_a_transaction, up};

/// SQL, and the rules that it breaks with the line of each.
const BAD: &[(&str, &[(&str, usize)])] = &[
    (
        "DO $$ BEGIN DROP TABLE card_tags; END $$;",
        &[("ban-drop-table", 1)],
    ),
    (
        "DO LANGUAGE plpgsql $x$\nDECLARE\n  n integer := 1;\nBEGIN\n  UPDATE cards SET title = 'x';\nEND $x$;",
        &[("write-without-where", 5)],
    ),
    (
        "DO $$\nBEGIN\n  EXECUTE 'ALTER TABLE cards DROP COLUMN due_at';\nEND $$;",
        &[("ban-drop-column", 3)],
    ),
    (
        "DO $$\nBEGIN\n  EXECUTE $q$ALTER ROLE plinth_app BYPASSRLS$q$ USING 1;\nEND $$;",
        &[("ban-alter-role-options", 3), ("role-power", 3)],
    ),
    (
        "DO $$\nBEGIN\n  EXECUTE 'ALTER TABLE cards' || ' DROP COLUMN due_at';\nEND $$;",
        &[("unseen-code", 3)],
    ),
    (
        "DO $$\nBEGIN\n  EXECUTE format('ALTER TABLE %I DROP COLUMN x', 'cards') INTO x;\nEND $$;",
        &[("unseen-code", 3)],
    ),
    (
        "DO $$ BEGIN\nIF CASE WHEN true THEN true END THEN\n  DROP TABLE cards;\nELSIF false THEN\n  DROP TABLE boards;\n\
         ELSE\n  DROP TABLE tags;\nEND IF;\nEXCEPTION WHEN others THEN\n  DROP TABLE users;\nEND $$;",
        &[
            ("ban-drop-table", 3),
            ("ban-drop-table", 5),
            ("ban-drop-table", 7),
            ("ban-drop-table", 10),
        ],
    ),
    (
        "DO $$ DECLARE r record; BEGIN\n<<all>>\nFOR r IN\n  DELETE FROM cards RETURNING id LOOP\n\
         PERFORM set_config('a', r.id::text, false);\nEND LOOP;\n\
         x := set_config('a', 'b', false);\nEND $$;",
        &[
            ("set-without-local", 5),
            ("set-without-local", 7),
            ("write-without-where", 4),
        ],
    ),
    (
        "DO $$ BEGIN\nFOR r IN EXECUTE x LOOP\n  NULL;\nEND LOOP;\nEND $$;",
        &[("unseen-code", 2)],
    ),
    (
        "DO $$ BEGIN\nCASE 1\nWHEN 1 THEN\n  TRUNCATE cards;\nELSE NULL;\nEND CASE;\nEND $$;",
        &[("ban-truncate", 4)],
    ),
    (
        "DO '\nBEGIN\n  EXECUTE ''DROP TABLE cards'';\nEND';",
        &[("ban-drop-table", 3)],
    ),
    (
        "DO $a$ BEGIN\nEXECUTE 'DO $b$ BEGIN\nDROP TABLE cards; END $b$';\nEND $a$;",
        &[("ban-drop-table", 3)],
    ),
    ("DO LANGUAGE plperl $$ 1 $$;", &[("unseen-code", 1)]),
    // A function of the file, called by the file.
    (
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  DELETE FROM cards;\nEND $$;\nSELECT f();",
        &[("write-without-where", 3)],
    ),
    (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS '\n  DROP TABLE cards';\n\
         CREATE PROCEDURE g() LANGUAGE plpgsql AS $$ BEGIN PERFORM f(); END $$;\nCALL g();",
        &[("ban-drop-table", 2)],
    ),
    (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC\n  DELETE FROM cards;\nEND;\n\
         DO $$ DECLARE x integer := f(); BEGIN END $$;",
        &[("write-without-where", 2)],
    ),
    // What a body makes may not have been made: no excuse for what comes after.
    (
        "DO $$ BEGIN CREATE TABLE cards (x text); EXCEPTION WHEN duplicate_table THEN END $$;\nDROP TABLE cards;",
        &[("ban-drop-table", 2)],
    ),
    (
        "DO $$ BEGIN ALTER TABLE cards ADD COLUMN x text; END $$;\nUPDATE cards SET x = 'y' WHERE x IS NULL;",
        &[("backfill-under-lock", 2)],
    ),
];

#[test]
fn what_bodies_do_is_named_with_its_line() {
    for (sql, expected) in BAD {
        let mut found = found(&up(sql));
        found.sort_unstable();
        assert_eq!(found, *expected, "{sql}");
    }
}

#[test]
fn the_place_is_that_in_the_file() {
    let script = up("-- Größe\nDO $$ BEGIN /* ä */ ALTER TABLE cards DROP COLUMN größe; END $$;\n");
    let findings = lint(&script, None, &[]);
    let finding = findings.first().unwrap();
    assert_eq!(
        (finding.start.line, finding.start.column),
        (2, 39),
        "{findings:?}"
    );
}

#[test]
fn a_reason_above_the_block_or_above_the_statement_allows() {
    let above = up(
        "-- lint: allow(ban-drop-table) because nothing reads them\nDO $$ BEGIN DROP TABLE a; DROP TABLE b; END $$;",
    );
    assert_eq!(found(&above), []);
    let inside = up(
        "DO $$ BEGIN\n  -- lint: allow(ban-drop-table) because nothing reads it\n  DROP TABLE a;\n  DROP TABLE b;\nEND $$;",
    );
    assert_eq!(found(&inside), [("ban-drop-table", 4)]);
    let unseen =
        up("-- lint: allow(unseen-code) because the name is made of a date\nDO $$ BEGIN EXECUTE x; END $$;");
    assert_eq!(found(&unseen), []);
    let unused =
        up("DO $$ BEGIN\n  -- lint: allow(ban-drop-table) because nothing reads it\n  PERFORM 1;\nEND $$;");
    assert_eq!(found(&unused), [("allow-unused", 2)]);
}

#[test]
fn harmless_bodies() {
    let script = up("
        CREATE TABLE notes (x text);
        DO $$
        DECLARE
            batch record;
            done CONSTANT text[] := ARRAY['DROP TABLE cards;'];
        BEGIN
            UPDATE notes SET x = 'y';
            LOOP
                WITH due AS (SELECT id FROM cards LIMIT 10), done AS (
                    UPDATE cards c SET title = '' FROM due WHERE due.id = c.id RETURNING c.id)
                SELECT id INTO batch FROM done ORDER BY id DESC LIMIT 1;
                EXIT WHEN NOT FOUND;
            END LOOP;
            RAISE NOTICE 'DELETE FROM %', 'cards';
            SET LOCAL row_security = on;
            PERFORM set_config('a', 'b', true);
        END $$;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM cards; END $$;
        CREATE TRIGGER t BEFORE UPDATE ON notes EXECUTE FUNCTION f();
        COMMENT ON FUNCTION f() IS 'DELETE FROM cards;';
    ");
    assert_eq!(found(&script), []);
    let batches = outside_of_a_transaction(
        "DO $$ BEGIN LOOP DELETE FROM cards WHERE title = ''; EXIT WHEN NOT FOUND; COMMIT; END LOOP; END $$;",
    );
    assert_eq!(found(&batches), []);
}
