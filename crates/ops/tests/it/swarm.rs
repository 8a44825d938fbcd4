//! Many processes at once, again and again, killed at random moments, with an index build and a backfill on the way.
//!
//! `PLINTH_TEST_SWARM=50x20` is 50 processes in 20 rounds (`make migrate-swarm`).

use std::process::Child;
use std::time::Duration;

use test_support::{Ran, TestDatabase};

use crate::folders::Folder;
use crate::support::Ops;

/// Each statement that is not made for repetition leaves a row in `effects`, of which there must be one.
fn folder() -> Folder {
    Folder::new()
        .with(
            "2026-01-01-000000_tables",
            "CREATE TABLE effects (what text);
             CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, changed int NOT NULL DEFAULT 0);
             -- So that an index build is long enough to be hit.
             CREATE FUNCTION slowly(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
                 BEGIN FOR i IN 1..100 LOOP t := md5(t); END LOOP; RETURN t; END $$;
             INSERT INTO items SELECT n, md5(n::text) FROM generate_series(1, 30000) n;
             INSERT INTO effects VALUES ('tables');",
            "DROP TABLE items, effects; DROP FUNCTION slowly;",
        )
        .with_stepwise(
            "2026-01-02-000000_indexes",
            "INSERT INTO effects VALUES ('before indexes');
             CREATE INDEX CONCURRENTLY items_slowly_idx ON items (slowly(name));
             ALTER TABLE items ADD COLUMN key text;
             CREATE UNIQUE INDEX CONCURRENTLY items_name_idx ON items (lower(name)) WHERE name <> '';
             INSERT INTO effects VALUES ('after indexes');",
            "DROP INDEX CONCURRENTLY IF EXISTS items_slowly_idx; DROP INDEX CONCURRENTLY IF EXISTS items_name_idx;
             ALTER TABLE IF EXISTS items DROP COLUMN IF EXISTS key;",
        )
        .with_stepwise(
            "2026-01-03-000000_backfill",
            "DO $$
             DECLARE last int := 0;
             BEGIN
                 LOOP
                     WITH due AS (SELECT id FROM items WHERE id > last AND key IS NULL ORDER BY id LIMIT 1000),
                         done AS (UPDATE items i SET key = upper(name), changed = changed + 1 FROM due WHERE i.id = due.id RETURNING i.id)
                     SELECT max(id) INTO last FROM done;
                     EXIT WHEN last IS NULL;
                     COMMIT;
                 END LOOP;
             END $$;
             INSERT INTO effects VALUES ('backfill');",
            "",
        )
        .with(
            "2026-01-04-000000_constraint",
            "ALTER TABLE items ADD CONSTRAINT items_key_check CHECK (key IS NOT NULL) NOT VALID;
             ALTER TABLE items VALIDATE CONSTRAINT items_key_check;
             INSERT INTO effects VALUES ('constraint');",
            "ALTER TABLE items DROP CONSTRAINT items_key_check;",
        )
}

#[expect(clippy::disallowed_methods, reason = "how large the test is to be")]
fn size() -> (usize, usize) {
    let size = std::env::var("PLINTH_TEST_SWARM").unwrap_or_else(|_| "20x3".to_owned());
    let (processes, rounds) = size.split_once('x').unwrap();
    (processes.parse().unwrap(), rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_with_random_kills_needs_no_hand() {
    let (processes, rounds) = size();
    let folder = folder();
    let (mut kills, mut under_way, mut by_others, mut rebuilt) = (0, 0, 0, 0);
    for round in 0..rounds {
        let database = TestDatabase::empty().await;
        // So many at once on a small machine: whether each connects within seconds is not what this is about.
        let ops = Ops::on(&database).with("PLINTH_DATABASE_CONNECT_TIMEOUT", "60s");
        let watcher = database.superuser().await;
        let mut children: Vec<Child> = (0..processes)
            .map(|_| ops.spawn(&folder.arguments(&["run"])))
            .collect();
        let (mut survivors, mut killed): (Vec<Ran>, Vec<Ran>) = (Vec::new(), Vec::new());
        // Seven of ten are killed, over about the time that the migrations take; some of those have gone home before.
        while children.len() > processes * 3 / 10 {
            let [pause, which] = db_core::random_bytes::<2>();
            tokio::time::sleep(Duration::from_millis(u64::from(pause) / 2)).await;
            let mut child = children.remove(usize::from(which) % children.len());
            let at_work = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            let ran = Ran::from(child.wait_with_output().unwrap());
            if ran.code.is_some() {
                survivors.push(ran);
                continue;
            }
            assert!(at_work);
            killed.push(ran);
            under_way += usize::from(is_half_done(&watcher).await);
        }
        survivors.extend(
            children
                .into_iter()
                .map(|child| Ran::from(child.wait_with_output().unwrap())),
        );
        for ran in &survivors {
            assert_eq!(ran.code, Some(0), "round {round}: {}\n{}", ran.stdout, ran.stderr);
        }
        check(&watcher, round).await;
        folder.expect(&ops, 0, &["show"]);
        let applied: Vec<&str> = survivors
            .iter()
            .flat_map(|ran| ran.stdout.lines())
            .filter_map(|line| line.strip_prefix("applied ")?.split(' ').next())
            .collect();
        for one in &applied {
            assert_eq!(
                applied.iter().filter(|other| *other == one).count(),
                1,
                "round {round}: {applied:?}"
            );
        }
        // What no survivor has done, one that was killed after it has.
        by_others += 4 - applied.len();
        kills += killed.len();
        rebuilt += survivors
            .iter()
            .chain(&killed)
            .filter(|ran| ran.stderr.contains("dropping what a broken-off"))
            .count();
    }
    println!(
        "{rounds} rounds of {processes} processes: {kills} killed, {under_way} of them while a migration was half done; \
         {by_others} of {} migrations were done by one killed later; {rebuilt} invalid indexes were dropped and rebuilt",
        rounds * 4
    );
}

/// Whether a migration without a transaction is under way.
async fn is_half_done(client: &tokio_postgres::Client) -> bool {
    // The table may not be there yet.
    let sql = "SELECT count(*) > 0 FROM plinth_migration_statements";
    client.query_one(sql, &[]).await.is_ok_and(|row| row.get(0))
}

async fn check(client: &tokio_postgres::Client, round: usize) {
    for (what, sql) in [
        (
            "each version once",
            "SELECT count(*) = 4 AND count(DISTINCT version) = 4 FROM __diesel_schema_migrations JOIN plinth_migrations USING (version)",
        ),
        (
            "each statement once",
            "SELECT count(*) = 5 AND count(DISTINCT what) = 5 FROM effects",
        ),
        (
            "each row once",
            "SELECT count(*) = 30000 AND bool_and(changed = 1 AND key = upper(name)) FROM items",
        ),
        (
            "both indexes",
            "SELECT count(*) = 2 FROM pg_index WHERE indexrelid IN ('items_slowly_idx'::regclass, 'items_name_idx'::regclass)",
        ),
        (
            "no invalid index",
            "SELECT count(*) = 0 FROM pg_index WHERE NOT indisvalid",
        ),
        (
            "the constraint is valid",
            "SELECT convalidated FROM pg_constraint WHERE conname = 'items_key_check'",
        ),
        (
            "nothing under way",
            "SELECT count(*) = 0 FROM plinth_migration_statements",
        ),
    ] {
        let row = client.query_one(sql, &[]).await.unwrap();
        assert!(row.get::<_, bool>(0), "round {round}: {what}");
    }
}
