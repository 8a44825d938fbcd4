//! The catalogue keeps the rules of tenancy; and a schema that breaks one is caught.

use db_core::tenancy::examine;
use test_support::TestDatabase;

#[tokio::test]
async fn the_schema_keeps_every_rule() {
    let db = TestDatabase::new().await;
    let report = examine(&db.owner()).await.unwrap();
    assert_eq!(report.violations, Vec::<String>::new());
    // A walk over nothing would be green too.
    assert!(report.tenant_tables >= 16, "{report:?}");
    assert!(report.foreign_keys >= 20, "{report:?}");
}

/// Each breaks one rule; the second half is what the report must say.
const MUTANTS: &[(&str, &str)] = &[
    ("DROP POLICY tenant ON cards", "the policy is missing"),
    ("DROP POLICY system ON users", "the policy is missing"),
    ("CREATE POLICY extra ON cards TO plinth_app USING (true)", "not on the list"),
    ("ALTER POLICY tenant ON boards USING (true)", "not on the list"),
    ("ALTER POLICY tenant ON tags WITH CHECK (true)", "not on the list"),
    ("ALTER TABLE cards NO FORCE ROW LEVEL SECURITY", "enabled and forced"),
    ("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY", "enabled and forced"),
    ("ALTER TABLE activity_stream_default DISABLE ROW LEVEL SECURITY", "enabled and forced"),
    ("GRANT TRUNCATE ON cards TO plinth_app", "truncate"),
    ("GRANT REFERENCES ON users TO plinth_app", "truncate"),
    ("GRANT TRIGGER ON users TO plinth_system", "truncate"),
    ("GRANT SELECT ON cards TO PUBLIC", "PUBLIC"),
    ("GRANT SELECT ON installation_secrets TO plinth_app", "plinth_app has"),
    ("GRANT UPDATE ON activity_stream TO plinth_app", "plinth_app has"),
    ("GRANT SELECT (password_hash) ON users TO plinth_app", "may not read hashes"),
    ("GRANT SELECT ON activity_stream_default TO plinth_app", "reached through its parent"),
    (
        "ALTER TABLE cards DROP CONSTRAINT cards_domain_id_assignee_id_fkey;
         CREATE UNIQUE INDEX users_id ON users (id);
         ALTER TABLE cards ADD FOREIGN KEY (assignee_id) REFERENCES users (id)",
        "carries domain_id on both sides",
    ),
    ("ALTER TABLE user_roles DROP CONSTRAINT user_roles_check", "carries domain_id on both sides"),
    ("CREATE UNIQUE INDEX tags_name ON tags (name)", "begins with domain_id"),
    ("CREATE TABLE notes (id uuid PRIMARY KEY, text text)", "begins with domain_id uuid"),
    ("DROP INDEX cards_assignee_idx", "has an index"),
    (
        "ALTER TABLE cards DROP CONSTRAINT cards_domain_id_assignee_id_fkey;
         ALTER TABLE cards ADD FOREIGN KEY (domain_id, assignee_id) REFERENCES users (domain_id, id) ON DELETE SET NULL",
        "would empty domain_id",
    ),
    ("ALTER FUNCTION current_domain_id() IMMUTABLE", "never IMMUTABLE"),
    ("ALTER FUNCTION verify_api_key(uuid, text) RESET ALL", "pins its search_path"),
    ("GRANT EXECUTE ON FUNCTION verify_api_key(uuid, text) TO PUBLIC", "not executable by PUBLIC"),
    ("ALTER FUNCTION held_permissions(uuid, uuid) SECURITY DEFINER", "not exactly the listed ones"),
    ("ALTER FUNCTION verify_api_key(uuid, text) OWNER TO CURRENT_USER", "belongs to plinth_system"),
    ("CREATE VIEW all_cards AS SELECT * FROM cards", "no views"),
    ("CREATE MATERIALIZED VIEW all_cards AS SELECT * FROM cards", "no views"),
    ("COMMENT ON COLUMN cards.title IS NULL", "has a COMMENT"),
];

#[tokio::test]
async fn every_broken_rule_is_caught() {
    let db = TestDatabase::new().await;
    let owner = db.owner();
    let client = db.superuser().await;
    for (mutation, complaint) in MUTANTS {
        // The mutant is examined from another connection, so that it has to be committed, and undone by a fresh copy.
        let mutant = TestDatabase::new().await;
        mutant.superuser().await.batch_execute(mutation).await.unwrap();
        let report = examine(&mutant.owner()).await.unwrap();
        assert!(
            report
                .violations
                .iter()
                .any(|violation| violation.contains(complaint)),
            "not caught: {mutation}\n{:#?}",
            report.violations
        );
    }
    drop(client);
    assert!(examine(&owner).await.unwrap().violations.is_empty());
}
