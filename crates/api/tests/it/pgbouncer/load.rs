//! Two hundred requests at once of mixed domains, with clients that drop.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use db_core::Clock;
use futures_util::future::join_all;
use serde_json::{Value, json};
use test_support::{ACME, Actor, GLOBEX, PASSWORD, TestDatabase};

use super::{FEW, Login, PgBouncer, open_through, patient};
use crate::app::{Board, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_at_once_of_mixed_domains_with_clients_dropping() {
    let db = TestDatabase::new().await;
    let login = Login::make(&db, "api", "").await;
    let Some(pooler) = PgBouncer::start(&[(&login.name, PASSWORD)], &[FEW]) else {
        return;
    };
    let pooled = pooler.address(&db, &login.name, PASSWORD);
    let app = TestApp::start_with(db, |config| {
        patient(config);
        open_through(config, pooled);
    })
    .await;
    mixed_load(&app).await;
    drop((app, pooler, login));
}

/// A domain's own admin, board, and the word that its titles begin with.
struct Side {
    admin: Actor,
    board: Board,
    word: &'static str,
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Side {
    async fn new(app: &TestApp, admin: Actor, word: &'static str) -> Self {
        let board = app.board(&admin).await;
        app.card(&admin, &board.column, &format!("{word} first")).await;
        Self {
            admin,
            board,
            word,
            acknowledged: Mutex::default(),
        }
    }

    /// One request, whose answer must speak of this domain alone.
    async fn request(&self, other: &Self, n: usize) {
        match n % 5 {
            0 | 1 => {
                let title = format!("{} {}", self.word, Clock::System.uuid());
                let path = format!("/api/v1/columns/{}/cards", self.board.column);
                let card = self.admin.post(&path, &json!({"title": title})).await.expect(201);
                assert_eq!(card["title"], title);
                self.acknowledged.lock().unwrap().insert(title);
            }
            2 => {
                let path = format!("/api/v1/boards/{}/cards?limit=200", self.board.board);
                let list = self.admin.get(&path).await.expect(200);
                let items = list["items"].as_array().unwrap();
                assert!(!items.is_empty(), "{list}");
                for card in items {
                    assert!(card["title"].as_str().unwrap().starts_with(self.word), "{card}");
                }
            }
            3 => {
                let list = self.admin.get("/api/v1/organizations").await.expect(200);
                let ids: Vec<&Value> = list["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|o| &o["id"])
                    .collect();
                assert_eq!(ids, [&json!(self.board.organization)], "{list}");
            }
            _ => {
                let path = format!("/api/v1/boards/{}/cards", other.board.board);
                self.admin.get(&path).await.problem(404);
            }
        }
    }
}

/// Answers of one domain alone, acknowledged writes exactly once, no connection left inside of a transaction.
pub async fn mixed_load(app: &TestApp) {
    let sides = [
        Side::new(app, app.admin().await, ACME).await,
        Side::new(app, app.other_admin().await, GLOBEX).await,
    ];
    for round in 0..5_usize {
        join_all((0..200_usize).map(|n| {
            let sides = &sides;
            async move {
                let (side, other) = (&sides[n % 2], &sides[(n + 1) % 2]);
                let request = side.request(other, n / 2 + round);
                if n % 3 == 0 {
                    // The client hangs up somewhere on the way.
                    let patience = Duration::from_micros(500 + 731 * (n as u64 * 7 % 41));
                    let _ = tokio::time::timeout(patience, request).await;
                } else {
                    request.await;
                }
            }
        }))
        .await;
    }
    let client = app.world.client();
    for side in &sides {
        let domain = app.world.domain(side.word).await;
        let acknowledged: Vec<String> = side.acknowledged.lock().unwrap().iter().cloned().collect();
        assert!(
            acknowledged.len() > 60,
            "only {} cards were made",
            acknowledged.len()
        );
        let row = client
            .query_one(
                "SELECT count(*) FILTER (WHERE title = ANY ($2)), count(DISTINCT title), count(*),
                        count(*) FILTER (WHERE NOT title ^@ $3), count(DISTINCT number)
                   FROM cards WHERE domain_id = $1",
                &[&domain, &acknowledged, &side.word],
            )
            .await
            .unwrap();
        let count = |column: usize| usize::try_from(row.get::<_, i64>(column)).unwrap();
        assert_eq!(
            count(0),
            acknowledged.len(),
            "an acknowledged card is there exactly once"
        );
        assert_eq!(
            (count(1), count(4)),
            (count(2), count(2)),
            "no card twice, no number twice"
        );
        assert_eq!(count(3), 0, "a card of the other domain");
    }
    // The last of the dropped ones may still be rolling back.
    let started = Instant::now();
    loop {
        let left: Vec<String> = client
            .query(
                "SELECT pid || ' ' || usename || ' ' || state || ' ' || query FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect();
        if left.is_empty() {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "left inside of a transaction: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A connection that comes back from a client is nobody's: outside of a transaction it shows nothing.
    sides[0].admin.get("/readyz").await.expect(200);
}
