//! The application comes through PgBouncer in transaction mode; the worker does not.
//!
//! `scripts/test` names the program in `PLINTH_TEST_PGBOUNCER`. Without it the test says that it is skipped; in CI it fails.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use job_queue::{
    Connector, Context, Job, NewBatch, NewJob, Notifier, Registry, batch_progress, enqueue, seal,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio_postgres::Config;

use crate::scratch::{ACME, Database, connect};
use crate::support::{database, id, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Inside {}

impl Job for Inside {
    const NAME: &'static str = "inside";
}

struct Pooler {
    child: Child,
    directory: TempDir,
}

impl Pooler {
    /// Two server connections for everybody, changing hands with each transaction.
    fn start(db: &Database) -> Option<Self> {
        let Some(program) = std::env::var_os("PLINTH_TEST_PGBOUNCER") else {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "PLINTH_TEST_PGBOUNCER names no PgBouncer, and CI=true allows no skipped test"
            );
            let _ = writeln!(
                std::io::stdout(),
                "SKIPPED: PLINTH_TEST_PGBOUNCER names no PgBouncer"
            );
            return None;
        };
        let tokio_postgres::config::Host::Unix(socket_dir) = &db.config.get_hosts()[0] else {
            panic!("not a socket")
        };
        let owner = fs::metadata(socket_dir).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {}\n\
             unix_socket_mode = 0777\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_prepared_statements = 200\n\
             ignore_startup_parameters = extra_float_digits\n",
            socket_dir.display(),
            db.config.get_ports()[0],
            db.config.get_user().unwrap(),
            directory.path().display(),
        );
        let ini = directory.path().join("pgbouncer.ini");
        fs::write(&ini, text).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
        let mut command = Command::new(program);
        command
            .arg(ini)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let child = command.spawn().unwrap();
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(directory.path().join(".s.PGSQL.6432")).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "PgBouncer does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { child, directory })
    }

    fn config(&self, db: &Database) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.directory.path())
            .port(6432)
            .user(db.config.get_user().unwrap())
            .dbname(db.config.get_dbname().unwrap());
        config
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Inside of a domain, as a request: all of it ends with the transaction.
const AS_ACME: &str = "SET LOCAL ROLE plinth_app; SELECT set_config('plinth.domain_id', '01900000-0000-7000-8000-00000000000a', true)";

#[tokio::test]
async fn jobs_are_enqueued_completed_and_announced_through_a_pooler() {
    let db = database().await;
    let Some(pooler) = Pooler::start(&db) else { return };
    let pooled = pooler.config(&db);
    let direct = db.client().await;

    let handlers = pooled.clone();
    let registry = Registry::new().handle(move |context: Context, _: Inside| {
        let config = handlers.clone();
        async move {
            let mut client = connect(&config).await;
            let mut tx = client.transaction().await?;
            tx.batch_execute(AS_ACME).await?;
            context.complete_in(&mut tx).await?;
            tx.commit().await?;
            Ok(())
        }
    });
    let mut options = options();
    options.poll = Duration::from_secs(3600);
    let worker = start(&db, registry, options);
    let notifier = Notifier::start(&Connector::plain(pooled.clone()));
    tokio::time::sleep(Duration::from_millis(700)).await;

    let batch = id();
    let mut enqueuers = tokio::task::JoinSet::new();
    for round in 0..8 {
        let (config, notifier) = (pooled.clone(), notifier.clone());
        enqueuers.spawn(async move {
            let mut client = connect(&config).await;
            if round == 0 {
                let mut tx = client.transaction().await.unwrap();
                tx.batch_execute(AS_ACME).await.unwrap();
                NewBatch::new(batch, "b").create(&mut tx).await.unwrap();
                let jobs = [NewJob::new(id(), &Inside {}).unwrap().in_batch(batch)];
                enqueue(&mut tx, &jobs).await.unwrap();
                assert!(seal(&mut tx, None, batch).await.unwrap());
                tx.commit().await.unwrap();
            }
            for _ in 0..10 {
                let mut tx = client.transaction().await.unwrap();
                tx.batch_execute(AS_ACME).await.unwrap();
                enqueue(&mut tx, &[NewJob::new(id(), &Inside {}).unwrap()])
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
                notifier.notify("default");
            }
        });
    }
    enqueuers.join_all().await;
    // By notification alone: the poll is an hour away.
    until(
        &direct,
        "SELECT count(*) = 81 FROM queue_jobs WHERE state = 'completed' AND attempt = 1",
    )
    .await;
    until(
        &direct,
        "SELECT count(*) = 1 FROM queue_job_batches WHERE finished_at IS NOT NULL",
    )
    .await;
    let progress = batch_progress(&direct, ACME, batch).await.unwrap().unwrap();
    assert_eq!((progress.total, progress.succeeded), (1, 1));
    worker.stop().await;
    assert_eq!(number(&direct, "SELECT count(*) FROM queue_workers").await, 0);

    // Nothing was left behind on the connections that others use next.
    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(connect(&pooled).await);
    }
    for other in &mut others {
        let tx = other.transaction().await.unwrap();
        for (setting, value) in [
            ("enable_seqscan", "on"),
            ("enable_hashjoin", "on"),
            ("lock_timeout", "0"),
            ("role", "none"),
        ] {
            let row = tx
                .query_typed(
                    "SELECT current_setting($1)",
                    &[(&setting, tokio_postgres::types::Type::TEXT)],
                )
                .await
                .unwrap();
            assert_eq!(row[0].get::<_, &str>(0), value, "{setting}");
        }
        tx.commit().await.unwrap();
    }
}
