//! A store that goes away half-way: of a drill, a restore, a pruning. None says that it was done, and nothing that was there is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use test_support::{ACME, S3, TestDatabase, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::backup::{cards, contents};
use crate::support::{Ops, Ran};

/// Stands before a store, counts what comes back from it, and after so many bytes lets nobody through any more.
struct Gate {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
}

impl Gate {
    async fn open(store: SocketAddr, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let passed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&passed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                if count.load(Ordering::Relaxed) >= bytes {
                    continue;
                }
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_store, mut to_store) =
                        TcpStream::connect(store).await.unwrap().into_split();
                    let there =
                        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_store).await });
                    let mut buffer = vec![0; 1024];
                    while let Ok(read @ 1..) = from_store.read(&mut buffer).await {
                        let before = count.fetch_add(read as u64, Ordering::Relaxed);
                        if before + read as u64 > bytes || to_client.write_all(&buffer[..read]).await.is_err()
                        {
                            break;
                        }
                    }
                    there.abort();
                });
            }
        });
        Self { address, passed }
    }
}

struct Place {
    database: TestDatabase,
    store: S3,
}

impl Place {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        cards(&World::new(database.superuser().await), ACME, 3000).await;
        Self {
            database,
            store: S3::start().await,
        }
    }

    fn ops(&self, store: SocketAddr) -> Ops {
        Ops::on(&self.database)
            .with("PLINTH_BACKUP_URL", "s3://backups/nightly")
            .with("PLINTH_BACKUP_S3_ENDPOINT", &format!("http://{store}"))
            .with("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", S3::SECRET_KEY)
    }

    fn direct(&self, arguments: &[&str]) -> Ran {
        let ops = self.ops(self.store.address);
        tokio::task::block_in_place(|| ops.expect(0, arguments))
    }

    /// Runs it to its end through a gate; how many bytes came back.
    async fn whole(&self, arguments: &[&str]) -> u64 {
        let gate = Gate::open(self.store.address, u64::MAX / 2).await;
        let ops = self.ops(gate.address);
        tokio::task::block_in_place(|| ops.expect(0, arguments));
        gate.passed.load(Ordering::Relaxed)
    }

    /// Runs it until so many bytes have come back. It has to fail, and to say that it is the store.
    async fn cut(&self, arguments: &[&str], bytes: u64) {
        let gate = Gate::open(self.store.address, bytes).await;
        let ops = self.ops(gate.address);
        let ran = tokio::task::block_in_place(|| ops.run(arguments));
        assert_eq!(
            ran.code,
            Some(11),
            "{arguments:?} after {bytes}: {}{}",
            ran.stdout,
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{arguments:?} after {bytes}");
    }

    async fn count(&self, sql: &str) -> i64 {
        let client = self.database.superuser().await;
        client.query_one(sql, &[]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_drill_proves_nothing() {
    let place = Place::new().await;
    place.direct(&["backup", "create", "--no-drill"]);
    let whole = place.whole(&["backup", "drill"]).await;
    // Another one, that nobody has proved.
    place.direct(&["backup", "create", "--no-drill"]);
    let good = "SELECT count(*) FROM backup_runs WHERE kind = 'drill' AND state = 'succeeded'";
    let proved = place.count(good).await;
    // Behind that all is compared, and the proof is written: the store is only asked once more whether the backup is still there.
    for part in [10, 30, 60] {
        place.cut(&["backup", "drill"], whole * part / 100).await;
        let listed = place.direct(&["backup", "list", "--json"]).json();
        let newest = listed["backups"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            newest["proved_at"],
            serde_json::Value::Null,
            "{part} %: {newest:#}"
        );
        assert_eq!(newest["standing"], "complete");
    }
    assert_eq!(place.count(good).await, proved);
    place.direct(&["backup", "drill"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_restore_leaves_what_is_there() {
    let place = Place::new().await;
    place.direct(&["backup", "create", "--no-drill"]);
    let arguments = ["restore", "latest", "--force", "--drop-replaced"];
    let whole = place.whole(&arguments).await;
    // What is there is not what is in the backup.
    let client = place.database.superuser().await;
    client
        .batch_execute("UPDATE cards SET title = 'Changed'")
        .await
        .unwrap();
    let before = contents(&client).await;
    drop(client);
    for part in [5, 40, 80] {
        place.cut(&arguments, whole * part / 100).await;
        let client = place.database.superuser().await;
        assert_eq!(contents(&client).await, before, "{part} %");
    }
    // The first one may not have got as far as to know which backup is the latest.
    let failed = "SELECT count(*) FROM backup_runs WHERE kind = 'restore' AND state = 'failed'";
    assert!(place.count(failed).await >= 2);
    place.direct(&arguments);
    assert_ne!(contents(&place.database.superuser().await).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_pruning_leaves_no_half_of_a_backup() {
    let place = Place::new().await;
    place.direct(&["backup", "create"]);
    let prune = [
        "backup",
        "prune",
        "--keep-daily",
        "0",
        "--keep-weekly",
        "0",
        "--keep-monthly",
        "0",
    ];
    let make = || {
        for _ in 0..3 {
            place.direct(&["backup", "create", "--no-drill"]);
        }
    };
    make();
    let whole = place.whole(&prune).await;
    make();
    for part in [10, 60, 95] {
        place.cut(&prune, whole * part / 100).await;
        let listed = place.direct(&["backup", "list", "--json"]).json();
        let (mut proved, mut complete) = (0, 0);
        for one in listed["backups"].as_array().unwrap() {
            match one["standing"].as_str().unwrap() {
                "complete" => {
                    complete += 1;
                    place.direct(&["backup", "verify", one["backup"].as_str().unwrap()]);
                }
                // Its manifest went first.
                "unfinished" => {}
                other => panic!("{other}: {one:#}"),
            }
            if one["proved_at"] != serde_json::Value::Null {
                proved += 1;
            }
        }
        assert!(proved == 1 && complete >= 2, "{part} %: {listed:#}");
    }
    place.direct(&prune);
    let listed = place.direct(&["backup", "list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2, "{listed:#}");
}
