//! `plinth-ops backup` and `plinth-ops restore` on real databases: what is backed up under load comes back as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use test_support::{ACME, TestDatabase, World};
use uuid::Uuid;

use crate::setup::signs_in;
use crate::support::Ops;

/// A program with a database and a directory for backups.
pub struct Place {
    pub database: TestDatabase,
    pub ops: Ops,
    pub store: tempfile::TempDir,
}

impl Place {
    /// With the template's rows and some cards.
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let world = World::new(database.superuser().await);
        cards(&world, ACME, 30).await;
        cards(&world, "globex", 5).await;
        let store = tempfile::tempdir().unwrap();
        let ops = Ops::on(&database).with("PLINTH_BACKUP_URL", store.path().to_str().unwrap());
        Self { database, ops, store }
    }

    /// Makes a backup without a drill; its name.
    pub fn back_up(&self) -> String {
        let made = self
            .ops
            .expect(0, &["backup", "create", "--no-drill", "--json"])
            .json();
        made["backup"]["backup"].as_str().unwrap().to_owned()
    }

    /// The files of a backup, the manifest last.
    pub fn files(&self, backup: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.store.path().join(backup))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }

    pub fn manifest(&self, backup: &str) -> PathBuf {
        self.store.path().join(backup).join("manifest.json")
    }

    /// Lets the database forget what it made, as one that was restored from an earlier backup has.
    pub async fn forget(&self) {
        let client = self.database.superuser().await;
        client.batch_execute("DELETE FROM backup_runs").await.unwrap();
    }

    /// What `backup list` says of one.
    pub fn listed(&self, backup: &str) -> Value {
        let listed = self.ops.expect(0, &["backup", "list", "--json"]).json();
        let listed = listed["backups"].as_array().unwrap();
        listed.iter().find(|one| one["backup"] == backup).unwrap().clone()
    }

    /// A client of another database of the server, as the superuser.
    pub async fn other(&self, database: &str) -> tokio_postgres::Client {
        let address = self.database.address();
        let text = format!(
            "host={} port={} dbname={database} user={}",
            address.host, address.port, address.user
        );
        let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Cards in a new column.
pub async fn cards(world: &World, slug: &str, count: i32) -> Uuid {
    let domain = world.domain(slug).await;
    let (board, column) = world.column(slug).await;
    world
        .client()
        .execute(
            "INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title)
             SELECT $1, gen_random_uuid(), b.project_id, b.id, $3, n, 'a' || n, 'Original ' || lpad(n::text, 6, '0')
               FROM boards b, generate_series(1, $4) n WHERE b.id = $2",
            &[&domain, &board, &column, &count],
        )
        .await
        .unwrap();
    column
}

/// Changes a manifest and seals it again, as somebody does who has the key.
pub fn reseal(path: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    reseal_with(path, Some(test_support::KEY), change);
}

/// The same without the key, or with another. Written after the document, not with the program's own code: HMAC-SHA-256 over
/// parts that each have their length before them, and a checksum of the text with zeros in its place.
pub fn reseal_with(path: &Path, key: Option<&str>, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    use sha2::{Digest as _, Sha256};
    let text = std::fs::read_to_string(path).unwrap();
    let Value::Object(mut sealed) = serde_json::from_str(&text).unwrap() else {
        panic!("no object")
    };
    for field in ["signed_with", "hmac_sha256", "sha256"] {
        sealed.remove(field);
    }
    change(&mut sealed);
    let mut body = serde_json::to_string_pretty(&sealed).unwrap();
    body.truncate(body.len() - 2);
    if let Some(key) = key {
        let purpose = format!("backup {}", path.file_name().unwrap().to_str().unwrap());
        let derived = hmac(key.as_bytes(), &[b"plinth signature", purpose.as_bytes()]);
        let signature = hex::encode(hmac(&derived, &[body.as_bytes()]));
        let signed_with = &hex::encode(hmac(key.as_bytes(), &[b"plinth fingerprint"]))[..32];
        body.push_str(&format!(
            ",\n  \"signed_with\": \"{signed_with}\",\n  \"hmac_sha256\": \"{signature}\""
        ));
    }
    let with = |digest: &str| format!("{body},\n  \"sha256\": \"{digest}\"\n}}\n");
    let digest = hex::encode(Sha256::digest(with(&"0".repeat(64)).as_bytes()));
    std::fs::write(path, with(&digest)).unwrap();
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Count and hash of every table, by a query of the test's own.
pub async fn contents(client: &tokio_postgres::Client) -> Vec<String> {
    let tables = client
        .query(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND NOT c.relispartition AND c.relname <> 'backup_runs' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    let mut contents = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let row = client
            .query_one(
                &format!("SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t"),
                &[],
            )
            .await
            .unwrap();
        contents.push(format!("{table} {}", row.get::<_, String>(0)));
    }
    assert!(contents.len() > 20, "{contents:?}");
    contents
}

#[tokio::test]
async fn made_proved_listed_verified_and_restored() {
    let place = Place::new().await;
    let before = contents(&place.database.superuser().await).await;
    let made = place.ops.expect(0, &["backup", "create", "--json"]);
    let value = made.json();
    let name = value["backup"]["backup"].as_str().unwrap();
    assert_eq!(value["backup"]["standing"], "complete");
    assert!(value["drill"]["rows"].as_u64().unwrap() > 35, "{value}");
    assert_eq!(value["drill"]["secrets"], 1);
    assert!(made.stderr.contains("dumping"), "{}", made.stderr);
    assert!(!made.stdout.contains(test_support::KEY) && !made.stderr.contains(test_support::KEY));

    let listed = place.ops.expect(0, &["backup", "list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1);
    assert!(listed["backups"][0]["proved_at"].is_string());
    let shown = place.ops.expect(0, &["backup", "show", name, "--json"]).json();
    assert_eq!(
        shown["manifest"]["schema"]["fingerprint"].as_str().unwrap().len(),
        64
    );
    let cards = shown["manifest"]["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|table| table["name"] == "public.cards")
        .unwrap();
    assert_eq!(cards["rows"], 35);
    place.ops.expect(0, &["backup", "verify", "--all"]);

    // The table that people and metrics look at says the same, and only operators see it.
    let client = place.database.superuser().await;
    let runs = client
        .query(
            "SELECT kind, state, backup, manifest_sha256 = $1, details ->> 'rows' FROM backup_runs ORDER BY id",
            &[&shown["manifest_sha256"].as_str().unwrap()],
        )
        .await
        .unwrap();
    let runs: Vec<(String, String, String, bool)> = runs
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    let run = |kind: &str| (kind.to_owned(), "succeeded".to_owned(), name.to_owned(), true);
    assert_eq!(runs, [run("backup"), run("drill")]);

    // Somebody is connected: this test.
    let ran = place.ops.expect(12, &["restore", "latest"]);
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    let beside = format!("{}_b", place.database.name());
    place.ops.expect(0, &["restore", name, "--into", &beside]);
    let restored = place.other(&beside).await;
    assert_eq!(contents(&restored).await, before);
    drop(restored);
    client.batch_execute("DELETE FROM cards").await.unwrap();
    // An existing one, with somebody in it, is replaced whole.
    let done = place
        .ops
        .expect(0, &["restore", name, "--force", "--json"])
        .json();
    let aside = done["restored"]["replaced"].as_str().unwrap();
    assert!(
        client.query_one("SELECT 1", &[]).await.is_err(),
        "its session was ended"
    );
    assert_eq!(contents(&place.database.superuser().await).await, before);
    let cards: i64 = place
        .other(aside)
        .await
        .query_one("SELECT count(*) FROM cards", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(cards, 0, "what was replaced stays as it was");
    assert!(
        signs_in(
            &place.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );
    let maintenance = place.other("postgres").await;
    for database in [aside, &beside] {
        maintenance
            .batch_execute(&format!("DROP DATABASE \"{database}\" WITH (FORCE)"))
            .await
            .unwrap();
    }
}

/// Everybody adds a card and counts it in the same transaction; a snapshot that is none would have one without the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_write_load_it_is_one_moment_and_survives_the_loss_of_the_database() {
    let place = Place::new().await;
    let world = World::new(place.database.superuser().await);
    let domain = world.domain(ACME).await;
    let (board, column) = world.column(ACME).await;
    world
        .client()
        .batch_execute("CREATE TABLE written (domain_id uuid PRIMARY KEY, count bigint NOT NULL); INSERT INTO written VALUES (platform_domain_id(), 0)")
        .await
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let stop = Arc::clone(&stop);
            let address = place.database.url("plinth");
            tokio::spawn(async move {
                let (client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    client
                        .batch_execute(&format!(
                            "BEGIN; UPDATE written SET count = count + 1;
                             INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title)
                             SELECT '{domain}', gen_random_uuid(), project_id, id, '{column}', {number} * 10 + {writer},
                                    'b' || {number} || 'x' || {writer}, 'Loaded' FROM boards WHERE id = '{board}';
                             COMMIT"
                        ))
                        .await
                        .unwrap();
                }
                number
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ops = place.ops.command(&["backup", "create", "--json"]);
    let made = tokio::task::spawn_blocking(move || {
        let mut ops = ops;
        ops.output().unwrap()
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    drop(world);

    let maintenance = place.other("postgres").await;
    let name = place.database.name();
    maintenance
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .unwrap();
    place.ops.expect(0, &["restore", "latest"]);
    let client = place.database.superuser().await;
    let row = client
        .query_one(
            "SELECT count, (SELECT count(*) FROM cards WHERE title = 'Loaded') FROM written",
            &[],
        )
        .await
        .unwrap();
    let (counted, there): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(counted, there);
    assert!(
        0 < there && there < written,
        "{there} of {written}: the load went on during the backup"
    );
    assert!(
        signs_in(
            &place.database,
            ACME,
            "operator@plinth.test",
            test_support::PASSWORD
        )
        .await
    );
}

#[tokio::test]
async fn encrypted_for_age_recipients_and_opened_by_their_identity_alone() {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let place = Place::new().await;
    let Place { database, ops, store } = place;
    let ops = ops.with("PLINTH_BACKUP_RECIPIENTS", &identity.to_public().to_string());
    let place = Place { database, ops, store };
    let name = place.back_up();
    for file in place.files(&name) {
        let bytes = std::fs::read(&file).unwrap();
        let sealed = bytes.starts_with(b"age-encryption.org/v1");
        assert_eq!(sealed, !file.ends_with("manifest.json"), "{}", file.display());
    }
    let manifest = std::fs::read_to_string(place.manifest(&name)).unwrap();
    let acme = World::new(place.database.superuser().await)
        .domain(ACME)
        .await
        .to_string();
    assert!(!manifest.contains(&acme), "a manifest names no domain");
    // Without the identity the bytes can be verified, and not restored.
    place.ops.expect(0, &["backup", "verify"]);
    let ran = place.ops.expect(78, &["backup", "drill"]);
    assert!(
        ran.stderr.contains("PLINTH_BACKUP_IDENTITY_FILE"),
        "{}",
        ran.stderr
    );
    let Place { database, ops, store } = place;
    let other = age::x25519::Identity::generate();
    let file = store.path().join("identity");
    std::fs::write(&file, other.to_string().expose_secret()).unwrap();
    let ops = ops.with("PLINTH_BACKUP_IDENTITY_FILE", file.to_str().unwrap());
    let ran = ops.expect(78, &["backup", "drill"]);
    assert!(ran.stderr.contains("none of those"), "{}", ran.stderr);
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    ops.expect(0, &["backup", "drill"]);
    drop(database);
}
