//! The login that the operator gave for requests.

use std::time::Duration;

use test_support::{TestDatabase, test_server};
use tokio_postgres::{Client, NoTls};

use crate::app::{Server, TestApp};

const SHOW: &str = "SHOW idle_in_transaction_session_timeout";

/// Whatever abandons a transaction of the API's, a pooler or a stuck process, the server ends it in the configured time.
#[tokio::test]
async fn its_idle_transactions_end_in_the_configured_time() {
    let (db, elsewhere) = (TestDatabase::new().await, TestDatabase::empty().await);
    let login = format!("{}_given", db.name());
    let superuser = db.superuser().await;
    superuser
        .batch_execute(&format!("CREATE ROLE {login} LOGIN"))
        .await
        .unwrap();
    let app = TestApp::start_with(db, |config| {
        config.database.direct = config.database.address.clone();
        config.database.address.as_mut().unwrap().user.clone_from(&login);
        config.database.idle_in_transaction_timeout = Duration::from_millis(300);
    })
    .await;
    app.admin().await.get("/api/v1/organizations").await.expect(200);

    let client = connect(&login, app.db.name()).await;
    assert_eq!(shown(&client).await, "300ms");
    client.batch_execute("BEGIN").await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while !client.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the transaction idles on");

    // Nowhere else, and anew when the configuration changes.
    superuser
        .batch_execute(&format!(
            "GRANT CONNECT ON DATABASE {} TO {login}",
            elsewhere.name()
        ))
        .await
        .unwrap();
    assert_eq!(shown(&connect(&login, elsewhere.name()).await).await, "0");
    let mut config = app.db.config();
    config.database.direct = config.database.address.clone();
    config.database.address.as_mut().unwrap().user.clone_from(&login);
    config.database.idle_in_transaction_timeout = Duration::from_secs(20);
    drop(Server::start(config));
    assert_eq!(shown(&connect(&login, app.db.name()).await).await, "20s");

    let clean = format!(
        "REVOKE ALL ON DATABASE {}, {} FROM {login}; DROP ROLE {login}",
        app.db.name(),
        elsewhere.name()
    );
    superuser.batch_execute(&clean).await.unwrap();
}

async fn connect(login: &str, database: &str) -> Client {
    let server = test_server();
    let text = format!(
        "host={} port={} user={login} dbname={database}",
        server.socket_dir.display(),
        server.port
    );
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn shown(client: &Client) -> String {
    client.query_one(SHOW, &[]).await.unwrap().get(0)
}
