//! As the role of requests, inside of a domain.

use std::time::Duration;

use job_queue::{
    Connector, Context, Enqueued, Job, NewBatch, NewJob, Registry, Worker, cancel, enqueue, pause, retry,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::scratch::{ACME, GLOBEX, PLATFORM};
use crate::support::{add, app, database, id, job, number, options, start, state, until_state};

#[derive(Serialize, Deserialize)]
struct Mine {}

impl Job for Mine {
    const NAME: &'static str = "mine";
}

/// Without a domain named: that of the transaction.
fn own() -> NewJob {
    NewJob::new(id(), &Mine {}).unwrap()
}

#[tokio::test]
async fn a_domain_enqueues_for_itself_alone() {
    let db = database().await;
    let owner = db.client().await;
    let mut acme = app(&db, ACME).await;
    let batch = id();
    NewBatch::new(batch, "b").create(&mut acme).await.unwrap();
    let mut tx = acme.transaction().await.unwrap();
    let jobs = [
        own(),
        own().in_batch(batch).unique("k", job_queue::While::Waiting),
        own().delay(Duration::from_secs(9)),
    ];
    assert_eq!(enqueue(&mut tx, &jobs).await.unwrap(), [Enqueued::Added; 3]);
    tx.commit().await.unwrap();
    assert!(job_queue::seal(&mut acme, None, batch).await.unwrap());
    let sql = format!("SELECT count(*) FROM queue_jobs WHERE domain_id = '{ACME}'");
    assert_eq!(number(&owner, &sql).await, 3);

    for foreign in [GLOBEX, PLATFORM] {
        let refused = enqueue(&mut acme, &[own().in_domain(foreign)]).await.unwrap_err();
        assert!(
            format!("{refused:?}").contains("row-level security"),
            "{refused:?}"
        );
    }
    let mut globex = app(&db, GLOBEX).await;
    assert_eq!(number(&globex, "SELECT count(*) FROM queue_jobs").await, 0);
    assert_eq!(number(&globex, "SELECT count(*) FROM queue_job_batches").await, 0);
    let theirs = [jobs[0].id()];
    assert!(cancel(&mut globex, Some(ACME), &theirs).await.unwrap().is_empty());
    assert!(cancel(&mut globex, None, &theirs).await.unwrap().is_empty());
    let closed = enqueue(&mut globex, &[own().in_batch(batch)]).await.unwrap_err();
    assert!(
        matches!(closed, job_queue::Error::BatchClosed(_)),
        "another domain's batch is no batch: {closed:?}"
    );
    assert!(pause(&mut globex, "default").await.is_err());
    assert_eq!(cancel(&mut acme, None, &theirs).await.unwrap(), theirs);
    assert_eq!(retry(&mut acme, None, &theirs, 1).await.unwrap(), theirs);
}

#[tokio::test]
async fn operators_see_and_steer_all_domains() {
    let db = database().await;
    let mut owner = db.client().await;
    let theirs = add(&mut owner, job(&Mine {})).await;
    let mut operator = app(&db, PLATFORM).await;
    assert_eq!(number(&operator, "SELECT count(*) FROM queue_jobs").await, 1);
    assert_eq!(
        cancel(&mut operator, Some(ACME), &[theirs]).await.unwrap(),
        [theirs]
    );
    assert_eq!(
        retry(&mut operator, Some(ACME), &[theirs], 1).await.unwrap(),
        [theirs]
    );
    pause(&mut operator, "default").await.unwrap();
    assert!(job_queue::resume(&mut operator, "default").await.unwrap());
    assert_eq!(number(&operator, "SELECT count(*) FROM queue_workers").await, 0);
}

/// A handler works as a request would: as the app role in the job's domain, and completes the job there.
#[tokio::test]
async fn a_handler_completes_its_job_inside_of_its_domain() {
    let db = database().await;
    let mut client = db.client().await;
    let mut config = db.config.clone();
    config.options("-c role=plinth_app");
    let registry = Registry::new().handle(move |context: Context, _: Mine| {
        let config = config.clone();
        async move {
            let mut client = crate::scratch::connect(&config).await;
            let mut tx = client.transaction().await?;
            tx.execute(
                "SELECT set_config('plinth.domain_id', $1, true)",
                &[&context.domain().to_string()],
            )
            .await?;
            context.complete_in(&mut tx).await?;
            tx.commit().await?;
            Ok(())
        }
    });
    let batch = id();
    NewBatch::new(batch, "b")
        .in_domain(GLOBEX)
        .create(&mut client)
        .await
        .unwrap();
    let id = add(&mut client, job(&Mine {}).in_domain(GLOBEX).in_batch(batch)).await;
    let worker = start(&db, registry, options());
    until_state(&client, id, "completed").await;
    let progress = job_queue::batch_progress(&client, GLOBEX, batch)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((progress.total, progress.succeeded), (1, 1));
    assert_eq!(
        number(
            &client,
            "SELECT jsonb_array_length(errors)::bigint FROM queue_jobs"
        )
        .await,
        0
    );
    worker.stop().await;
}

/// A worker whose login is held by row level security sees no job: it does nothing, rather than something wrong.
#[tokio::test]
async fn a_worker_as_the_app_role_cannot_even_register() {
    let db = database().await;
    let mut client = db.client().await;
    let id = add(&mut client, job(&Mine {})).await;
    let mut config = db.config.clone();
    config.options("-c role=plinth_app");
    let registry = Registry::new().handle(|_, _: Mine| async { Ok(()) });
    let stop = CancellationToken::new();
    let running = tokio::spawn(Worker::new(&Connector::plain(config), registry, options()).run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(state(&client, id).await, "available");
    assert_eq!(number(&client, "SELECT count(*) FROM queue_workers").await, 0);
}
