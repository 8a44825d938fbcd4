//! Workers inside of a test, and questions to the table.

use std::sync::OnceLock;
use std::time::Duration;

use job_queue::{Enqueued, Job, NewJob, Registry, Worker, WorkerHandle, WorkerOptions, enqueue};
use local_postgres::Durability;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::scratch::{ACME, Database, Server, connect};

pub fn id() -> Uuid {
    Uuid::now_v7()
}

/// The server of `with-postgres`, else one that lives as long as this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        if let Ok(text) = std::env::var("PLINTH_TEST_SERVER") {
            let mut parts = text.split('|');
            let mut part = || parts.next().unwrap().to_owned();
            return Server {
                local: None,
                socket_dir: part().into(),
                port: part().parse().unwrap(),
                user: part(),
            };
        }
        std::thread::spawn(|| {
            let directory = std::env::temp_dir().join(format!("job-queue-tests-{}", std::process::id()));
            Server::start(&directory, Durability::Disposable, None, &[])
        })
        .join()
        .unwrap()
    })
}

pub async fn database() -> Database {
    server().database().await
}

/// A connection as the app role, inside of a domain.
pub async fn app(db: &Database, domain: Uuid) -> Client {
    let mut config = db.config.clone();
    config.options("-c role=plinth_app");
    let client = connect(&config).await;
    let set = format!("SELECT set_config('plinth.domain_id', '{domain}', false)");
    client.batch_execute(&set).await.unwrap();
    client
}

pub fn job<J: Job>(job: &J) -> NewJob {
    NewJob::new(id(), job).unwrap().in_domain(ACME)
}

/// Enqueues one and returns its id.
pub async fn add(client: &mut Client, job: NewJob) -> Uuid {
    let id = job.id();
    assert_eq!(enqueue(client, &[job]).await.unwrap(), [Enqueued::Added]);
    id
}

/// A worker that runs until the end of the test, or until it is told to stop.
pub struct Running {
    pub stop: CancellationToken,
    pub task: JoinHandle<()>,
    pub handle: WorkerHandle,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub fn options() -> WorkerOptions {
    let mut options = WorkerOptions::new("test");
    options.heartbeat = Duration::from_millis(400);
    options.poll = Duration::from_millis(50);
    options.grace = Duration::from_millis(200);
    options.drain = Duration::from_millis(500);
    options
}

pub fn start(db: &Database, registry: Registry, options: WorkerOptions) -> Running {
    let stop = CancellationToken::new();
    let worker = Worker::new(&db.connector(), registry, options);
    let handle = worker.handle();
    Running {
        task: tokio::spawn(worker.run(stop.clone())),
        stop,
        handle,
    }
}

pub async fn state(client: &Client, id: Uuid) -> String {
    client
        .query_one("SELECT state FROM queue_jobs WHERE id = $1", &[&id])
        .await
        .unwrap()
        .get(0)
}

pub async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Asks until the answer is true; a quarter of a minute at most.
pub async fn until(client: &Client, question: &str) {
    for _ in 0..1500 {
        if client.query_one(question, &[]).await.unwrap().get(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rows = client
        .query("SELECT kind || ' ' || state || ' ' || attempt || '/' || max_attempts || ' ' || errors::text FROM queue_jobs LIMIT 20", &[])
        .await
        .unwrap();
    let jobs: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    panic!("it did not become true: {question}\n{}", jobs.join("\n"));
}

pub async fn until_state(client: &Client, id: Uuid, wanted: &str) {
    until(
        client,
        &format!("SELECT coalesce((SELECT state = '{wanted}' FROM queue_jobs WHERE id = '{id}'), false)"),
    )
    .await;
}

/// Plays a worker by hand: registers, and claims.
pub struct ByHand {
    pub client: Client,
    pub worker: Uuid,
}

impl ByHand {
    pub async fn register(db: &Database) -> Self {
        let client = db.client().await;
        let sql = include_str!("../../src/sql/register.sql");
        let worker = client
            .query_one(sql, &[&"by hand", &vec!["default"], &1_i32, &1.0_f64])
            .await
            .unwrap()
            .get(0);
        Self { client, worker }
    }

    /// Ids and attempts, in the order of their turns.
    pub async fn claim(&self, limit: i64) -> Vec<(Uuid, i32)> {
        let sql = include_str!("../../src/sql/claim.sql");
        let rows = self
            .client
            .query(
                sql,
                &[
                    &self.worker,
                    &"default",
                    &0_i64,
                    &limit,
                    &i64::MAX,
                    &Vec::<Uuid>::new(),
                    &None::<Uuid>,
                ],
            )
            .await
            .unwrap();
        let mut jobs: Vec<(i64, Uuid, i32)> = rows
            .iter()
            .map(|row| (row.get(5), row.get(1), row.get(3)))
            .collect();
        jobs.sort_unstable();
        jobs.into_iter().map(|(_, id, attempt)| (id, attempt)).collect()
    }

    /// Whether it was completed.
    pub async fn complete(&self, job: Uuid, attempt: i32) -> bool {
        let sql = include_str!("../../src/sql/complete.sql");
        let rows = self
            .client
            .query(
                sql,
                &[&vec![ACME], &vec![job], &vec![attempt], &vec![self.worker]],
            )
            .await
            .unwrap();
        !rows.is_empty()
    }
}
