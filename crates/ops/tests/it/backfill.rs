//! The form of a backfill that docs/MIGRATIONS.md gives: batches, as the role that sees every row, resumed after a kill.

use test_support::TestDatabase;

use crate::folders::Folder;
use crate::support::{Ops, kill_9, url, wait_until};

const ROWS: i64 = 100_000;

const TABLE: &str = "
CREATE TABLE notes (
    domain_id uuid NOT NULL, id bigint NOT NULL, name text NOT NULL, changed integer NOT NULL DEFAULT 0, PRIMARY KEY (domain_id, id));
INSERT INTO notes SELECT gen_random_uuid(), n, 'Note ' || n FROM generate_series(1, 100000) n;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON notes TO plinth_system USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON notes TO plinth_system;";

/// As in docs/MIGRATIONS.md, but for `changed`, which counts, and the pause, which makes the middle long enough to be hit.
const BACKFILL: &str = "
ALTER TABLE notes ADD COLUMN name_key text;
DO $$
DECLARE
    last_domain uuid := '00000000-0000-0000-0000-000000000000';
    last_id bigint := 0;
    batch record;
BEGIN
    LOOP
        -- Both end with each COMMIT.
        SET LOCAL ROLE plinth_system;
        SET LOCAL row_security = on;
        SET LOCAL lock_timeout = '10s';
        WITH due AS (
            SELECT domain_id, id FROM notes
             WHERE (domain_id, id) > (last_domain, last_id) AND name_key IS NULL
             ORDER BY domain_id, id LIMIT 1000
        ), done AS (
            UPDATE notes n SET name_key = lower(n.name), changed = changed + 1
              FROM due WHERE n.domain_id = due.domain_id AND n.id = due.id
            RETURNING n.domain_id, n.id
        )
        SELECT domain_id, id INTO batch FROM done ORDER BY domain_id DESC, id DESC LIMIT 1;
        EXIT WHEN NOT FOUND;
        last_domain := batch.domain_id;
        last_id := batch.id;
        PERFORM pg_sleep(0.02);
        COMMIT;
    END LOOP;
END $$;";

#[tokio::test]
async fn a_hundred_thousand_rows_killed_in_the_middle() {
    let database = TestDatabase::empty().await;
    let client = database.superuser().await;
    // A plain owner, whom FORCE holds: a superuser would see every row anyway.
    let login = format!("{}_owner", database.name());
    client
        .batch_execute(&format!(
            "CREATE EXTENSION pgcrypto; CREATE EXTENSION \"uuid-ossp\";
             CREATE ROLE {login} LOGIN; GRANT plinth_system TO {login};
             ALTER DATABASE {} OWNER TO {login}; ALTER SCHEMA public OWNER TO {login}",
            database.name()
        ))
        .await
        .unwrap();
    let ops = Ops::new().with("DATABASE_URL", &url(&database, &login));
    let folder = Folder::new()
        .with("2026-01-01-000000_notes", TABLE, "DROP TABLE notes;")
        .with_stepwise(
            "2026-01-02-000000_name_key",
            BACKFILL,
            "ALTER TABLE IF EXISTS notes DROP COLUMN IF EXISTS name_key;",
        );
    let victim = ops.spawn(&folder.arguments(&["run"]));
    // The table and its column come while one waits for them.
    for sql in [
        "SELECT to_regclass('notes') IS NOT NULL",
        "SELECT count(*) > 0 FROM pg_attribute WHERE attname = 'name_key'",
    ] {
        wait_until(&client, sql).await;
    }
    wait_until(
        &client,
        "SELECT count(*) >= 10000 FROM notes WHERE name_key IS NOT NULL",
    )
    .await;
    kill_9(victim);
    wait_until(
        &client,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plinth-ops'",
    )
    .await;
    let done = "SELECT count(*) FROM notes WHERE name_key IS NOT NULL";
    let half: i64 = client.query_one(done, &[]).await.unwrap().get(0);
    assert!((10_000..ROWS).contains(&half), "{half} were done");
    folder.expect(&ops, 2, &["show"]);

    folder.expect(&ops, 0, &["run"]);
    let row = client
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE name_key = lower(name) AND changed = 1) FROM notes",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (ROWS, ROWS));
    folder.expect(&ops, 0, &["show"]);

    client
        .batch_execute(&format!(
            "ALTER DATABASE {} OWNER TO plinth; REASSIGN OWNED BY {login} TO plinth; DROP OWNED BY {login}; DROP ROLE {login}",
            database.name()
        ))
        .await
        .unwrap();
}
