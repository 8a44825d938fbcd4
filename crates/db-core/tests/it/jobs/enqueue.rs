//! Jobs come into the queue with the transaction that asks for them, or not at all.

use std::time::{Duration, Instant};

use db_core::jobs::{Enqueued, Job, JobContext, NewBatch, NewJob, While};
use db_core::models::organization::{NewOrganization, organization_insert};
use db_core::secrets::keyring::Keyring;
use db_core::{Clock, Db, Error, JobId, PLATFORM_DOMAIN, Permission, SystemError};
use futures_util::future::join;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use test_support::{ACME, GLOBEX, KEY, TurnProxy};

use super::{Scene, start};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const NAME: &'static str = "greet";
}

fn greet() -> Greet {
    Greet {
        name: "Ada".to_owned(),
    }
}

#[tokio::test]
async fn a_job_is_there_when_its_transaction_commits() {
    let scene = Scene::new().await;
    let mut access = scene.access(ACME, Permission::OrganizationCreate).await;
    access.origin.trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let job = scene
        .pool
        .write("greets", &access, async |tx| {
            tx.unchanged();
            tx.enqueue(&greet()).await
        })
        .await
        .unwrap();
    let row = scene
        .world
        .client()
        .query_one(
            "SELECT domain_id, kind, state, queue, payload ->> 'name', trace, max_attempts FROM queue_jobs WHERE id = $1",
            &[&job.uuid()],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, uuid::Uuid>(0), scene.world.domain(ACME).await);
    let texts: Vec<String> = (1..=5).map(|column| row.get(column)).collect();
    let trace = access.origin.trace.as_deref().unwrap();
    assert_eq!(texts, ["greet", "available", "default", "Ada", trace]);
    assert_eq!(row.get::<_, i32>(6), 10);
}

#[tokio::test]
async fn a_rollback_leaves_nothing() {
    let scene = Scene::new().await;
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    let refused = scene
        .pool
        .write("greets and fails", &access, async |tx| {
            let new = NewOrganization {
                id: tx.new_id(),
                slug: "half-done",
                name: "Half done",
            };
            organization_insert(tx, &new).await?;
            tx.enqueue(&greet()).await?;
            Err::<(), _>(Error::conflict("enough", "this is as far as it goes"))
        })
        .await;
    assert!(
        matches!(refused, Err(Error::Conflict { code: "enough", .. })),
        "{refused:?}"
    );
    let jobs = scene
        .number("SELECT count(*) FROM queue_jobs WHERE kind = 'greet'")
        .await;
    let rows = scene
        .number("SELECT count(*) FROM organizations WHERE slug = 'half-done'")
        .await;
    assert_eq!((jobs, rows), (0, 0));
}

#[tokio::test]
async fn a_domain_enqueues_for_itself_alone() {
    let scene = Scene::new().await;
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    for foreign in [scene.world.domain(GLOBEX).await, PLATFORM_DOMAIN.uuid()] {
        let refused = scene
            .pool
            .write("greets elsewhere", &access, async |tx| {
                tx.unchanged();
                let job = tx.new_job(&greet())?.in_domain(foreign);
                tx.enqueue_all(&[job]).await
            })
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("row-level security"), "{refused}");
    }
    assert_eq!(
        scene
            .number("SELECT count(*) FROM queue_jobs WHERE kind = 'greet'")
            .await,
        0
    );
}

#[tokio::test]
async fn unique_keys_batches_and_delays_are_the_queue_s() {
    let scene = Scene::new().await;
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    let batch = Clock::System.uuid();
    let enqueued = scene
        .pool
        .write("greets in a batch", &access, async |tx| {
            tx.unchanged();
            tx.create_batch(NewBatch::new(batch, "greetings")).await?;
            let jobs = [
                tx.new_job(&greet())?
                    .unique("ada", While::Unfinished)
                    .in_batch(batch),
                tx.new_job(&greet())?
                    .delay(Duration::from_secs(3600))
                    .in_batch(batch),
            ];
            tx.enqueue_all(&jobs).await?;
            let again = tx.new_job(&greet())?.unique("ada", While::Unfinished);
            let enqueued = tx.enqueue_all(&[again]).await?;
            assert!(tx.seal_batch(batch).await?);
            Ok(enqueued)
        })
        .await
        .unwrap();
    assert_eq!(enqueued, [Enqueued::Duplicate]);
    let states = scene
        .number(
            "SELECT count(*) FROM queue_jobs WHERE kind = 'greet' AND state IN ('available', 'scheduled')",
        )
        .await;
    assert_eq!(states, 2);
    let closed = scene
        .pool
        .write("greets too late", &access, async |tx| {
            tx.unchanged();
            let job = tx.new_job(&greet())?.in_batch(batch);
            tx.enqueue_all(&[job]).await
        })
        .await;
    assert!(
        matches!(
            closed,
            Err(Error::Conflict {
                code: "batch_closed",
                ..
            })
        ),
        "{closed:?}"
    );
}

#[tokio::test]
async fn the_installation_enqueues_for_any_domain() {
    let scene = Scene::new().await;
    let acme = scene.domain(ACME).await;
    let ids: Vec<JobId> = (0..3).map(|_| Clock::System.id()).collect();
    scene
        .owner
        .system(async |tx| {
            assert_eq!(tx.enqueue(ids[0], acme, &greet()).await?, Enqueued::Added);
            assert_eq!(
                tx.enqueue(ids[1], PLATFORM_DOMAIN, &greet()).await?,
                Enqueued::Added
            );
            Ok::<_, SystemError>(())
        })
        .await
        .unwrap();
    let failed = scene
        .owner
        .system(async |tx| {
            tx.enqueue(ids[2], acme, &greet()).await?;
            tx.enqueue_all(&[NewJob::new(ids[2].uuid(), &greet())?]).await?;
            Ok::<_, SystemError>(())
        })
        .await;
    assert!(failed.is_err(), "a job without a domain");
    let domains = scene
        .number("SELECT count(DISTINCT domain_id) FROM queue_jobs WHERE kind = 'greet'")
        .await;
    assert_eq!(domains, 2);
    assert_eq!(scene.state(ids[2].uuid()).await.0, "gone");
}

/// Polling finds a job within a second; a notification within milliseconds. Ten in a row are no luck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_told_after_the_commit() {
    let scene = Scene::new().await;
    scene.db.start_notifier(&scene.owner);
    let worker = start(
        scene
            .handlers()
            .handle(|_: JobContext, _: Greet| async { Ok(()) }),
    );
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    let enqueue = async || {
        scene
            .pool
            .write("greets", &access, async |tx| {
                tx.unchanged();
                tx.enqueue(&greet()).await
            })
            .await
            .unwrap()
    };
    let first = enqueue().await;
    scene.until(first.uuid(), "completed").await;
    let started = Instant::now();
    for _ in 0..10 {
        let job = enqueue().await;
        scene.until(job.uuid(), "completed").await;
    }
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    worker.stop().await;
}

/// One statement more is one wait more at most, and none beside another statement.
#[tokio::test]
async fn enqueueing_is_one_statement_that_goes_with_the_others() {
    let scene = Scene::new().await;
    let proxy = TurnProxy::before(&scene.database.address()).await;
    let mut config = scene.database.config();
    config.database.address = Some(proxy.address(&scene.database.address()));
    let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
    let db = Db::open(
        &scene.owner,
        &config.database,
        &config.security,
        &keyring,
        Clock::System,
    )
    .await
    .unwrap();
    let pool = db.pool(4);
    let access = scene.access(ACME, Permission::OrganizationCreate).await;
    let alone = async || {
        pool.write("greets", &access, async |tx| {
            tx.unchanged();
            tx.enqueue(&greet()).await
        })
        .await
        .unwrap()
    };
    let beside = async || {
        pool.write("greets two", &access, async |tx| {
            tx.unchanged();
            let (ada, grace) = (greet(), greet());
            let (first, second) = join(tx.enqueue(&ada), tx.enqueue(&grace)).await;
            first.and(second)
        })
        .await
        .unwrap()
    };
    // Once cold: statements are prepared.
    alone().await;
    beside().await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.take_turns();
        alone().await;
        assert_eq!(proxy.take_turns(), 2, "BEGIN, enter() and the job; COMMIT");
        tokio::time::sleep(Duration::from_millis(150)).await;
        proxy.take_turns();
        beside().await;
        assert_eq!(proxy.take_turns(), 2, "both statements with BEGIN; COMMIT");
    }
}
