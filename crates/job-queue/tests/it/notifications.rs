//! Workers hear of new jobs, and find them without.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use job_queue::{Connector, Job, Notifier, Registry};
use serde::{Deserialize, Serialize};
use tokio_postgres::{AsyncMessage, NoTls};

use crate::support::{add, database, job, options, start, until_state};

#[derive(Serialize, Deserialize)]
struct Ping {}

impl Job for Ping {
    const NAME: &'static str = "ping";
}

fn registry() -> Registry {
    Registry::new().handle(|_, _: Ping| async { Ok(()) })
}

#[tokio::test]
async fn a_notified_worker_does_not_wait_for_its_poll() {
    let db = database().await;
    let mut client = db.client().await;
    let mut options = options();
    options.poll = Duration::from_secs(3600);
    let worker = start(&db, registry(), options);
    let notifier = Notifier::start(&Connector::plain(db.config.clone()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    for _ in 0..5 {
        let id = add(&mut client, job(&Ping {})).await;
        notifier.notify("default");
        until_state(&client, id, "completed").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    worker.stop().await;
}

#[tokio::test]
async fn without_notifications_the_poll_finds_jobs() {
    let db = database().await;
    let mut client = db.client().await;
    let worker = start(&db, registry(), options());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let id = add(&mut client, job(&Ping {})).await;
    until_state(&client, id, "completed").await;
    worker.stop().await;
}

/// A worker in the same process needs no database to hear of a job.
#[tokio::test]
async fn a_worker_of_the_same_process_is_woken_directly() {
    let db = database().await;
    let mut client = db.client().await;
    let mut options = options();
    options.poll = Duration::from_secs(3600);
    let worker = start(&db, registry(), options);
    // A notifier whose own connection never works.
    let notifier = Notifier::start(&Connector::new(|| async { Err("no connection".into()) }));
    notifier.add_local(worker.handle.clone());
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = add(&mut client, job(&Ping {})).await;
    notifier.notify("default");
    until_state(&client, id, "completed").await;
    worker.stop().await;
}

#[tokio::test]
async fn a_thousand_jobs_make_a_few_notifications() {
    let db = database().await;
    let (client, mut connection) = db.config.connect(NoTls).await.unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noting = Arc::clone(&heard);
    let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(note) = message {
                noting.lock().unwrap().push(note.payload().to_owned());
            }
        }
    });
    client.batch_execute("LISTEN job_queue").await.unwrap();
    let notifier = Notifier::start(&Connector::plain(db.config.clone()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(300) {
        for queue in ["one", "two"] {
            notifier.notify(queue);
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let heard = heard.lock().unwrap();
    let ticks = usize::try_from(begun.elapsed().as_millis() / Notifier::TICK.as_millis()).unwrap() + 2;
    for queue in ["q one", "q two"] {
        let count = heard.iter().filter(|payload| *payload == queue).count();
        assert!((2..=ticks).contains(&count), "{queue}: {count} of {ticks}");
    }
}
