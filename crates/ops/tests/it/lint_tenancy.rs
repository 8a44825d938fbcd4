//! `migrate lint`: every rule of tenancy, and the line that breaks it.

use test_support::TestDatabase;

use crate::lint::{Project, text};
use crate::support::Ops;

/// What breaks a rule of the catalogue, and the findings with their lines. They are applied one behind the other.
const BAD: &[(&str, &[(&str, u64)])] = &[
    (
        "\nCREATE TABLE notes (\n  id uuid,\n  PRIMARY KEY (id)\n);\nCOMMENT ON TABLE notes IS 'x';\n",
        &[("domain-id-first", 2), ("missing-comment", 3)],
    ),
    (
        "CREATE TABLE labels (domain_id uuid NOT NULL REFERENCES domains (id), id uuid, PRIMARY KEY (domain_id, id));\n\
         COMMENT ON TABLE labels IS 'x';\nCOMMENT ON COLUMN labels.domain_id IS 'x';\nCOMMENT ON COLUMN labels.id IS 'x';\n",
        &[
            ("policy-missing", 1),
            ("policy-missing", 1),
            ("rls-not-enabled", 1),
            ("rls-not-forced", 1),
        ],
    ),
    (
        "SELECT 1;\nALTER TABLE boards NO FORCE ROW LEVEL SECURITY;\n",
        &[("rls-not-forced", 2)],
    ),
    (
        "ALTER TABLE sessions DISABLE ROW LEVEL SECURITY;\n",
        &[("rls-not-enabled", 1)],
    ),
    ("\n\nDROP POLICY tenant ON cards;\n", &[("policy-missing", 3)]),
    (
        "ALTER POLICY tenant ON boards\n  USING (true);\n",
        &[("policy-unlisted", 1)],
    ),
    (
        "CREATE UNIQUE INDEX tags_slug ON tags (name);\n",
        &[("unique-without-domain-id", 1)],
    ),
    (
        "CREATE UNIQUE INDEX users_id ON users (id);\n\
         ALTER TABLE tags ADD COLUMN author uuid;\nCOMMENT ON COLUMN tags.author IS 'x';\n\
         ALTER TABLE tags ADD CONSTRAINT author FOREIGN KEY (author) REFERENCES users (id) NOT VALID;\n",
        &[
            ("unique-without-domain-id", 1),
            ("foreign-key-without-domain-id", 4),
            ("foreign-key-without-index", 4),
        ],
    ),
    (
        "ALTER TABLE permissions ADD COLUMN domain uuid, ADD COLUMN author uuid;\n\
         COMMENT ON COLUMN permissions.domain IS 'x';\nCOMMENT ON COLUMN permissions.author IS 'x';\n\
         CREATE INDEX permissions_author ON permissions (domain, author);\n\
         ALTER TABLE permissions\n  ADD FOREIGN KEY (domain, author) REFERENCES users (domain_id, id) ON DELETE SET NULL;\n",
        &[("foreign-key-from-outside", 6), ("set-null-on-composite-key", 6)],
    ),
    (
        "SELECT 1;\nDROP INDEX cards_assignee_idx;\n",
        &[("foreign-key-without-index", 2)],
    ),
    (
        "CREATE VIEW all_cards AS\n  SELECT * FROM cards;\n",
        &[("view-without-security-invoker", 1)],
    ),
    (
        "CREATE FUNCTION door() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';\n\
         ALTER FUNCTION door() OWNER TO plinth_system;\n",
        &[
            ("definer-public", 1),
            ("definer-search-path", 1),
            ("definer-unlisted", 1),
        ],
    ),
    (
        "CREATE FUNCTION hatch() RETURNS integer LANGUAGE sql SECURITY DEFINER\n\
         SET search_path = pg_catalog, public, pg_temp AS 'SELECT 1';\n\
         REVOKE ALL ON FUNCTION hatch() FROM PUBLIC;\n",
        &[("definer-owner", 1), ("definer-unlisted", 1)],
    ),
    (
        "CREATE FUNCTION here() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_setting('x') $$;\n",
        &[("immutable-reads-setting", 1)],
    ),
    (
        "SELECT 1;\nGRANT TRUNCATE ON cards TO plinth_system;\n",
        &[("unsafe-grant", 2)],
    ),
    (
        "GRANT REFERENCES (id) ON users TO plinth_app;\n",
        &[("unsafe-grant", 1)],
    ),
    (
        "GRANT SELECT (title) ON cards TO PUBLIC;\n",
        &[("grant-to-others", 1)],
    ),
    (
        "GRANT UPDATE ON activity_stream TO plinth_app;\n",
        &[("app-grant-unlisted", 1)],
    ),
    (
        "GRANT SELECT ON tags TO plinth_app WITH GRANT OPTION;\n",
        &[("app-grant-option", 1)],
    ),
    (
        "GRANT SELECT (password_hash) ON users TO plinth_app;\n",
        &[("hash-readable", 1)],
    ),
    (
        "GRANT SELECT ON activity_stream_default TO plinth_app;\n",
        &[("partition-reachable", 1)],
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO plinth_app;\n",
        &[("default-privileges", 1)],
    ),
    (
        "CREATE SCHEMA elsewhere;\nCREATE TABLE elsewhere.notes (x text);\n",
        &[("outside-public", 2)],
    ),
];

#[tokio::test]
async fn every_broken_rule_of_tenancy_is_found_with_its_line() {
    let database = TestDatabase::empty().await;
    let project = Project::new();
    for (number, (sql, _)) in BAD.iter().enumerate() {
        project.add(&format!("{number:02}_bad"), sql);
    }
    let report = project.lint_added(&Ops::on(&database), 1);
    let findings = report.get("findings").unwrap().as_array().unwrap();
    for (number, (sql, expected)) in BAD.iter().enumerate() {
        let mut of_catalogue: Vec<(&str, u64)> = findings
            .iter()
            .filter(|finding| text(finding, "file").contains(&format!("_{number:02}_bad/")))
            .filter(|finding| text(finding, "source") == "catalogue")
            .map(|finding| {
                let line = finding.pointer("/start/line").unwrap().as_u64().unwrap();
                (text(finding, "rule"), line)
            })
            .collect();
        let mut expected = expected.to_vec();
        of_catalogue.sort_unstable();
        expected.sort_unstable();
        assert_eq!(of_catalogue, expected, "{sql}\n{report:#}");
    }
    for rule in db_core::tenancy::rules() {
        let shown = BAD
            .iter()
            .any(|(_, rules)| rules.iter().any(|(id, _)| *id == rule.id));
        assert!(shown, "no bad migration for {}", rule.id);
    }
}
