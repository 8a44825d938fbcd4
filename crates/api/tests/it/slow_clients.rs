//! Clients that send slowly, take nothing or take little, and answers that would be very large.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use db_core::rbac::SystemRole;
use test_support::{ACME, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::app::TestApp;

const CARDS: usize = 60;

/// Asked for at once: more than the kernel keeps for a connection.
const PAGES: usize = 10;

/// A board with cards of 80 kB each. Returns the path of its cards.
async fn large_cards(app: &TestApp) -> String {
    let (board, column) = app.world.column(ACME).await;
    let sql = format!(
        "INSERT INTO cards (domain_id, id, project_id, board_id, column_id, number, rank, title, description)
         SELECT c.domain_id, gen_random_uuid(), c.project_id, c.board_id, c.id, n, 'a' || lpad(n::text, 5, '0') || 'x', 'Card ' || n,
                repeat('😀', 20000)
           FROM board_columns c, generate_series(1, {CARDS}) n WHERE c.id = '{column}'"
    );
    app.world.client().batch_execute(&sql).await.unwrap();
    format!("/api/v1/boards/{board}/cards?limit=200")
}

#[tokio::test]
async fn a_page_of_large_rows_is_shorter_and_the_next_goes_on() {
    let app = TestApp::start().await;
    let viewer = app.with_role(Some(SystemRole::Viewer)).await;
    let path = large_cards(&app).await;
    let (mut numbers, mut pages, mut next) = (BTreeSet::new(), 0, path.clone());
    loop {
        let answer = viewer.get(&next).await;
        assert!(answer.text.len() < 2_300_000, "{} bytes", answer.text.len());
        let page = answer.expect(200);
        for card in page["items"].as_array().unwrap() {
            assert!(
                numbers.insert(card["number"].as_i64().unwrap()),
                "{} came twice",
                card["number"]
            );
        }
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        next = format!("{path}&cursor={cursor}");
    }
    assert_eq!(numbers.len(), CARDS);
    assert_eq!(pages, 3, "4.8 MB in pages of 2 MiB");
}

/// A client whose own buffer is small, and which has asked for many pages, one behind the other.
async fn asks_for_much(app: &TestApp, path: &str, token: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let address = app.base.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\ncookie: plinth_session={token}\r\n\r\n");
    stream.write_all(request.repeat(PAGES).as_bytes()).await.unwrap();
    stream
}

/// Takes what comes until the server is gone, at first a little now and then. Returns how many bytes that were.
async fn take(stream: &mut TcpStream, slowly: Duration) -> usize {
    let begun = Instant::now();
    let mut taken = 0;
    let mut piece = vec![0; 8 * 1024];
    let all = async {
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            taken += count;
            if begun.elapsed() < slowly {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(15), all).await;
    assert!(ended.is_ok(), "the server still sends after 15 s");
    taken
}

#[tokio::test]
async fn who_does_not_read_holds_no_connection_of_the_database_and_is_cut_off() {
    let app = TestApp::start_with(TestDatabase::new().await, |config| {
        // One for each worker.
        config.database.pool_size = 2;
        config.database.acquire_timeout = Duration::from_secs(1);
        config.server.send_timeout = Duration::from_secs(1);
    })
    .await;
    let path = large_cards(&app).await;
    let token = app.world.session(ACME, app.world.first_user(ACME).await).await;
    let mut idlers = Vec::new();
    for _ in 0..6 {
        idlers.push(asks_for_much(&app, &path, &token).await);
    }
    let mut slow = asks_for_much(&app, &path, &token).await;
    let trickle = tokio::spawn(async move { take(&mut slow, Duration::from_secs(4)).await });

    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..10 {
        app.admin().await.get("/api/v1/organizations").await.expect(200);
    }

    tokio::time::sleep(Duration::from_secs(3)).await;
    let whole = PAGES * 2 * 1024 * 1024;
    for mut idler in idlers {
        let taken = take(&mut idler, Duration::ZERO).await;
        assert!(taken < whole, "all {taken} bytes came after all");
    }
    let taken = trickle.await.unwrap();
    assert!((1..whole).contains(&taken), "{taken} bytes came little by little");
    app.admin().await.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_the_clients_fault() {
    let app = TestApp::start_with(TestDatabase::new().await, |config| {
        config.server.request_timeout = Duration::from_millis(400);
    })
    .await;
    let token = app.world.session(ACME, app.world.first_user(ACME).await).await;
    for length in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut stream = TcpStream::connect(app.base.trim_start_matches("http://"))
            .await
            .unwrap();
        let head = format!(
            "POST /api/v1/organizations HTTP/1.1\r\nhost: localhost\r\ncookie: plinth_session={token}\r\n\
             content-type: application/json\r\n{length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
        assert!(matches!(read, Ok(Ok(_))), "the connection stays open: {answer}");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("connection: close"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["code"], &body["status"]),
            (&"body_timeout".into(), &408.into())
        );
    }
}
