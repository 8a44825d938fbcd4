//! Jobs: enqueued by transactions, run in their domain, and what the core's own tidy away.

mod context;
mod enqueue;
mod housekeeping;
mod partitions;

use std::time::{Duration, Instant};

use app_config::JobsConfig;
use db_core::jobs::{Handlers, WorkerName};
use db_core::{Access, Credential, Db, DomainId, Origin, Owner, Permission, Pool, Target};
use test_support::{TestDatabase, World};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A database, and what a process that works on it has.
struct Scene {
    database: TestDatabase,
    world: World,
    owner: Owner,
    db: Db,
    pool: Pool,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let (world, db) = (World::new(database.superuser().await), database.db().await);
        Self {
            world,
            owner: database.owner(),
            pool: db.pool(1),
            db,
            database,
        }
    }

    async fn domain(&self, slug: &str) -> DomainId {
        DomainId::new(self.world.domain(slug).await)
    }

    /// What the first account of a domain may do there.
    async fn access(&self, slug: &str, permission: Permission) -> Access {
        let token = self.world.session(slug, self.world.first_user(slug).await).await;
        Access {
            credential: Credential::Session(db_core::secrets::token::TokenHash::of(&token)),
            permission: Some(permission),
            target: Target::Domain,
            origin: Origin::default(),
        }
    }

    /// The core's handlers, to be added to.
    fn handlers(&self) -> Handlers {
        Handlers::core(&self.owner, &self.db, &config(), |_, _| false).unwrap()
    }

    /// A number that the superuser reads.
    async fn number(&self, sql: &str) -> i64 {
        self.world.client().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// State and attempt of a job.
    async fn state(&self, job: Uuid) -> (String, i32) {
        let sql = "SELECT state, attempt FROM queue_jobs WHERE id = $1";
        match self.world.client().query_opt(sql, &[&job]).await.unwrap() {
            Some(row) => (row.get(0), row.get(1)),
            None => ("gone".to_owned(), 0),
        }
    }

    /// Waits for a state.
    async fn until(&self, job: Uuid, wanted: &str) {
        let started = Instant::now();
        loop {
            let (state, attempt) = self.state(job).await;
            if state == wanted {
                return;
            }
            if started.elapsed() > Duration::from_secs(30) {
                let sql = "SELECT errors::text FROM queue_jobs WHERE id = $1";
                let errors: Option<String> = self
                    .world
                    .client()
                    .query_opt(sql, &[&job])
                    .await
                    .unwrap()
                    .map(|row| row.get(0));
                panic!("the job is {state} after {attempt} attempts, not {wanted}: {errors:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn config() -> JobsConfig {
    let mut config = app_config::Config::default().jobs;
    config.concurrency = 4;
    config.shutdown_grace = Duration::from_secs(2);
    config
}

/// A worker of this process. Ends in good order with [`Running::stop`].
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(handlers: Handlers) -> Running {
    let stop = CancellationToken::new();
    let task = tokio::spawn(handlers.run(WorkerName::of("tests"), stop.clone()));
    Running { stop, task }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
