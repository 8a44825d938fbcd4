//! A domain with very many waiting jobs does not starve another.

use std::time::Duration;

use job_queue::{Job, NewJob, QueueOptions, Registry, enqueue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::scratch::{ACME, GLOBEX};
use crate::support::{ByHand, database, id, number, options, start, until};

#[derive(Serialize, Deserialize)]
struct Bit {}

impl Job for Bit {
    const NAME: &'static str = "bit";
}

fn bits(domain: Uuid, count: usize) -> Vec<NewJob> {
    (0..count)
        .map(|_| NewJob::new(id(), &Bit {}).unwrap().in_domain(domain))
        .collect()
}

#[tokio::test]
async fn domains_alternate() {
    let db = database().await;
    let mut client = db.client().await;
    enqueue(&mut client, &bits(ACME, 20_000)).await.unwrap();
    let late = bits(GLOBEX, 50);
    enqueue(&mut client, &late).await.unwrap();
    let hand = ByHand::register(&db).await;
    let order = hand.claim(100).await;
    let theirs = order
        .iter()
        .filter(|(id, _)| late.iter().any(|job| job.id() == *id))
        .count();
    assert_eq!(theirs, 50, "half of the first hundred");
}

/// A domain that comes when another has been served for long begins at the turn being served: it neither waits for the other's
/// backlog, nor is it paid for the time before.
#[tokio::test]
async fn a_newcomer_shares_from_now_on() {
    let db = database().await;
    let mut client = db.client().await;
    enqueue(&mut client, &bits(ACME, 3000)).await.unwrap();
    let hand = ByHand::register(&db).await;
    let served = hand.claim(1000).await;
    let publish = include_str!("../../src/sql/publish_turn.sql");
    let turn: i64 = client
        .query_one(
            "SELECT turn FROM queue_jobs WHERE id = $1",
            &[&served.last().unwrap().0],
        )
        .await
        .unwrap()
        .get(0);
    client.execute(publish, &[&"default", &turn]).await.unwrap();
    let late = bits(GLOBEX, 1000);
    enqueue(&mut client, &late).await.unwrap();
    let order = hand.claim(1000).await;
    let theirs = order
        .iter()
        .filter(|(id, _)| late.iter().any(|job| job.id() == *id))
        .count();
    assert!((499..=501).contains(&theirs), "{theirs} of 1000");
    // And what the first domain adds now goes behind its own backlog.
    let more = bits(ACME, 1);
    enqueue(&mut client, &more).await.unwrap();
    let rest = hand.claim(10_000).await;
    assert_eq!(rest.last().unwrap().0, more[0].id());
}

#[tokio::test]
async fn the_claim_reads_only_what_it_takes() {
    let db = database().await;
    let mut client = db.client().await;
    for _ in 0..4 {
        enqueue(&mut client, &bits(ACME, 5000)).await.unwrap();
    }
    enqueue(&mut client, &bits(GLOBEX, 100)).await.unwrap();
    let hand = ByHand::register(&db).await;
    hand.claim(5000).await;
    // As the worker's connections plan it, without statistics.
    client
        .batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    let plan = format!(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {}",
        include_str!("../../src/sql/claim.sql")
    );
    let none = Vec::<Uuid>::new();
    let typed = [
        (
            &hand.worker as &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type::UUID,
        ),
        (&"default", tokio_postgres::types::Type::TEXT),
        (&0_i64, tokio_postgres::types::Type::INT8),
        (&10_i64, tokio_postgres::types::Type::INT8),
        (&i64::MAX, tokio_postgres::types::Type::INT8),
        (&none, tokio_postgres::types::Type::UUID_ARRAY),
        (&None::<Uuid>, tokio_postgres::types::Type::UUID),
    ];
    let rows = client.query_typed(&plan, &typed).await.unwrap();
    let json: serde_json::Value = rows[0].get(0);
    let text = json.to_string();
    assert!(text.contains("queue_jobs_claim_idx"), "{text}");
    assert!(!text.contains("\"Sort\"") && !text.contains("Seq Scan"), "{text}");
}

/// The whole way, through a worker that is busy with the other domain: of 20,000 jobs that were there before, a few run first.
#[tokio::test]
async fn a_busy_worker_lets_another_domain_in_at_once() {
    let db = database().await;
    let mut client = db.client().await;
    for _ in 0..4 {
        enqueue(&mut client, &bits(ACME, 5000)).await.unwrap();
    }
    let registry = Registry::new().handle(|_, _: Bit| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    });
    let mut options = options();
    options.queues = vec![QueueOptions::new("default").concurrency(4)];
    let worker = start(&db, registry, options);
    let theirs = |domain: Uuid| {
        format!("SELECT count(*) FROM queue_jobs WHERE domain_id = '{domain}' AND state = 'completed'")
    };
    until(
        &client,
        "SELECT count(*) >= 500 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    for _ in 0..5 {
        let before = number(&client, &theirs(ACME)).await;
        let late = bits(GLOBEX, 1);
        enqueue(&mut client, &late).await.unwrap();
        let id = late[0].id();
        until(
            &client,
            &format!("SELECT state = 'completed' FROM queue_jobs WHERE id = '{id}'"),
        )
        .await;
        let overtaken = number(&client, &theirs(ACME)).await - before;
        assert!(overtaken < 1500, "{overtaken} of the other domain's ran first");
    }
    assert!(
        number(&client, &theirs(ACME)).await < 15_000,
        "the backlog must last until the end of the test"
    );
    worker.stop().await;
}

/// A domain that puts in nothing but urgent jobs has the greater share, not all of it.
#[tokio::test]
async fn urgent_jobs_of_one_domain_do_not_starve_normal_ones_of_another() {
    let db = database().await;
    let mut client = db.client().await;
    let urgent: Vec<_> = bits(ACME, 5000)
        .into_iter()
        .map(|job| job.priority(job_queue::Priority::Urgent))
        .collect();
    enqueue(&mut client, &urgent).await.unwrap();
    let late = bits(GLOBEX, 20);
    enqueue(&mut client, &late).await.unwrap();
    let hand = ByHand::register(&db).await;
    let order = hand.claim(1500).await;
    let theirs = order
        .iter()
        .filter(|(id, _)| late.iter().any(|job| job.id() == *id))
        .count();
    assert_eq!(theirs, 20, "each after 64 urgent ones");
}

#[derive(Serialize, Deserialize)]
struct Nap {}

impl Job for Nap {
    const NAME: &'static str = "nap";
}

fn naps(domain: Uuid, count: usize) -> Vec<NewJob> {
    (0..count)
        .map(|_| NewJob::new(id(), &Nap {}).unwrap().in_domain(domain))
        .collect()
}

fn long_and_short() -> Registry {
    Registry::new()
        .handle(|_, _: Nap| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(())
        })
        .handle(|_, _: Bit| async { Ok(()) })
}

fn with_slots(slots: usize) -> job_queue::WorkerOptions {
    let mut options = options();
    options.queues = vec![QueueOptions::new("default").concurrency(slots)];
    // Nothing is found by the look that finds everything.
    options.look_back = Duration::from_secs(600);
    options
}

/// A thousand jobs of one domain that run for a minute take three quarters of the slots of each worker, and no more. Another domain's short
/// ones begin at once, one after the other, in what is left, however many there are; and a third one's beside them.
#[tokio::test]
async fn long_jobs_of_one_domain_leave_slots_for_others() {
    let db = database().await;
    let mut client = db.client().await;
    enqueue(&mut client, &naps(ACME, 1000)).await.unwrap();
    let first = start(&db, long_and_short(), with_slots(8));
    let second = start(&db, long_and_short(), with_slots(4));
    // What was claimed beyond that goes back into line.
    until(
        &client,
        "SELECT count(*) FILTER (WHERE state = 'running') = 6 + 3 AND count(*) FILTER (WHERE state = 'available') = 991 FROM queue_jobs",
    )
    .await;
    for domain in [GLOBEX, crate::scratch::PLATFORM] {
        let one = bits(domain, 1);
        enqueue(&mut client, &one).await.unwrap();
        first.handle.wake("default");
        let begun = std::time::Instant::now();
        until(
            &client,
            &format!(
                "SELECT state = 'completed' FROM queue_jobs WHERE id = '{}'",
                one[0].id()
            ),
        )
        .await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    // Many, so that they pass what waits of the first domain.
    enqueue(&mut client, &bits(GLOBEX, 3000)).await.unwrap();
    first.handle.wake("default");
    until(
        &client,
        "SELECT count(*) = 3002 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    let naps = number(
        &client,
        "SELECT count(*) FROM queue_jobs WHERE kind = 'nap' AND state = 'running'",
    )
    .await;
    assert_eq!(naps, 9);
    // Once each, not over and over.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let handed_back = number(
        &client,
        "SELECT coalesce(sum(jsonb_array_length(errors)), 0)::bigint FROM queue_jobs WHERE kind = 'nap'",
    )
    .await;
    assert!((3..=12).contains(&handed_back), "{handed_back} handed back");
    first.stop().await;
    second.stop().await;
}

/// What was passed over is run when its domain has slots again: all of it, though others have gone by.
#[tokio::test]
async fn what_was_passed_over_is_not_forgotten() {
    let db = database().await;
    let mut client = db.client().await;
    let registry = Registry::new()
        .handle(|_, _: Nap| async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            Ok(())
        })
        .handle(|_, _: Bit| async { Ok(()) });
    let worker = start(&db, registry, with_slots(8));
    enqueue(&mut client, &naps(ACME, 300)).await.unwrap();
    worker.handle.wake("default");
    // Each goes behind the turn that is being served, which moves past what waits of the first domain.
    for _ in 0..20 {
        enqueue(&mut client, &bits(GLOBEX, 50)).await.unwrap();
        worker.handle.wake("default");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    enqueue(&mut client, &naps(ACME, 50)).await.unwrap();
    worker.handle.wake("default");
    until(
        &client,
        "SELECT count(*) = 1350 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    worker.stop().await;
}

/// A single domain is served as fast as its slots allow, with nobody else there: 7 of 8 or more of what three quarters of them do.
#[tokio::test]
async fn a_domain_alone_keeps_its_slots_busy() {
    let db = database().await;
    let mut client = db.client().await;
    let running = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let registry = {
        let (running, most) = (std::sync::Arc::clone(&running), std::sync::Arc::clone(&most));
        Registry::new().handle(move |_, _: Bit| {
            let (running, most) = (std::sync::Arc::clone(&running), std::sync::Arc::clone(&most));
            async move {
                use std::sync::atomic::Ordering::SeqCst;
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                running.fetch_sub(1, SeqCst);
                Ok(())
            }
        })
    };
    enqueue(&mut client, &bits(ACME, 1000)).await.unwrap();
    let begun = std::time::Instant::now();
    let worker = start(&db, registry, with_slots(32));
    until(
        &client,
        "SELECT count(*) = 1000 FROM queue_jobs WHERE state = 'completed'",
    )
    .await;
    let took = begun.elapsed();
    worker.stop().await;
    assert_eq!(most.load(std::sync::atomic::Ordering::SeqCst), 24);
    // 42 rounds of 30 ms; one claim for each job, and one at a time, would take longer than that.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
