//! Jobs, where requests go through PgBouncer: the worker has the direct address for itself, its handlers have the pooled one.

use std::time::Duration;

use app_config::Config;
use db_core::jobs::{Failure, Handlers, Job, JobContext, WorkerName};
use db_core::models::organization::{NewOrganization, organization_insert, organization_list};
use db_core::secrets::keyring::Keyring;
use db_core::{Clock, Db, DomainId, JobId, Owner, PageRequest, SystemError, WriteTx};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use test_support::{KEY, PASSWORD, TestDatabase, World, test_server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pooler::{Login, PgBouncer};
use super::{FEW, open_through, patient};
use crate::app::TestApp;
use crate::jobs;

#[tokio::test]
async fn a_worker_works_where_requests_are_pooled() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let Some(pooler) = PgBouncer::start(&[(login.name.as_str(), PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &login.name, PASSWORD);
    let app = TestApp::start_with(db, |config| {
        patient(config);
        open_through(config, pooled);
        config.jobs.worker = true;
    })
    .await;
    let assignment = jobs::ended_assignment(&app.world).await;
    jobs::enqueue_expiry(&app.world).await;
    jobs::until(&app.world, &jobs::gone(assignment)).await;
    drop(pooler);
}

/// Domains that take turns on four server connections, and jobs of each.
const DOMAINS: usize = 8;
const JOBS: usize = 40;

/// Leaves a mark in its domain, looks at all that is there, and leaves another with its completion.
#[derive(Serialize, Deserialize)]
struct Visit {
    /// Beginning of everything that is the domain's.
    ours: String,
    number: usize,
}

impl Job for Visit {
    const NAME: &'static str = "visit";
    const MAX_ATTEMPTS: u32 = 1;
}

async fn visit(context: JobContext, job: Visit) -> Result<(), Failure> {
    let (first, last) = (
        format!("{}-{}-a", job.ours, job.number),
        format!("{}-{}-b", job.ours, job.number),
    );
    context.write("visit", async |tx| mark(tx, &first).await).await?;
    let page = PageRequest {
        limit: 200,
        after: None,
    };
    let seen = context
        .read("look", async |tx| organization_list(tx, &page).await)
        .await?;
    if let Some(foreign) = seen.rows.iter().find(|it| !it.slug.starts_with(&job.ours)) {
        return Err(Failure::fatal(format!("{} sees {}", job.ours, foreign.slug)));
    }
    if !seen.rows.iter().any(|it| it.slug == first) {
        return Err(Failure::fatal(format!("{} does not see {first}", job.ours)));
    }
    context.finish("leave", async |tx| mark(tx, &last).await).await?;
    Ok(())
}

async fn mark(tx: &WriteTx<'_>, slug: &str) -> db_core::Result<()> {
    let new = NewOrganization {
        id: tx.new_id(),
        slug,
        name: slug,
    };
    organization_insert(tx, &new).await.map(drop)
}

/// Domains of their own, with nothing in them.
async fn domains(world: &World) -> Vec<(DomainId, String)> {
    let mut domains = Vec::new();
    for number in 0..DOMAINS {
        let (id, slug) = (Clock::System.uuid(), format!("pooled{number}"));
        let sql = "INSERT INTO domains (id, slug, name) VALUES ($1, $2, $2)";
        world.client().execute(sql, &[&id, &slug]).await.unwrap();
        domains.push((DomainId::new(id), slug));
    }
    domains
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_many_domains_act_each_in_its_own_through_a_pooler() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let Some(pooler) = PgBouncer::start(&[(login.name.as_str(), PASSWORD)], &[FEW]) else {
        return;
    };
    let mut config = db.config();
    open_through(&mut config, pooler.address(&db, &login.name, PASSWORD));
    let worker = Worker::start(&mut config).await;
    // It listens as the owner, whom the pooler does not know: on a direct connection.
    let world = World::new(db.superuser().await);
    jobs::until(&world, &format!("SELECT EXISTS ({LISTENING})")).await;
    worker.is_right(&world, &login).await;
    worker.stop().await;
}

/// Without a direct address the worker polls, and leaves nothing behind on connections that others have next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_direct_address_polls() {
    let db = TestDatabase::new().await;
    let (login, owner) = (Login::make(&db, "api", "").await, test_server().user.clone());
    let users = [(login.name.as_str(), PASSWORD), (owner.as_str(), PASSWORD)];
    let Some(pooler) = PgBouncer::start(&users, &[FEW]) else {
        return;
    };
    let mut config = db.config();
    config.database.address = Some(pooler.address(&db, &login.name, PASSWORD));
    config.database.direct = Some(pooler.address(&db, &owner, PASSWORD));
    let worker = Worker::start(&mut config).await;
    let world = World::new(db.superuser().await);
    worker.is_right(&world, &login).await;
    jobs::until(&world, &format!("SELECT NOT EXISTS ({LISTENING})")).await;
    worker.stop().await;

    let address = pooler.address(&db, &owner, PASSWORD);
    let mut settings = tokio_postgres::Config::new();
    settings
        .host_path(&address.host)
        .port(address.port)
        .user(&owner)
        .password(PASSWORD)
        .dbname(db.name());
    let mut held = Vec::new();
    // All that there are, each in a transaction.
    for _ in 0..4 {
        let (client, connection) = settings.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN").await.unwrap();
        let row = client
            .query_typed(
                "SELECT current_user = session_user, current_setting('enable_seqscan'), current_setting('lock_timeout')",
                &[],
            )
            .await
            .unwrap();
        let left: (bool, &str, &str) = (row[0].get(0), row[0].get(1), row[0].get(2));
        assert_eq!(
            left,
            (true, "on", "0"),
            "role and settings of a pooled connection"
        );
        held.push(client);
    }
}

/// Sessions of this database that listen for jobs.
const LISTENING: &str =
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN job_queue'
                            AND application_name = 'tests-owner'";

/// A worker with the handler of [`Visit`], as a program has it.
struct Worker {
    owner: Owner,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    async fn start(config: &mut Config) -> Self {
        patient(config);
        config.jobs.concurrency = 24;
        let owner = Owner::from_config(&config.database, "tests-owner").unwrap();
        let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
        let db = Db::open(
            &owner,
            &config.database,
            &config.security,
            &keyring,
            Clock::System,
        )
        .await
        .unwrap();
        db.start_notifier(&owner);
        let handlers = Handlers::core(&owner, &db, &config.jobs, |_, _| false)
            .unwrap()
            .handle(visit);
        let stop = CancellationToken::new();
        let task = tokio::spawn(handlers.run(WorkerName::of("tests"), stop.clone()));
        Self { owner, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .unwrap()
            .unwrap();
    }

    /// Runs jobs of many domains at once, and looks at what came of them.
    async fn is_right(&self, world: &World, login: &Login) {
        let domains = domains(world).await;
        // All at once and mixed: neighbours in the line are of different domains.
        self.owner
            .system(async |tx| {
                for number in 0..JOBS {
                    for (domain, slug) in &domains {
                        let job = Visit {
                            ours: slug.clone(),
                            number,
                        };
                        let id: JobId = Clock::System.id();
                        tx.enqueue(id, *domain, &job).await?;
                    }
                }
                Ok::<_, SystemError>(())
            })
            .await
            .unwrap();
        let open = "SELECT NOT EXISTS (SELECT FROM queue_jobs WHERE kind = 'visit' AND finished_at IS NULL)";
        jobs::until(world, open).await;

        let row = world
            .client()
            .query_one(
                "SELECT count(*), count(*) FILTER (WHERE state = 'completed'), string_agg(DISTINCT errors::text, ' ')
                   FROM queue_jobs WHERE kind = 'visit'",
                &[],
            )
            .await
            .unwrap();
        // Of the one attempt that each has; a lease that was handed back is none.
        let all = i64::try_from(DOMAINS * JOBS).unwrap();
        assert_eq!(
            (row.get::<_, i64>(0), row.get::<_, i64>(1)),
            (all, all),
            "{}",
            row.get::<_, String>(2)
        );
        // Every mark is in the domain of its job, and so is what the stream has of it.
        for (domain, slug) in &domains {
            for (what, sql) in [
                ("marks", "SELECT count(*), count(*) FILTER (WHERE slug LIKE $2 || '-%') FROM organizations WHERE domain_id = $1"),
                (
                    "rows of the stream",
                    "SELECT count(*), count(*) FILTER (WHERE after ->> 'slug' LIKE $2 || '-%' AND user_id IS NULL
                                                         AND request_id IN (SELECT 'job:' || id FROM queue_jobs WHERE domain_id = $1))
                       FROM activity_stream WHERE domain_id = $1",
                ),
            ] {
                let row = world.client().query_one(sql, &[&domain.uuid(), slug]).await.unwrap();
                let wanted = i64::try_from(2 * JOBS).unwrap();
                assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (wanted, wanted), "{what} of {slug}");
            }
        }
        // Handlers came through the pooler and no other way.
        let direct: i64 = world
            .client()
            .query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = $1",
                &[&login.name],
            )
            .await
            .unwrap()
            .get(0);
        assert!(
            (1..=4).contains(&direct),
            "{direct} server connections of the handlers' login"
        );
    }
}
