//! Migrations that nothing is wrong with.

use crate::support::{down, found, outside_of_a_transaction, up};

#[test]
fn a_new_table_is_not_waited_for() {
    let script = up("
        CREATE TABLE notes (domain_id uuid NOT NULL, id uuid NOT NULL, card_id uuid, text text);
        ALTER TABLE notes ADD PRIMARY KEY (domain_id, id);
        ALTER TABLE notes ADD CONSTRAINT notes_card FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id);
        ALTER TABLE notes ADD CHECK (char_length(text) < 10);
        ALTER TABLE notes ADD UNIQUE (domain_id, text);
        ALTER TABLE notes ALTER COLUMN text SET NOT NULL;
        ALTER TABLE notes ALTER COLUMN text TYPE text;
        ALTER TABLE public.notes ADD COLUMN x text NOT NULL, ADD COLUMN y uuid DEFAULT gen_random_uuid();
        ALTER TABLE notes RENAME COLUMN x TO z;
        ALTER TABLE notes DROP COLUMN y;
        CREATE INDEX notes_card ON notes (domain_id, card_id);
        CREATE UNIQUE INDEX ON ONLY notes (domain_id, text);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        ALTER TABLE notes FORCE ROW LEVEL SECURITY;
        INSERT INTO notes SELECT domain_id, id FROM cards;
        UPDATE notes SET text = '';
        WITH d AS (DELETE FROM notes RETURNING 1) SELECT count(*) FROM d;
        LOCK TABLE notes;
        ALTER TABLE notes SET UNLOGGED;
        TRUNCATE notes, public.notes;
        CREATE TEMP TABLE draft (x text);
        UPDATE draft SET x = '';
        ALTER TABLE pg_temp.draft DROP COLUMN x;
        DROP INDEX notes_card;
        CREATE FUNCTION helper() RETURNS text LANGUAGE sql RETURN 'x';
        DROP FUNCTION helper();
        CREATE FUNCTION other(a text DEFAULT 'x', b numeric(10, 2) DEFAULT 1) RETURNS text LANGUAGE sql RETURN a;
        DROP FUNCTION other(text, numeric);
        CREATE TABLE scratch (x text);
        DROP TABLE scratch, notes;
    ");
    assert_eq!(found(&script), []);
}

#[test]
fn the_forms_that_nobody_waits_for() {
    let script = up("
        ALTER TABLE cards ADD COLUMN size integer NOT NULL DEFAULT 0;
        ALTER TABLE cards ADD COLUMN author uuid DEFAULT current_user_id();
        ALTER TABLE cards ADD CONSTRAINT cards_size CHECK (size >= 0) NOT VALID;
        ALTER TABLE cards ADD CONSTRAINT cards_author FOREIGN KEY (domain_id, author) REFERENCES users (domain_id, id) NOT VALID;
        ALTER TABLE cards ADD CONSTRAINT cards_key UNIQUE USING INDEX cards_key_idx;
        COMMENT ON COLUMN cards.size IS '…';
        SET LOCAL row_security = on;
        ALTER TABLE users NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE users FORCE ROW LEVEL SECURITY;
        SELECT set_config('plinth.domain_id', current_setting('a', true), true);
        RESET ROLE;
        GRANT plinth_system TO CURRENT_USER;
        GRANT UPDATE, DELETE ON cards TO plinth_app;
        LOCK TABLE cards IN ROW EXCLUSIVE MODE;
        SELECT 1 FROM (SELECT 2) x FOR UPDATE;
        WITH d AS (DELETE FROM boards WHERE id IN (SELECT id FROM boards LIMIT 1) RETURNING 1) SELECT count(*) FROM d;
    ");
    assert_eq!(found(&script), []);
    let not_null = up("
        ALTER TABLE cards VALIDATE CONSTRAINT cards_title_not_null;
        ALTER TABLE cards ALTER COLUMN title SET NOT NULL;
        ALTER TABLE cards DROP CONSTRAINT cards_title_not_null;
    ");
    assert_eq!(found(&not_null), []);
    let indexes = outside_of_a_transaction(
        "
        CREATE INDEX CONCURRENTLY cards_size ON cards (domain_id, size);
        DROP INDEX CONCURRENTLY cards_rank;
        REINDEX INDEX CONCURRENTLY cards_key;
        ",
    );
    assert_eq!(found(&indexes), []);
    assert_eq!(found(&up("UPDATE cards SET title = '' WHERE title IS NULL;")), []);
}

#[test]
fn a_table_that_may_have_been_there_is_not_new() {
    let script = up("CREATE TABLE IF NOT EXISTS cards (x text);\nALTER TABLE cards DROP COLUMN x;");
    assert_eq!(found(&script), [("ban-drop-column", 2)]);
    let script = up("ALTER TABLE notes DROP COLUMN x;\nCREATE TABLE notes (x text);");
    assert_eq!(found(&script), [("ban-drop-column", 1)]);
}

#[test]
fn reverting_removes() {
    let script = down(
        "
        DROP FUNCTION helper(text, integer);
        ALTER TABLE cards DROP COLUMN size;
        ALTER TABLE cards DROP CONSTRAINT cards_size;
        ALTER TABLE cards RENAME COLUMN name TO title;
        DROP TABLE notes;
    ",
    );
    assert_eq!(found(&script), []);
}

#[test]
fn what_stands_in_strings_is_not_read() {
    let script = up("
        CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE cards SET title = ''; END $$;
        COMMENT ON FUNCTION f() IS 'DROP INDEX CONCURRENTLY; -- squawk-ignore; -- lint: allow(x)';
        DO $do$ BEGIN PERFORM 1; END $do$;
    ");
    assert_eq!(found(&script), []);
}
