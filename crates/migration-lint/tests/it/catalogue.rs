//! Which statement made the object that the catalogue complains of.

use migration_lint::{Level, Object, RuleInfo, Violation, lint};

use crate::support::up;

const SQL: &str = "\
CREATE TABLE public.notes (
    domain_id uuid NOT NULL,
    id uuid NOT NULL,
    card_id uuid NOT NULL,
    author uuid CONSTRAINT authored REFERENCES users (id),
    title numeric(10, 2) UNIQUE,
    PRIMARY KEY (id),
    UNIQUE (domain_id, title),
    FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id)
);
ALTER TABLE notes ADD COLUMN colour text, ADD COLUMN size integer REFERENCES sizes (id);
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS notes_title ON notes (title);
ALTER TABLE cards NO FORCE ROW LEVEL SECURITY;
ALTER TABLE users DISABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notes USING (true);
ALTER POLICY tenant ON cards USING (true);
GRANT SELECT, TRUNCATE ON notes, cards TO plinth_app;
CREATE OR REPLACE FUNCTION \"door\"(a uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
ALTER FUNCTION door(uuid) OWNER TO postgres;
GRANT EXECUTE ON FUNCTION door(uuid) TO PUBLIC;
CREATE VIEW all_cards AS SELECT * FROM cards;
DROP INDEX tags_idx;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO plinth_app;
CREATE SCHEMA elsewhere;
";

/// Rule, object, table, name; and the line and column that is found.
type Place = (
    &'static str,
    Object,
    Option<&'static str>,
    &'static str,
    (usize, usize),
);

const PLACES: &[Place] = &[
    ("domain-id-first", Object::Table, None, "notes", (1, 1)),
    ("rls-not-enabled", Object::Table, None, "notes", (1, 1)),
    ("rls-not-enabled", Object::Table, None, "users", (14, 1)),
    ("rls-not-forced", Object::Table, None, "cards", (13, 1)),
    ("missing-comment", Object::Column, Some("notes"), "id", (3, 5)),
    ("missing-comment", Object::Column, Some("notes"), "title", (6, 5)),
    (
        "missing-comment",
        Object::Column,
        Some("notes"),
        "colour",
        (11, 19),
    ),
    (
        "unique-without-domain-id",
        Object::Index,
        Some("notes"),
        "notes_pkey",
        (7, 5),
    ),
    (
        "unique-without-domain-id",
        Object::Index,
        Some("notes"),
        "notes_title_key",
        (6, 5),
    ),
    (
        "unique-without-domain-id",
        Object::Index,
        Some("notes"),
        "notes_domain_id_title_key",
        (8, 5),
    ),
    (
        "unique-without-domain-id",
        Object::Index,
        Some("notes"),
        "notes_title",
        (12, 1),
    ),
    (
        "foreign-key-without-domain-id",
        Object::Constraint,
        Some("notes"),
        "authored",
        (5, 5),
    ),
    (
        "foreign-key-without-domain-id",
        Object::Constraint,
        Some("notes"),
        "notes_size_fkey",
        (11, 43),
    ),
    (
        "foreign-key-without-index",
        Object::Constraint,
        Some("notes"),
        "notes_domain_id_card_id_fkey",
        (9, 5),
    ),
    (
        "foreign-key-without-index",
        Object::Constraint,
        Some("tags"),
        "tags_project_fkey",
        (22, 1),
    ),
    ("policy-missing", Object::Policy, Some("notes"), "system", (1, 1)),
    (
        "policy-unlisted",
        Object::Policy,
        Some("notes"),
        "tenant",
        (15, 1),
    ),
    (
        "policy-unlisted",
        Object::Policy,
        Some("cards"),
        "tenant",
        (16, 1),
    ),
    ("unsafe-grant", Object::Table, None, "notes", (17, 1)),
    ("unsafe-grant", Object::Column, Some("cards"), "title", (17, 1)),
    (
        "definer-search-path",
        Object::Function,
        None,
        "door(uuid)",
        (18, 1),
    ),
    ("definer-unlisted", Object::Function, None, "door(uuid)", (18, 1)),
    ("definer-owner", Object::Function, None, "door(uuid)", (19, 1)),
    ("definer-public", Object::Function, None, "door(uuid)", (20, 1)),
    (
        "view-without-security-invoker",
        Object::View,
        None,
        "all_cards",
        (21, 1),
    ),
    (
        "default-privileges",
        Object::Schema,
        None,
        "every schema",
        (23, 1),
    ),
    ("outside-public", Object::Schema, None, "elsewhere", (24, 1)),
    // Nothing names it: it was done in a way that the text does not show.
    ("rls-not-enabled", Object::Table, None, "sessions", (1, 1)),
];

#[test]
fn the_statement_is_found() {
    let rules: Vec<RuleInfo> = PLACES
        .iter()
        .map(|(id, ..)| RuleInfo {
            id,
            level: Level::Error,
            why: "why",
            safe_form: "so",
        })
        .collect();
    let script = up(SQL);
    for (rule, object, table, name, place) in PLACES {
        let violation = Violation {
            rule: (*rule).to_owned(),
            message: "broken".to_owned(),
            object: *object,
            table: table.map(ToOwned::to_owned),
            name: (*name).to_owned(),
        };
        let findings = lint(&script, Some(&[violation]), &rules);
        let finding = findings.iter().find(|finding| finding.rule == *rule).unwrap();
        assert_eq!(
            (finding.start.line, finding.start.column),
            *place,
            "{rule} on {table:?} {name}"
        );
    }
}
