//! The catalogue keeps the rules of tenancy; and a schema that breaks one is caught.

use db_core::tenancy::{Violation, examine, rules};
use test_support::TestDatabase;

#[tokio::test]
async fn the_schema_keeps_every_rule() {
    let db = TestDatabase::new().await;
    let report = examine(&db.owner()).await.unwrap();
    assert_eq!(report.violations, Vec::<Violation>::new());
    // A walk over nothing would be green too.
    assert!(report.tenant_tables >= 16, "{report:?}");
    assert!(report.foreign_keys >= 20, "{report:?}");
}

/// Each breaks one rule: the id is of the one that the report must name.
const MUTANTS: &[(&str, &str)] = &[
    ("DROP POLICY tenant ON cards", "policy-missing"),
    ("DROP POLICY system ON users", "policy-missing"),
    ("CREATE POLICY extra ON cards TO plinth_app USING (true)", "policy-unlisted"),
    ("ALTER POLICY tenant ON boards USING (true)", "policy-unlisted"),
    ("ALTER POLICY tenant ON tags WITH CHECK (true)", "policy-unlisted"),
    ("ALTER TABLE cards NO FORCE ROW LEVEL SECURITY", "rls-not-forced"),
    ("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY", "rls-not-enabled"),
    ("ALTER TABLE activity_stream_default DISABLE ROW LEVEL SECURITY", "rls-not-enabled"),
    ("GRANT TRUNCATE ON cards TO plinth_app", "unsafe-grant"),
    ("GRANT REFERENCES ON users TO plinth_app", "unsafe-grant"),
    ("GRANT REFERENCES (id) ON users TO plinth_app", "unsafe-grant"),
    ("GRANT TRIGGER ON users TO plinth_system", "unsafe-grant"),
    ("GRANT SELECT ON cards TO PUBLIC", "grant-to-others"),
    ("GRANT SELECT (title) ON cards TO PUBLIC", "grant-to-others"),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO plinth_app",
        "default-privileges",
    ),
    ("GRANT SELECT ON installation_secrets TO plinth_app", "app-grant-unlisted"),
    ("GRANT UPDATE ON activity_stream TO plinth_app", "app-grant-unlisted"),
    ("GRANT SELECT ON cards TO plinth_app WITH GRANT OPTION", "app-grant-option"),
    ("GRANT SELECT (password_hash) ON users TO plinth_app", "hash-readable"),
    ("GRANT SELECT ON activity_stream_default TO plinth_app", "partition-reachable"),
    (
        "ALTER TABLE cards DROP CONSTRAINT cards_domain_id_assignee_id_fkey;
         CREATE UNIQUE INDEX users_id ON users (id);
         ALTER TABLE cards ADD FOREIGN KEY (assignee_id) REFERENCES users (id)",
        "foreign-key-without-domain-id",
    ),
    (
        "ALTER TABLE user_roles DROP CONSTRAINT user_roles_check",
        "foreign-key-without-domain-id",
    ),
    (
        "ALTER TABLE permissions ADD COLUMN domain_id uuid, ADD COLUMN author uuid;
         ALTER TABLE permissions ADD FOREIGN KEY (domain_id, author) REFERENCES users (domain_id, id);
         ALTER TABLE permissions RENAME COLUMN domain_id TO home",
        "foreign-key-from-outside",
    ),
    ("CREATE UNIQUE INDEX tags_name ON tags (name)", "unique-without-domain-id"),
    ("CREATE TABLE notes (id uuid PRIMARY KEY, text text)", "domain-id-first"),
    ("CREATE TABLE notes (domain_id uuid, id uuid, text text)", "domain-id-first"),
    ("DROP INDEX cards_assignee_idx", "foreign-key-without-index"),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cards_assignee_idx'::regclass",
        "foreign-key-without-index",
    ),
    (
        "ALTER TABLE cards DROP CONSTRAINT cards_domain_id_assignee_id_fkey;
         ALTER TABLE cards ADD FOREIGN KEY (domain_id, assignee_id) REFERENCES users (domain_id, id) ON DELETE SET NULL",
        "set-null-on-composite-key",
    ),
    ("ALTER FUNCTION current_domain_id() IMMUTABLE", "immutable-reads-setting"),
    ("ALTER FUNCTION verify_api_key(uuid, text) RESET ALL", "definer-search-path"),
    (
        "GRANT EXECUTE ON FUNCTION verify_api_key(uuid, text) TO PUBLIC",
        "definer-public",
    ),
    (
        "ALTER FUNCTION held_permissions(uuid, uuid) SECURITY DEFINER",
        "definer-unlisted",
    ),
    ("DROP FUNCTION verify_api_key(uuid, text)", "definer-unlisted"),
    (
        "ALTER FUNCTION verify_api_key(uuid, text) OWNER TO CURRENT_USER",
        "definer-owner",
    ),
    (
        "CREATE VIEW all_cards AS SELECT * FROM cards",
        "view-without-security-invoker",
    ),
    (
        "CREATE MATERIALIZED VIEW all_cards AS SELECT * FROM cards",
        "view-without-security-invoker",
    ),
    (
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.notes (text text)",
        "outside-public",
    ),
    ("COMMENT ON COLUMN cards.title IS NULL", "missing-comment"),
    ("COMMENT ON TABLE cards IS NULL", "missing-comment"),
];

#[test]
fn every_rule_has_a_mutant() {
    let without: Vec<_> = rules()
        .map(|rule| rule.id)
        .filter(|id| !MUTANTS.iter().any(|(_, caught)| caught == id))
        .collect();
    assert_eq!(without, Vec::<&str>::new());
}

#[tokio::test]
async fn every_broken_rule_is_caught() {
    let db = TestDatabase::new().await;
    let owner = db.owner();
    let client = db.superuser().await;
    for (mutation, rule) in MUTANTS {
        // The mutant is examined from another connection, so that it has to be committed, and undone by a fresh copy.
        let mutant = TestDatabase::new().await;
        mutant.superuser().await.batch_execute(mutation).await.unwrap();
        let report = examine(&mutant.owner()).await.unwrap();
        assert!(
            report
                .violations
                .iter()
                .any(|violation| violation.rule.id == *rule),
            "not caught: {mutation}\n{:#?}",
            report.violations
        );
    }
    drop(client);
    assert!(examine(&owner).await.unwrap().violations.is_empty());
}
