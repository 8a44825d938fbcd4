//! Everything under a new key, while others read and write; and the list of what is encrypted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use db_core::secrets::encrypted::{ENCRYPTED, EncryptedColumn, Sample, decrypt_sample};
use db_core::secrets::keyring::{Keyring, PGP_OPTIONS, Place};
use db_core::secrets::keys::{KeysError, key_retire, keys_list};
use db_core::secrets::rotation::keys_rotate;
use db_core::{Clock, DomainId};
use secrecy::{ExposeSecret as _, SecretString};
use test_support::{ACME, GLOBEX, KEY, TestDatabase, World};
use tokio_postgres::Client;
use uuid::Uuid;

const NEW: &str = "new:another-key-0123456789abcdef0123456789abcdef";

/// A column that no release has.
const NOTES: EncryptedColumn = EncryptedColumn::tenant("notes", "secret", "secret_key_id", "'notes.secret'");
const ROWS: usize = 6000;

fn ring(keys: &str) -> Keyring {
    Keyring::parse(&SecretString::from(keys)).unwrap()
}

/// What makes a `bytea` an encrypted column is that its comment says so; a key's id is known by its name.
#[tokio::test]
async fn the_list_is_what_the_database_has() {
    let db = TestDatabase::new().await;
    let client = db.superuser().await;
    let rows = client
        .query(
            "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) = 'bytea',
                    coalesce(col_description(c.oid, a.attnum), '')
               FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.atttypid = 'bytea'::regtype OR (a.atttypid = 'text'::regtype AND a.attname ~ '(^|_)key_id$'))",
            &[],
        )
        .await
        .unwrap();
    let (mut ciphertexts, mut key_ids) = (Vec::new(), Vec::new());
    for row in rows {
        let (table, column, comment): (String, String, String) = (row.get(0), row.get(1), row.get(3));
        if !row.get::<_, bool>(2) {
            key_ids.push((table, column));
        } else if comment.contains("PGP_SYM_ENCRYPT") {
            ciphertexts.push((table, column));
        } else {
            assert!(
                comment.contains("SHA-256"),
                "{table}.{column} holds bytes: say in its comment that they are PGP_SYM_ENCRYPT, and list it in ENCRYPTED, or \
                 which SHA-256 they are; it says {comment:?}"
            );
        }
    }
    let mut listed: Vec<_> = ENCRYPTED
        .iter()
        .map(|one| (one.table.to_owned(), one.column.to_owned()))
        .collect();
    listed.sort();
    ciphertexts.sort();
    assert_eq!(listed, ciphertexts, "ENCRYPTED, and what the comments say");
    let mut listed: Vec<_> = ENCRYPTED
        .iter()
        .map(|one| (one.table.to_owned(), one.key_id.to_owned()))
        .collect();
    listed.sort();
    listed.dedup();
    key_ids.sort();
    assert_eq!(listed, key_ids, "ENCRYPTED, and the columns named key_id");
    for column in ENCRYPTED {
        let key: Vec<String> = client
            .query_one(
                "SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, NULL) ORDER BY k.n)
                   FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, n), pg_attribute a
                  WHERE i.indrelid = to_regclass($1) AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum",
                &[&column.table],
            )
            .await
            .unwrap()
            .get(0);
        let listed: Vec<String> = column
            .primary_key
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        assert_eq!(listed, key, "primary key of {}", column.table);
    }
}

/// A row's value: its number, and how often it was written.
fn value(number: usize, edition: u64) -> String {
    format!("secret {number} edition {edition}")
}

#[derive(Clone, Copy)]
struct Row {
    domain: Uuid,
    id: Uuid,
}

impl Row {
    fn place(&self) -> Place<'static> {
        Place {
            label: "notes.secret",
            domain: DomainId::new(self.domain),
            row: self.id,
        }
    }
}

/// Six thousand rows of two domains under the old key.
async fn notes(client: &Client, domains: [Uuid; 2], keyring: &Keyring) -> Vec<Row> {
    client
        .batch_execute(
            "CREATE TABLE notes (domain_id uuid NOT NULL, id uuid NOT NULL, secret_key_id text, secret bytea, PRIMARY KEY (domain_id, id));
             ALTER TABLE notes ENABLE ROW LEVEL SECURITY; ALTER TABLE notes FORCE ROW LEVEL SECURITY;
             CREATE POLICY system ON notes TO plinth_system USING (true) WITH CHECK (true);
             GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO plinth_system",
        )
        .await
        .unwrap();
    let rows: Vec<Row> = (0..ROWS)
        .map(|number| Row {
            domain: domains[number % 2],
            id: Clock::System.uuid(),
        })
        .collect();
    let (ids, of): (Vec<Uuid>, Vec<Uuid>) = rows.iter().map(|row| (row.id, row.domain)).unzip();
    let keys: Vec<String> = rows
        .iter()
        .map(|row| key(keyring, keyring.newest_id(), *row))
        .collect();
    let values: Vec<String> = (0..ROWS).map(|number| value(number, 0)).collect();
    client
        .execute(
            "INSERT INTO notes SELECT d, i, $5, pgp_sym_encrypt(v, k, $6) FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) t(d, i, v, k)",
            &[&of, &ids, &values, &keys, &keyring.newest_id(), &PGP_OPTIONS],
        )
        .await
        .unwrap();
    // A row without a secret is none that has to be rotated.
    client
        .execute(
            "INSERT INTO notes (domain_id, id) VALUES ($1, $2)",
            &[&domains[0], &Clock::System.uuid()],
        )
        .await
        .unwrap();
    rows
}

fn key(keyring: &Keyring, id: &str, row: Row) -> String {
    keyring
        .derive(id, row.place())
        .unwrap()
        .expose_secret()
        .to_owned()
}

/// As a handler reads it: the key that the row names, whichever that is by now.
async fn read(client: &Client, keyring: &Keyring, row: Row) -> String {
    let stored = client
        .query_one(
            "SELECT secret_key_id, secret FROM notes WHERE domain_id = $1 AND id = $2",
            &[&row.domain, &row.id],
        )
        .await
        .unwrap();
    let (key_id, secret): (String, Vec<u8>) = (stored.get(0), stored.get(1));
    client
        .query_one(
            "SELECT pgp_sym_decrypt($1, $2)",
            &[&secret, &key(keyring, &key_id, row)],
        )
        .await
        .unwrap()
        .get(0)
}

fn below(bound: usize) -> usize {
    usize::try_from(u64::from_le_bytes(db_core::random_bytes::<8>()) % bound as u64).unwrap()
}

/// Readers read, writers write under either key as replicas of a rolling restart do, somebody holds rows, and two rotations
/// run at once: no read fails, no write is lost, and in the end all is under the new key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_table_is_rotated_under_load() {
    let db = TestDatabase::new().await;
    let world = World::new(db.superuser().await);
    let domains = [world.domain(ACME).await, world.domain(GLOBEX).await];
    let both = ring(&format!("{NEW},{KEY}"));
    let old = ring(KEY).newest_id().to_owned();
    let rows = Arc::new(notes(world.client(), domains, &ring(KEY)).await);
    let editions: Arc<Vec<AtomicU64>> = Arc::new((0..ROWS).map(|_| AtomicU64::new(0)).collect());
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let (client, rows, both, stop, reads) = (
            db.superuser().await,
            Arc::clone(&rows),
            both.clone(),
            Arc::clone(&stop),
            Arc::clone(&reads),
        );
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let number = below(ROWS);
                let found = read(&client, &both, rows[number]).await;
                assert!(
                    found.starts_with(&format!("secret {number} ")),
                    "{number}: {found}"
                );
                reads.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for writer in 0..2 {
        let (client, rows, both, stop, editions) = (
            db.superuser().await,
            Arc::clone(&rows),
            both.clone(),
            Arc::clone(&stop),
            Arc::clone(&editions),
        );
        let old = old.clone();
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                // Each has rows of its own, several in a transaction and in any order.
                client.batch_execute("BEGIN").await.unwrap();
                for _ in 0..5 {
                    let number = below(ROWS / 2) * 2 + writer;
                    let edition = editions[number].fetch_add(1, Ordering::Relaxed) + 1;
                    let id = if edition % 3 == 0 { &old } else { "new" };
                    let row = rows[number];
                    client
                        .execute(
                            "UPDATE notes SET secret = pgp_sym_encrypt($3, $4, $5), secret_key_id = $6 WHERE domain_id = $1 AND id = $2",
                            &[&row.domain, &row.id, &value(number, edition), &key(&both, id, row), &PGP_OPTIONS, &id],
                        )
                        .await
                        .unwrap();
                }
                client.batch_execute("COMMIT").await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }
    let holder = db.superuser().await;
    holder
        .batch_execute("BEGIN; SELECT FROM notes ORDER BY id LIMIT 50 FOR UPDATE")
        .await
        .unwrap();
    let columns = [NOTES];
    let rotations: Vec<_> = (0..2)
        .map(|_| {
            let (owner, both) = (db.owner(), both.clone());
            tokio::spawn(async move {
                keys_rotate(&owner, &both, &Clock::System, &columns, |_| {})
                    .await
                    .unwrap()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        !rotations.iter().all(tokio::task::JoinHandle::is_finished),
        "rows are held"
    );
    holder.batch_execute("COMMIT").await.unwrap();
    let mut rotated = 0;
    for rotation in rotations {
        rotated += rotation.await.unwrap().values;
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(reads.load(Ordering::Relaxed) > 50, "{reads:?} reads");
    assert!(rotated > ROWS as u64 / 2, "{rotated}");
    // What the last writers wrote under the old key.
    keys_rotate(&db.owner(), &both, &Clock::System, &columns, |_| {})
        .await
        .unwrap();
    let left: i64 = world
        .client()
        .query_one("SELECT count(*) FROM notes WHERE secret_key_id <> 'new'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
    let new = ring(NEW);
    for (number, row) in rows.iter().enumerate() {
        let edition = editions[number].load(Ordering::Relaxed);
        assert_eq!(read(world.client(), &new, *row).await, value(number, edition));
    }
    let sample = decrypt_sample(world.client(), &new, &columns, 1_000_000)
        .await
        .unwrap();
    assert_eq!(
        sample,
        Sample {
            values: ROWS as u64,
            problems: vec![]
        }
    );
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_named_and_nothing_is_retired_too_early() {
    let db = TestDatabase::new().await;
    let world = World::new(db.superuser().await);
    let domains = [world.domain(ACME).await, world.domain(GLOBEX).await];
    let both = ring(&format!("{NEW},{KEY}"));
    let old = ring(KEY).newest_id().to_owned();
    let rows = notes(world.client(), domains, &ring(KEY)).await;
    // Copied from another row; and under a key that nobody has.
    for (sql, row) in [
        (
            "UPDATE notes SET secret = (SELECT secret FROM notes WHERE id = $2) WHERE id = $1",
            rows[7],
        ),
        (
            "UPDATE notes SET secret_key_id = 'lost' WHERE id = $1 AND id <> $2",
            rows[8],
        ),
    ] {
        world
            .client()
            .execute(sql, &[&row.id, &rows[9].id])
            .await
            .unwrap();
    }
    let columns = [NOTES];
    let error = keys_rotate(&db.owner(), &both, &Clock::System, &columns, |_| {})
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(
        matches!(error, KeysError::NotAll { rotated, .. } if rotated == ROWS as u64 - 2),
        "{said}"
    );
    assert!(
        said.contains(&rows[7].id.to_string()) && said.contains("Wrong key"),
        "{said}"
    );
    assert!(
        said.contains("notes.secret: 1 values under the key lost"),
        "{said}"
    );
    let sample = decrypt_sample(world.client(), &both, &columns, 1_000_000)
        .await
        .unwrap();
    assert_eq!(
        (sample.values, sample.problems.len()),
        (ROWS as u64 - 2, 2),
        "{sample:?}"
    );

    let retire =
        async |key: &'static str| key_retire(&db.owner(), &both, &Clock::System, &columns, key).await;
    let needed = key_retire(&db.owner(), &both, &Clock::System, &columns, &old)
        .await
        .unwrap_err();
    assert!(
        needed.to_string().contains("notes.secret (1 values under"),
        "{needed}"
    );
    assert!(matches!(retire("new").await, Err(KeysError::Newest(_))));
    assert!(matches!(retire("nobody").await, Err(KeysError::Unknown { .. })));
    world
        .client()
        .execute("DELETE FROM notes WHERE id = $1", &[&rows[7].id])
        .await
        .unwrap();
    // Of a column that is not asked about it would not know: all of them are, where it counts.
    let elsewhere = key_retire(&db.owner(), &both, &Clock::System, ENCRYPTED, &old)
        .await
        .unwrap_err();
    assert!(
        elsewhere.to_string().contains("installation_secrets.ciphertext"),
        "{elsewhere}"
    );
    let (id, remembered) = key_retire(&db.owner(), &both, &Clock::System, &columns, &old)
        .await
        .unwrap();
    assert_eq!((id, remembered), (old.clone(), true));
    let listed = keys_list(&db.owner(), &both).await.unwrap();
    let remembered: Vec<_> = listed
        .iter()
        .filter(|key| key.remembered)
        .map(|key| key.id.as_str())
        .collect();
    assert_eq!(remembered, ["new"]);
}
