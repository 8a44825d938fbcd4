//! What a handler can reach: its own domain, as nobody, for as long as it holds its lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use db_core::jobs::{Failure, Job, JobContext};
use db_core::models::organization::{
    NewOrganization, organization_get, organization_insert, organization_list,
};
use db_core::{Clock, Error, JobId, OrganizationId, PLATFORM_DOMAIN, PageRequest, SystemError};
use serde::{Deserialize, Serialize};
use test_support::{ACME, GLOBEX};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Scene, start};

#[derive(Serialize, Deserialize)]
struct Found {
    slug: String,
}

impl Job for Found {
    const NAME: &'static str = "found_organization";
    const BACKOFF: db_core::jobs::Backoff = db_core::jobs::Backoff {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(10),
        jitter: 0.0,
    };
}

impl Scene {
    async fn add<J: Job>(&self, slug: &str, job: &J) -> Uuid {
        let (id, domain): (JobId, _) = (Clock::System.id(), self.domain(slug).await);
        self.owner
            .system(async |tx| tx.enqueue(id, domain, job).await)
            .await
            .unwrap();
        id.uuid()
    }

    /// How its attempts ended.
    async fn errors(&self, job: Uuid) -> String {
        let sql = "SELECT errors::text FROM queue_jobs WHERE id = $1";
        self.world.client().query_one(sql, &[&job]).await.unwrap().get(0)
    }

    async fn organization(&self, slug: &str) -> OrganizationId {
        let (id, domain) = (Clock::System.uuid(), self.world.domain(slug).await);
        let sql = "INSERT INTO organizations (domain_id, id, slug, name) VALUES ($1, $2, 'theirs', 'Theirs')";
        self.world.client().execute(sql, &[&domain, &id]).await.unwrap();
        OrganizationId::new(id)
    }
}

fn found(slug: &str) -> Found {
    Found {
        slug: slug.to_owned(),
    }
}

async fn insert(context: &JobContext, slug: &str) -> db_core::Result<()> {
    context
        .write("found", async |tx| {
            let new = NewOrganization {
                id: tx.new_id(),
                slug,
                name: slug,
            };
            organization_insert(tx, &new).await.map(drop)
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_acts_in_its_own_domain_as_nobody() {
    let scene = Scene::new().await;
    let (ours, theirs) = (scene.organization(ACME).await, scene.organization(GLOBEX).await);
    let (sender, mut seen) = mpsc::unbounded_channel();
    let worker = start(scene.handlers().handle(move |context: JobContext, job: Found| {
        let sender = sender.clone();
        async move {
            insert(&context, &job.slug).await?;
            let page = PageRequest {
                limit: 50,
                after: None,
            };
            let listed = context
                .read("list", async |tx| organization_list(tx, &page).await)
                .await?;
            let foreign = context
                .read("get", async |tx| organization_get(tx, theirs).await.map(drop))
                .await;
            let own = context
                .read("get", async |tx| organization_get(tx, ours).await.map(drop))
                .await;
            let ids: Vec<_> = listed.rows.iter().map(|row| row.id).collect();
            sender
                .send((ids.contains(&ours), ids.contains(&theirs), own.is_ok(), foreign))
                .unwrap();
            Ok(())
        }
    }));
    let job = scene.add(ACME, &found("by-a-job")).await;
    let (own_listed, foreign_listed, own_found, foreign) = seen.recv().await.unwrap();
    assert!(own_listed && own_found, "its own domain's rows");
    assert!(!foreign_listed, "another domain's row was listed");
    assert!(matches!(foreign, Err(Error::NotFound(_))), "{foreign:?}");
    scene.until(job, "completed").await;

    let row = scene
        .world
        .client()
        .query_one(
            "SELECT domain_id, user_id, request_id FROM activity_stream
              WHERE action = 'organization.create' AND after ->> 'slug' = 'by-a-job'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, Uuid>(0), scene.world.domain(ACME).await);
    assert_eq!(row.get::<_, Option<Uuid>>(1), None);
    assert_eq!(row.get::<_, String>(2), format!("job:{job}"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_lease_a_handler_changes_nothing() {
    let scene = Scene::new().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Notify::new());
    let open = Arc::clone(&gate);
    let worker = start(scene.handlers().handle(move |context: JobContext, job: Found| {
        let (sender, open) = (sender.clone(), Arc::clone(&open));
        async move {
            sender.send(None).unwrap();
            open.notified().await;
            sender.send(Some(insert(&context, &job.slug).await)).unwrap();
            Err(Failure::fatal("enough"))
        }
    }));
    let job = scene.add(ACME, &found("by-a-zombie")).await;
    assert!(seen.recv().await.unwrap().is_none());
    // As if another worker had taken the job: the attempt is another one.
    let sql = "UPDATE queue_jobs SET attempt = attempt + 1, errors = errors || '[{}]'::jsonb WHERE id = $1";
    assert_eq!(scene.world.client().execute(sql, &[&job]).await.unwrap(), 1);
    gate.notify_one();
    let refused = seen.recv().await.unwrap().unwrap();
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                code: "lease_lost",
                ..
            })
        ),
        "{refused:?}"
    );
    let rows = scene
        .number("SELECT count(*) FROM organizations WHERE slug = 'by-a-zombie'")
        .await;
    assert_eq!(rows, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_and_completion_are_one_transaction() {
    let scene = Scene::new().await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let worker = start(scene.handlers().handle(move |context: JobContext, job: Found| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            context
                .finish("found", async |tx| {
                    let new = NewOrganization {
                        id: tx.new_id(),
                        slug: &job.slug,
                        name: &job.slug,
                    };
                    organization_insert(tx, &new).await?;
                    if first {
                        return Err(Error::conflict("unlucky", "the first attempt fails"));
                    }
                    Ok(())
                })
                .await?;
            Ok(())
        }
    }));
    let job = scene.add(ACME, &found("once")).await;
    scene.until(job, "completed").await;
    assert_eq!(scene.state(job).await, ("completed".to_owned(), 2));
    let rows = scene
        .number("SELECT count(*) FROM organizations WHERE slug = 'once'")
        .await;
    assert_eq!((rows, runs.load(Ordering::SeqCst)), (1, 2));
    worker.stop().await;
}

#[derive(Serialize, Deserialize)]
struct Reach {}

impl Job for Reach {
    const NAME: &'static str = "reach";
    const MAX_ATTEMPTS: u32 = 1;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_installation_s_jobs_act_for_all_domains() {
    let scene = Scene::new().await;
    let worker = start(
        scene
            .handlers()
            .handle(|context: JobContext, _: Reach| async move {
                context.system(async |_| Ok::<_, SystemError>(())).await
            }),
    );
    let of_domain = scene.add(ACME, &Reach {}).await;
    let of_platform = scene.add("platform", &Reach {}).await;
    scene.until(of_platform, "completed").await;
    scene.until(of_domain, "dead").await;
    assert_eq!(scene.domain("platform").await, PLATFORM_DOMAIN);
    worker.stop().await;
}

/// Whoever gets a job of that kind into another domain's line, by mistake or by malice, has nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_cannot_have_the_installation_s_own_jobs_run() {
    let scene = Scene::new().await;
    let worker =
        start(
            scene.handlers().handle_platform({
                |context: JobContext, _: Reach| async move {
                    context.system(async |_| Ok::<_, SystemError>(())).await
                }
            }),
        );
    let theirs = scene.add(ACME, &Reach {}).await;
    let own = scene.add("platform", &Reach {}).await;
    scene.until(own, "completed").await;
    scene.until(theirs, "dead").await;
    assert!(scene.errors(theirs).await.contains("the installation's"));
    let core = scene
        .add(ACME, &db_core::jobs::housekeeping::DeleteSessions {})
        .await;
    scene.until(core, "dead").await;
    assert!(scene.errors(core).await.contains("the installation's"));
    worker.stop().await;
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    number: u32,
}

impl Job for Numbered {
    const NAME: &'static str = "numbered";
    const MAX_ATTEMPTS: u32 = 1;
}

/// As an older version had it.
#[derive(Serialize, Deserialize)]
struct NumberedOnce {
    number: String,
}

impl Job for NumberedOnce {
    const NAME: &'static str = "numbered";
    const MAX_ATTEMPTS: u32 = 1;
}

/// Operators see errors of domains' jobs, and not their payloads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_cannot_be_read_does_not_get_into_the_errors() {
    let scene = Scene::new().await;
    let worker = start(
        scene
            .handlers()
            .handle(|_: JobContext, _: Numbered| async { Ok(()) }),
    );
    let secret = NumberedOnce {
        number: "hunter2".to_owned(),
    };
    let job = scene.add(ACME, &secret).await;
    scene.until(job, "dead").await;
    let errors = scene.errors(job).await;
    assert!(
        errors.contains("cannot be read as numbered") && errors.contains("column"),
        "{errors}"
    );
    assert!(!errors.contains("hunter2"), "{errors}");
    worker.stop().await;
}

/// What a job wrote into a domain that is being erased would come after the erasing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_comes_into_a_domain_that_is_being_erased() {
    let scene = Scene::new().await;
    let (sender, mut seen) = mpsc::unbounded_channel();
    let worker = start(scene.handlers().handle(move |context: JobContext, job: Found| {
        let sender = sender.clone();
        async move {
            sender.send(insert(&context, &job.slug).await).unwrap();
            Err(Failure::fatal("enough"))
        }
    }));
    let set = async |status: &str| {
        let sql = "UPDATE domains SET status = $1 WHERE slug = $2";
        scene
            .world
            .client()
            .execute(sql, &[&status, &ACME])
            .await
            .unwrap();
    };
    set("suspended").await;
    scene.add(ACME, &found("suspended")).await;
    assert!(
        seen.recv().await.unwrap().is_ok(),
        "suspending keeps people out, not jobs"
    );
    set("erasing").await;
    scene.add(ACME, &found("erasing")).await;
    let refused = seen.recv().await.unwrap();
    assert!(
        matches!(
            refused,
            Err(Error::Conflict {
                code: "lease_lost",
                ..
            })
        ),
        "{refused:?}"
    );
    scene.add(GLOBEX, &found("elsewhere")).await;
    assert!(seen.recv().await.unwrap().is_ok());
    let rows = scene
        .number("SELECT count(*) FROM organizations WHERE slug = 'erasing'")
        .await;
    assert_eq!(rows, 0);
    worker.stop().await;
}

#[derive(Serialize, Deserialize)]
struct Panic {}

impl Job for Panic {
    const NAME: &'static str = "panic";
    const MAX_ATTEMPTS: u32 = 1;
}

#[derive(Serialize, Deserialize)]
struct Slow {}

impl Job for Slow {
    const NAME: &'static str = "slow";
    const MAX_ATTEMPTS: u32 = 1;
    const TIME_LIMIT: Duration = Duration::from_millis(50);
}

/// A future that says when it was dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_a_failure_and_time_limits_drop_the_handler() {
    let scene = Scene::new().await;
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let handlers = scene
        .handlers()
        .handle(|_: JobContext, _: Panic| async { panic!("it blew up") })
        .handle(move |_: JobContext, _: Slow| {
            let guard = Dropped(sender.clone());
            async move {
                let _guard = guard;
                std::future::pending::<()>().await;
                Ok(())
            }
        });
    let worker = start(handlers);
    let (panics, slow) = (scene.add(ACME, &Panic {}).await, scene.add(ACME, &Slow {}).await);
    scene.until(panics, "dead").await;
    let errors: String = scene
        .world
        .client()
        .query_one("SELECT errors::text FROM queue_jobs WHERE id = $1", &[&panics])
        .await
        .unwrap()
        .get(0);
    assert!(errors.contains("it blew up"), "{errors}");
    scene.until(slow, "dead").await;
    assert_eq!(
        dropped.recv().await,
        Some(()),
        "the handler goes on after its time"
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_queue_that_there_is_not_is_named() {
    let scene = Scene::new().await;
    let unknown = scene.handlers().only(&["mail".to_owned()]).unwrap_err();
    assert!(
        unknown.contains("\"mail\"") && unknown.contains("default, maintenance"),
        "{unknown}"
    );
    assert!(scene.handlers().only(&["maintenance".to_owned()]).is_ok());
}
