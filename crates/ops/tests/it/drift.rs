//! `migrate drift`: what somebody did by hand is named, and only that.

use db_migrate::MIGRATIONS;
use test_support::TestDatabase;

use crate::support::Ops;

/// What somebody did by hand, and what is said of it: above all, how the line of the object begins.
const BY_HAND: [(&str, &str); 9] = [
    (
        "ALTER TABLE cards ADD COLUMN color text",
        "- column public.cards.color",
    ),
    (
        "ALTER TABLE cards DROP COLUMN due_at",
        "+ column public.cards.due_at",
    ),
    (
        "DROP INDEX cards_board_idx",
        "+ index public.cards_board_idx on public.cards",
    ),
    ("DROP POLICY tenant ON boards", "+ policy tenant on public.boards"),
    (
        "ALTER TABLE tags DISABLE ROW LEVEL SECURITY",
        "~ table public.tags\n    row_security: no -> yes",
    ),
    (
        "ALTER TABLE cards ALTER COLUMN title DROP NOT NULL",
        "~ column public.cards.title\n    not_null: no -> yes",
    ),
    (
        "CREATE OR REPLACE FUNCTION refuse(p_status integer, p_reason text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END'",
        "~ function public.refuse(integer, text)\n    body: BEGIN END -> ",
    ),
    (
        "GRANT DELETE ON sessions TO plinth_app",
        "- grant to plinth_app on table public.sessions",
    ),
    (
        "ALTER TABLE users DROP CONSTRAINT users_email_key",
        "+ constraint users_email_key on public.users",
    ),
];

/// What opens a way to rows and stands in no list of tables, columns and grants.
const HIDDEN: [(&str, &str); 9] = [
    (
        "ALTER TABLE cards DISABLE TRIGGER ALL",
        "~ table public.cards\n    out_of_order: constraint cards_rank_key: trigger disabled, foreign key ",
    ),
    (
        "CREATE OR REPLACE FUNCTION public.crypt(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS 'select $1'",
        "~ function of extension pgcrypto public.crypt(",
    ),
    (
        "CREATE EXTENSION citext;
         CREATE FUNCTION backdoor() RETURNS SETOF users LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM users';
         ALTER EXTENSION citext ADD FUNCTION backdoor()",
        "- function of extension citext public.backdoor()",
    ),
    (
        "CREATE TABLE evil AS SELECT 1 AS one; GRANT SELECT ON evil TO plinth_app; ALTER EXTENSION pgcrypto ADD TABLE evil",
        "- table of extension pgcrypto public.evil",
    ),
    (
        "CREATE TABLE activity_stream_x PARTITION OF activity_stream
             FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('01900000-0000-0000-0000-000000000000');
         ALTER TABLE activity_stream_x ENABLE ROW LEVEL SECURITY;
         ALTER TABLE activity_stream_x FORCE ROW LEVEL SECURITY;
         ALTER TABLE activity_stream_x OWNER TO plinth_app",
        "- table public.activity_stream_x",
    ),
    (
        "CREATE TABLE activity_stream_x PARTITION OF activity_stream
             FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('01900000-0000-0000-0000-000000000000');
         ALTER TABLE activity_stream_x ENABLE ROW LEVEL SECURITY;
         ALTER TABLE activity_stream_x FORCE ROW LEVEL SECURITY;
         CREATE RULE hole AS ON INSERT TO activity_stream_x DO INSTEAD NOTHING",
        "- rule hole on public.activity_stream_x",
    ),
    (
        "GRANT ALL ON plinth_migrations TO plinth_app",
        "- grant to plinth_app on table public.plinth_migrations",
    ),
    (
        "GRANT UPDATE (version) ON __diesel_schema_migrations TO plinth_app",
        "- grant to plinth_app on column public.__diesel_schema_migrations.version",
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'cards_pkey'::regclass",
        "~ constraint cards_pkey on public.cards\n    validated: no -> yes",
    ),
];

#[tokio::test]
async fn what_was_done_by_hand_is_named() {
    named(&BY_HAND).await;
}

#[tokio::test]
async fn what_was_hidden_is_named() {
    named(&HIDDEN).await;
}

async fn named(edits: &[(&str, &str)]) {
    for (sql, named) in edits {
        let database = TestDatabase::new().await;
        let ops = Ops::on(&database);
        database.superuser().await.batch_execute(sql).await.unwrap();
        let ran = ops.expect(3, &["migrate", "drift"]);
        assert!(ran.stdout.contains(named), "{sql}:\n{}", ran.stdout);
        assert!(
            ran.stderr.contains("the schema has drifted: "),
            "{sql}:\n{}\n{}",
            ran.stdout,
            ran.stderr
        );
        ops.expect(3, &["migrate", "drift", "--fingerprint"]);
    }
}

#[tokio::test]
async fn as_the_migrations_made_it() {
    let database = TestDatabase::new().await;
    let (ops, client) = (Ops::on(&database), database.superuser().await);
    // What whoever runs the server, and maintenance, may add.
    client
        .batch_execute(
            "CREATE EXTENSION IF NOT EXISTS pg_trgm;
             CREATE TABLE activity_stream_2026_01 PARTITION OF activity_stream
                 FOR VALUES FROM ('00000000-0000-0000-0000-000000000000') TO ('01900000-0000-0000-0000-000000000000');
             ALTER TABLE activity_stream_2026_01 ENABLE ROW LEVEL SECURITY;
             ALTER TABLE activity_stream_2026_01 FORCE ROW LEVEL SECURITY;",
        )
        .await
        .unwrap();
    let drift = ops.expect(0, &["migrate", "drift", "--json"]).json();
    assert_eq!(drift["drifted"], false);
    assert_eq!(drift["compared_with"], "scratch");
    assert_eq!(drift["added"], serde_json::json!([]));
    let ran = ops.expect(0, &["migrate", "drift", "--fingerprint"]);
    assert!(ran.stdout.contains("fingerprint"), "{}", ran.stdout);
    // A partition that leads around the policies of its parent is none of maintenance's.
    client
        .batch_execute("GRANT SELECT ON activity_stream_2026_01 TO plinth_app")
        .await
        .unwrap();
    let ran = ops.expect(3, &["migrate", "drift"]);
    assert!(
        ran.stdout.contains("- table public.activity_stream_2026_01"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn up_to_the_version_that_the_database_has() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    let ran = ops.expect(0, &["migrate", "drift"]);
    assert!(ran.stdout.contains("no migration at all"), "{}", ran.stdout);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(0, &["migrate", "revert", "2", "--yes"]);
    let drift = ops.expect(0, &["migrate", "drift", "--json"]).json();
    let last = &MIGRATIONS[MIGRATIONS.len() - 3].version;
    assert_eq!(drift["up_to"], last.as_ref());
    ops.expect(0, &["migrate", "drift", "--fingerprint"]);
    let client = database.superuser().await;
    client
        .batch_execute(&format!(
            "UPDATE plinth_migrations SET checksum = 'x' WHERE version = '{last}'"
        ))
        .await
        .unwrap();
    ops.expect(4, &["migrate", "drift"]);
}

#[tokio::test]
async fn a_run_does_not_pass_drift_for_what_it_made() {
    let database = TestDatabase::empty().await;
    let ops = Ops::on(&database);
    ops.expect(0, &["migrate", "run"]);
    ops.expect(0, &["migrate", "revert"]);
    let client = database.superuser().await;
    client.batch_execute("DROP INDEX cards_board_idx").await.unwrap();
    ops.expect(0, &["migrate", "run"]);
    ops.expect(3, &["migrate", "drift", "--fingerprint"]);
    client
        .batch_execute("CREATE INDEX cards_board_idx ON cards (domain_id, board_id, id)")
        .await
        .unwrap();
    // Mended; only a comparison in full can know.
    ops.expect(3, &["migrate", "drift", "--fingerprint"]);
    ops.expect(0, &["migrate", "drift"]);
    ops.expect(0, &["migrate", "drift", "--fingerprint"]);
}

#[tokio::test]
async fn where_no_database_may_be_made() {
    let database = TestDatabase::new().await;
    let client = database.superuser().await;
    let (name, login) = (database.name(), format!("owner_{}", database.name()));
    client
        .batch_execute(&format!(
            "CREATE ROLE {login} LOGIN; ALTER DATABASE {name} OWNER TO {login}; GRANT plinth TO {login}"
        ))
        .await
        .unwrap();
    let ops = Ops::new().with("DATABASE_URL", &database.url(&login));
    // To whom the database belongs is part of what the fingerprint is of: it is another now.
    let before = ops.run(&["migrate", "drift", "--json"]);
    client
        .batch_execute(&format!("ALTER DATABASE {name} OWNER TO CURRENT_USER"))
        .await
        .unwrap();
    let clean = ops.run(&["migrate", "drift", "--json"]);
    client
        .batch_execute(
            "UPDATE plinth_migrations SET schema_fingerprint = replace(schema_fingerprint, '2:', '2:9')",
        )
        .await
        .unwrap();
    let unknown = ops.run(&["migrate", "drift"]);
    client
        .batch_execute(&format!("DROP OWNED BY {login}; DROP ROLE {login}"))
        .await
        .unwrap();
    assert_eq!(before.code, Some(3), "{}", before.stderr);
    assert_eq!(clean.code, Some(0), "{}", clean.stderr);
    assert_eq!(clean.json()["compared_with"], "fingerprint");
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    assert!(
        unknown.stderr.contains("the fingerprint is from PostgreSQL 9"),
        "{}",
        unknown.stderr
    );
}
