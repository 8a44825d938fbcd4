//! `plinth-ops domain export` and `restore`: a domain comes back as it was, and no other one notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use test_support::{ACME, GLOBEX, TestDatabase, World};
use uuid::Uuid;

use crate::backup::{Place, cards};
use crate::backup_owner::{clean, owned};
use crate::setup::signs_in;
use crate::support::Ops;

/// A database with two domains that have rows in every table that a domain may have rows in.
pub struct Two {
    pub database: TestDatabase,
    pub world: World,
    pub ops: Ops,
    pub acme: Uuid,
    pub globex: Uuid,
}

impl Two {
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        // Makes the secrets that the installation has of its own, which are compared later.
        drop(database.db().await);
        let world = World::new(database.superuser().await);
        let ops = Ops::on(&database);
        let (acme, globex) = (world.domain(ACME).await, world.domain(GLOBEX).await);
        for slug in [ACME, GLOBEX] {
            everything(&world, slug).await;
        }
        Self {
            database,
            world,
            ops,
            acme,
            globex,
        }
    }

    /// Exports a domain into the program's directory; the file's name.
    pub fn export(&self, slug: &str, file: &str) -> String {
        self.ops.expect(0, &["domain", "export", slug, "--to", file]);
        self.ops.directory.path().join(file).to_str().unwrap().to_owned()
    }

    /// All rows of a domain, but for its sessions.
    pub async fn rows(&self, domain: Uuid) -> String {
        rows(&self.world, domain).await
    }

    /// All rows of all others: other domains, and what is nobody's. The platform's notes of what was done are left out.
    pub async fn others(&self, domain: Uuid) -> String {
        others(&self.world, domain).await
    }
}

/// A row in every table that a domain may have rows in.
pub async fn everything(world: &World, slug: &str) {
    let domain = world.domain(slug).await;
    let ids = world.fixture(slug).await;
    let (user, card) = (ids["user_id"], ids["card_id"]);
    world
        .assign_custom(slug, user, &["card:read", "card:update"])
        .await;
    world.session(slug, user).await;
    cards(world, slug, 20).await;
    world
        .client()
        .batch_execute(&format!(
            "INSERT INTO domain_hosts (domain_id, host) VALUES ('{domain}', '{slug}.example.test');
             UPDATE cards SET assignee_id = '{user}', created_by = '{user}', description = E'tabs\\t, lines\\n and \\\\ it' WHERE id = '{card}';
             INSERT INTO activity_stream (domain_id, id, user_id, action, target_type, target_id, before, after)
             VALUES ('{domain}', '{}', '{user}', 'card.update', 'card', '{card}', '{{\"title\": \"a \\\"b\\\"\"}}',
                     '{{\"id\": \"{card}\", \"elsewhere\": \"{}\"}}');
             INSERT INTO queue_job_batches (domain_id, id, name, open_until, total) VALUES ('{domain}', '{}', 'Of a domain', now(), 1);
             INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total) SELECT domain_id, id, 1 FROM queue_job_batches WHERE domain_id = '{domain}';
             INSERT INTO queue_jobs (domain_id, id, queue, kind, state, max_attempts, run_at, batch_id, payload)
             SELECT domain_id, '{}', 'default', 'mail', 'scheduled', 3, now() + interval '1 year', id, '{{\"card\": \"{card}\"}}'
               FROM queue_job_batches WHERE domain_id = '{domain}' AND name = 'Of a domain';
             INSERT INTO queue_schedules (domain_id, name, queue, kind, max_attempts, payload, cron, time_zone, missed, paused_at)
             VALUES ('{domain}', 'nightly', 'default', 'mail', 3, '{{}}', '0 3 * * *', 'UTC', 'skip', now());",
            id(), id(), id(), id(),
        ))
        .await
        .unwrap();
    // Whoever adds a table adds a row of it here; those that hold nothing of a domain are told by their CHECK.
    for line in world.fingerprint(domain).await.lines() {
        let (table, hash) = line.split_once(' ').unwrap();
        assert_eq!(
            hash.starts_with("0:"),
            of_the_platform_alone(world, table).await,
            "{line}"
        );
    }
}

async fn of_the_platform_alone(world: &World, table: &str) -> bool {
    world
        .client()
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'
                               AND pg_get_constraintdef(oid) = 'CHECK ((domain_id = platform_domain_id()))')",
            &[&table],
        )
        .await
        .unwrap()
        .get(0)
}

fn id() -> Uuid {
    db_core::Clock::System.uuid()
}

/// All rows of a domain, but for its sessions; its own row too.
pub async fn rows(world: &World, domain: Uuid) -> String {
    let fingerprint = world.fingerprint(domain).await;
    let mut lines: Vec<String> = fingerprint
        .lines()
        .filter(|line| !line.starts_with("sessions "))
        .map(ToOwned::to_owned)
        .collect();
    assert!(lines.len() > 15, "{lines:?}");
    let own = world
        .client()
        .query_opt("SELECT d::text FROM domains d WHERE id = $1", &[&domain])
        .await
        .unwrap();
    lines.push(own.map_or_else(|| "no domain".to_owned(), |row| row.get(0)));
    lines.join("\n")
}

/// All rows of all tables that are not the domain's. The platform's notes of what was done are left out.
pub async fn others(world: &World, domain: Uuid) -> String {
    let client = world.client();
    let tables = client
        .query(
            "SELECT c.oid::regclass::text, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'domain_id')
               FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let mut lines = Vec::new();
    for row in tables {
        let (table, by_domain): (String, bool) = (row.get(0), row.get(1));
        let which = match (table.as_str(), by_domain) {
            ("domains", _) => "id <> $1",
            ("activity_stream", _) => {
                "domain_id <> $1 AND NOT (domain_id = platform_domain_id() AND action ~ '^domain.(restore|copy|erase)$')"
            }
            (_, true) => "domain_id <> $1",
            (_, false) => "$1::uuid IS NOT NULL",
        };
        let sql = format!(
            "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t WHERE {which}"
        );
        let row = client.query_one(&sql, &[&domain]).await.unwrap();
        lines.push(format!("{table} {}", row.get::<_, String>(0)));
    }
    assert!(lines.len() > 25, "{lines:?}");
    lines.join("\n")
}

#[tokio::test]
async fn exported_erased_and_restored_it_is_as_it_was() {
    let two = Two::new().await;
    let (rows, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    let key = two
        .world
        .api_key(ACME, two.world.first_user(ACME).await, None)
        .await;
    assert!(!key.is_empty());
    let with_key = two.rows(two.acme).await;
    assert_ne!(rows, with_key);
    let exported = two
        .ops
        .expect(0, &["domain", "export", ACME, "--to", "acme.tar", "--json"])
        .json();
    let exported = &exported["exported"];
    assert_eq!(exported["domain"]["id"], two.acme.to_string());
    assert_eq!(two.rows(two.acme).await, with_key, "an export changes nothing");
    let archive = two.ops.directory.path().join("acme.tar");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        std::fs::metadata(&archive).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Nobody's file is written over.
    two.ops.expect(3, &["domain", "export", ACME, "--to", "acme.tar"]);

    let erased = two
        .ops
        .expect(0, &["domain", "erase", ACME, "--yes", "--json"])
        .json();
    assert_eq!(erased["erased"]["proof"]["left"], serde_json::json!([]));
    assert_eq!(two.others(two.acme).await, others);

    let archive = archive.to_str().unwrap();
    let restored = two
        .ops
        .expect(0, &["domain", "restore", archive, "--json"])
        .json();
    assert_eq!(restored["restored"]["rows"], exported["rows"]);
    assert_eq!(restored["restored"]["replaced_rows"], serde_json::Value::Null);
    assert_eq!(two.rows(two.acme).await, with_key);
    assert_eq!(two.others(two.acme).await, others);
    let sessions: i64 = two
        .world
        .client()
        .query_one("SELECT count(*) FROM sessions WHERE domain_id = $1", &[&two.acme])
        .await
        .unwrap()
        .get(0);
    assert_eq!(sessions, 0, "sessions end");
    assert!(
        signs_in(
            &two.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );
    // A sequence that numbers rows goes on.
    two.world
        .client()
        .execute(
            "INSERT INTO queue_job_batch_deltas (domain_id, batch_id, total) SELECT domain_id, id, 1 FROM queue_job_batches",
            &[],
        )
        .await
        .unwrap();
    let noted: i64 = two
        .world
        .client()
        .query_one(
            "SELECT count(*) FROM activity_stream WHERE domain_id = platform_domain_id() AND target_id = $1 AND after ? 'by'
                AND (action, coalesce(after ->> 'state', '')) IN (('domain.erase', 'begun'), ('domain.erase', 'erased'), ('domain.restore', ''))",
            &[&two.acme],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(noted, 3, "who did it stands in the platform's stream");
}

#[tokio::test]
async fn what_is_there_is_replaced_only_when_told_and_as_a_whole() {
    let two = Two::new().await;
    let before = two.rows(two.acme).await;
    let archive = two.export(ACME, "acme.tar");
    let client = two.world.client();
    // A slug that moved: nothing is overwritten, and the domain goes by its id.
    cards(&two.world, ACME, 7).await;
    client
        .batch_execute(&format!(
            "DELETE FROM card_tags WHERE domain_id = '{0}'; UPDATE domains SET slug = 'acme2', name = 'Renamed' WHERE id = '{0}'",
            two.acme
        ))
        .await
        .unwrap();
    let (changed, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    two.ops.expect(3, &["domain", "restore", &archive]);
    let ran = two.ops.expect(64, &["domain", "restore", &archive, "--replace"]);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(two.rows(two.acme).await, changed);
    // While somebody reads it, one or the other is seen.
    let seen = Arc::new(AtomicBool::new(true));
    let reader = {
        let (seen, address, acme) = (Arc::clone(&seen), two.database.url("plinth"), two.acme);
        tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            let mut counts = std::collections::BTreeSet::new();
            while seen.load(Ordering::Relaxed) {
                let count: i64 = client
                    .query_one("SELECT count(*) FROM cards WHERE domain_id = $1", &[&acme])
                    .await
                    .unwrap()
                    .get(0);
                counts.insert(count);
            }
            counts
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut command = two
        .ops
        .command(&["domain", "restore", &archive, "--replace", "--yes"]);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    seen.store(false, Ordering::Relaxed);
    let counts = reader.await.unwrap();
    assert!(
        counts.contains(&29) && counts.iter().all(|count| [22, 29].contains(count)),
        "{counts:?}"
    );
    assert_eq!(two.rows(two.acme).await, before);
    assert_eq!(two.others(two.acme).await, others);

    // Its slug now leads to somebody else.
    client
        .batch_execute(&format!(
            "UPDATE domains SET slug = 'gone' WHERE id = '{}'; UPDATE domains SET slug = 'acme' WHERE id = '{}'",
            two.acme, two.globex
        ))
        .await
        .unwrap();
    let ran = two
        .ops
        .expect(3, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains(&two.globex.to_string()), "{}", ran.stderr);
    // And its host name.
    client
        .batch_execute(&format!(
            "UPDATE domains SET slug = 'globex' WHERE id = '{}'; DELETE FROM domain_hosts WHERE host = 'acme.example.test';
             INSERT INTO domain_hosts (domain_id, host) VALUES ('{0}', 'acme.example.test')",
            two.globex
        ))
        .await
        .unwrap();
    let before = two.rows(two.acme).await;
    let ran = two
        .ops
        .expect(3, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains("domain_hosts_host_key"), "{}", ran.stderr);
    assert_eq!(two.rows(two.acme).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_and_those_inside_go_on_writing_meanwhile() {
    let two = Two::new().await;
    cards(&two.world, ACME, 3000).await;
    let before = two.rows(two.acme).await;
    let archive = two.export(ACME, "acme.tar");
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for slug in [GLOBEX, GLOBEX, ACME] {
        let (board, column) = two.world.column(slug).await;
        let domain = two.world.domain(slug).await;
        let (stop, address) = (Arc::clone(&stop), two.database.url("plinth"));
        writers.push(tokio::spawn(async move {
            let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
                .await
                .unwrap();
            tokio::spawn(connection);
            let (mut done, mut failed) = (0_i64, 0);
            while !stop.load(Ordering::Relaxed) {
                let rank = done + failed;
                let insert = format!(
                    "INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title)
                     SELECT '{domain}', gen_random_uuid(), project_id, id, '{column}', {rank} + 1, 'b' || {rank} || 'x', 'Loaded'
                       FROM boards WHERE id = '{board}'"
                );
                match client.execute(&insert, &[]).await {
                    Ok(rows) => done += i64::try_from(rows).unwrap(),
                    Err(_) => failed += 1,
                }
                // Whoever is in the domain that goes finds no board any more.
                if done + failed == rank {
                    failed += 1;
                }
            }
            (column, done, failed)
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut command = two
        .ops
        .command(&["domain", "restore", &archive, "--replace", "--yes"]);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for (number, writer) in writers.into_iter().enumerate() {
        let (column, done, failed) = writer.await.unwrap();
        if number < 2 {
            assert_eq!(failed, 0, "nobody else was in the way");
            let there: i64 = two
                .world
                .client()
                .query_one("SELECT count(*) FROM cards WHERE column_id = $1", &[&column])
                .await
                .unwrap()
                .get(0);
            assert!(there == done && done > 0, "{there} of {done}");
        }
    }
    assert_eq!(two.rows(two.acme).await, before);
}

#[tokio::test]
async fn out_of_a_backup_of_everything() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    everything(&world, ACME).await;
    let acme = world.domain(ACME).await;
    let before = rows(&world, acme).await;
    let backup = place.back_up();
    world
        .client()
        .execute("DELETE FROM cards WHERE domain_id = $1", &[&acme])
        .await
        .unwrap();
    cards(&world, GLOBEX, 9).await;
    let untouched = others(&world, acme).await;
    place
        .ops
        .expect(10, &["domain", "export", "nobody", "--from-backup", "latest"]);
    let exported = place
        .ops
        .expect(
            0,
            &[
                "domain",
                "export",
                ACME,
                "--from-backup",
                &backup,
                "--to",
                "a.tar",
                "--json",
            ],
        )
        .json();
    assert_eq!(exported["exported"]["backup"], backup.as_str());
    place.ops.expect(
        0,
        &[
            "domain",
            "restore",
            ACME,
            "--from-backup",
            "latest",
            "--replace",
            "--yes",
        ],
    );
    assert_eq!(rows(&world, acme).await, before);
    assert_eq!(others(&world, acme).await, untouched);
}

#[tokio::test]
async fn a_table_that_nobody_knew_comes_along() {
    let two = Two::new().await;
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (domain_id uuid NOT NULL, id uuid NOT NULL, card_id uuid, parent_id uuid, seen uuid[], \"The note\" jsonb,
                 number bigint GENERATED ALWAYS AS IDENTITY, doubled bigint GENERATED ALWAYS AS (1 + 1) STORED, price numeric,
                 PRIMARY KEY (domain_id, id), FOREIGN KEY (domain_id, card_id) REFERENCES cards (domain_id, id) ON DELETE CASCADE,
                 FOREIGN KEY (domain_id, parent_id) REFERENCES {name} (domain_id, id));
             ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ALTER TABLE {name} FORCE ROW LEVEL SECURITY;
             CREATE POLICY system ON {name} TO plinth_system USING (true) WITH CHECK (true);
             GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO plinth_system;"
        )
    };
    let client = two.world.client();
    client.batch_execute(&table("odd_notes")).await.unwrap();
    for domain in [two.acme, two.globex] {
        client
            .batch_execute(&format!(
                "INSERT INTO odd_notes (domain_id, id, card_id, seen, \"The note\", price)
                 SELECT domain_id, gen_random_uuid(), id, ARRAY[id, NULL], jsonb_build_object('card', id), 1.10 FROM cards
                  WHERE domain_id = '{domain}';
                 UPDATE odd_notes n SET parent_id = (SELECT m.id FROM odd_notes m WHERE m.domain_id = n.domain_id AND m.number > n.number
                                                         ORDER BY m.number LIMIT 1)"
            ))
            .await
            .unwrap();
    }
    let (before, others) = (two.rows(two.acme).await, two.others(two.acme).await);
    assert!(before.contains("odd_notes"), "{before}");
    let archive = two.export(ACME, "acme.tar");
    two.ops.expect(0, &["domain", "copy", ACME, "--as", "twin"]);
    let twin = two.world.domain("twin").await;
    let notes = client
        .query_one(
            "SELECT count(*), count(DISTINCT n.parent_id), bool_and(n.seen[1] = n.card_id AND n.\"The note\" ->> 'card' = n.card_id::text)
               FROM odd_notes n JOIN cards c ON c.domain_id = n.domain_id AND c.id = n.card_id WHERE n.domain_id = $1",
            &[&twin],
        )
        .await
        .unwrap();
    assert_eq!(
        (
            notes.get::<_, i64>(0),
            notes.get::<_, i64>(1),
            notes.get::<_, bool>(2)
        ),
        (22, 21, true)
    );
    two.ops.expect(0, &["domain", "erase", "twin", "--yes"]);
    two.ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    two.ops.expect(0, &["domain", "restore", &archive]);
    assert_eq!(two.rows(two.acme).await, before);
    assert_eq!(two.others(two.acme).await, others);

    // An archive does not fit a schema that is another.
    client
        .batch_execute("ALTER TABLE odd_notes DROP COLUMN seen")
        .await
        .unwrap();
    let ran = two
        .ops
        .expect(4, &["domain", "restore", &archive, "--replace", "--yes"]);
    assert!(ran.stderr.contains("odd_notes"), "{}", ran.stderr);
    client.batch_execute("DROP TABLE odd_notes").await.unwrap();
    two.ops
        .expect(4, &["domain", "restore", &archive, "--replace", "--yes"]);
}

#[tokio::test]
async fn an_owner_whom_row_level_security_holds_does_the_same() {
    let (database, owner, ops) = owned().await;
    let world = World::new(database.superuser().await);
    for slug in [ACME, GLOBEX] {
        everything(&world, slug).await;
    }
    let acme = world.domain(ACME).await;
    let (before, untouched) = (rows(&world, acme).await, others(&world, acme).await);
    ops.expect(0, &["domain", "export", ACME, "--to", "acme.tar"]);
    let ran = ops
        .expect(0, &["domain", "copy", ACME, "--as", "twin", "--json"])
        .json();
    assert!(ran["copied"]["rows"].as_u64().unwrap() > 30, "{ran}");
    ops.expect(0, &["domain", "erase", "twin", "--yes"]);
    ops.expect(0, &["domain", "restore", "acme.tar", "--replace", "--yes"]);
    assert_eq!(rows(&world, acme).await, before);
    ops.expect(0, &["domain", "erase", ACME, "--yes"]);
    assert!(rows(&world, acme).await.ends_with("no domain"));
    ops.expect(0, &["domain", "restore", "acme.tar"]);
    assert_eq!(rows(&world, acme).await, before);
    assert_eq!(others(&world, acme).await, untouched);
    clean(&database, &owner, world.client()).await;
}

#[tokio::test]
async fn encrypted_for_recipients_it_is_opened_by_their_identity_alone() {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let two = Two::new().await;
    let sealed = Ops::on(&two.database).with("PLINTH_BACKUP_RECIPIENTS", &identity.to_public().to_string());
    let before = two.rows(two.acme).await;
    sealed.expect(0, &["domain", "export", ACME, "--to", "acme.tar"]);
    let archive = sealed.directory.path().join("acme.tar");
    let bytes = std::fs::read(&archive).unwrap();
    let archive = archive.to_str().unwrap();
    let email = b"operator@plinth.test";
    assert!(!bytes.windows(email.len()).any(|window| window == email));
    let restore = ["domain", "restore", archive, "--replace", "--yes"];
    two.ops.expect(78, &restore);
    two.world
        .client()
        .execute("DELETE FROM card_tags WHERE domain_id = $1", &[&two.acme])
        .await
        .unwrap();
    let file = two.ops.directory.path().join("identity");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    Ops::on(&two.database)
        .with("PLINTH_BACKUP_IDENTITY_FILE", file.to_str().unwrap())
        .expect(0, &restore);
    assert_eq!(two.rows(two.acme).await, before);
}
