//! Two installations on one server do not open each other's doors.

use std::path::Path;

use app_config::DatabaseAddress;
use db_core::secrets::keyring::Keyring;
use db_core::setup::{self, KeySource, SetupRequest};
use db_core::{Clock, Db};
use pg_connect::{ConnectOptions, Connector};
use secrecy::SecretString;
use test_support::{KEY, TestDatabase};

#[tokio::test]
async fn the_login_of_one_installation_does_not_open_another() {
    let (ours, theirs) = (TestDatabase::new().await, TestDatabase::new().await);
    drop((ours.db().await, theirs.db().await));
    let mut address = theirs.address();
    address.user = format!("plinth_app_{}", ours.name());
    let refusal = refusal(&address).await;
    assert!(refusal.contains("permission denied for database"), "{refusal}");
}

/// The operator's own logins shut the door as well, and so does setup before anything was served.
#[tokio::test]
async fn doors_are_shut_also_with_given_logins_and_before_the_first_start() {
    let (ours, theirs, empty) = (
        TestDatabase::new().await,
        TestDatabase::new().await,
        TestDatabase::empty().await,
    );
    let login = format!("{}_api", ours.name());
    let client = ours.superuser().await;
    client
        .batch_execute(&format!("CREATE ROLE {login} LOGIN"))
        .await
        .unwrap();
    for db in [&ours, &theirs] {
        let open = format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", db.name());
        client.batch_execute(&open).await.unwrap();
    }
    let other = format!("{}_api", theirs.name());
    client
        .batch_execute(&format!("CREATE ROLE {other} LOGIN"))
        .await
        .unwrap();
    for (db, login) in [(&ours, &login), (&theirs, &other)] {
        let mut config = db.config();
        config.database.direct = config.database.address.clone();
        config.database.address.as_mut().unwrap().user.clone_from(login);
        let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
        Db::open(
            &db.owner(),
            &config.database,
            &config.security,
            &keyring,
            Clock::System,
        )
        .await
        .unwrap();
    }
    let mut address = theirs.address();
    address.user.clone_from(&login);
    assert!(refusal(&address).await.contains("permission denied for database"));

    let keys = KeySource::new(Some(SecretString::from(KEY)), Path::new("/nonexistent"));
    let request = SetupRequest::default();
    setup::run(&empty.owner(), &keys, &Clock::System, 10, None, &request)
        .await
        .unwrap();
    address.database = empty.name().to_owned();
    assert!(refusal(&address).await.contains("permission denied for database"));

    for (db, login) in [(&ours, &login), (&theirs, &other)] {
        let clean = format!(
            "REVOKE ALL ON DATABASE {} FROM {login}; DROP ROLE {login}",
            db.name()
        );
        client.batch_execute(&clean).await.unwrap();
    }
}

/// What the server says to a login that it does not let in.
async fn refusal(address: &DatabaseAddress) -> String {
    let connector = Connector::new(address, ConnectOptions::default()).unwrap();
    match connector.connect().await {
        Ok(_) => panic!("{address} opened the door"),
        Err(error) => error.to_string(),
    }
}
