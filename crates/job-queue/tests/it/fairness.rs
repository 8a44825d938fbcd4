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
    let typed = [
        (
            &hand.worker as &(dyn tokio_postgres::types::ToSql + Sync),
            tokio_postgres::types::Type::UUID,
        ),
        (&"default", tokio_postgres::types::Type::TEXT),
        (&0_i64, tokio_postgres::types::Type::INT8),
        (&10_i64, tokio_postgres::types::Type::INT8),
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
