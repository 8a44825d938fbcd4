//! Keys and secrets: what is refused at start, and what a log may hold.

use std::time::Duration;

use db_core::models::session::SignIn;
use db_core::secrets::encrypted::ENCRYPTED;
use db_core::secrets::keyring::{Keyring, KeyringError};
use db_core::secrets::rotation::keys_rotate;
use db_core::setup::{KeyError, KeySource, SetupRequest, run};
use db_core::{Clock, Db, OpenError, Origin, Owner};
use local_postgres::{Durability, LocalPostgres, Options};
use pg_connect::ConnectOptions;
use secrecy::SecretString;
use test_support::{KEY, PASSWORD, ServerAddress, TestDatabase};

async fn open(db: &TestDatabase, key: &str) -> Result<Db, OpenError> {
    let config = db.config();
    let keyring = Keyring::parse(&SecretString::from(key)).unwrap();
    Db::open(
        &db.owner(),
        &config.database,
        &config.security,
        &keyring,
        Clock::System,
    )
    .await
}

#[tokio::test]
async fn a_wrong_or_missing_key_refuses_to_start() {
    let db = TestDatabase::new().await;
    open(&db, KEY).await.unwrap();
    let other = "another-key-0123456789abcdef0123456789abcdef";
    let wrong = open(&db, other).await;
    assert!(
        matches!(wrong, Err(OpenError::Keyring(KeyringError::Missing { .. }))),
        "{wrong:?}"
    );
    // A new key before the old one: both are there.
    open(&db, &format!("{other},{KEY}")).await.unwrap();

    let empty = tempfile::tempdir().unwrap();
    let missing = KeySource::new(None, empty.path()).load();
    assert!(matches!(missing, Err(KeyError::Missing(_))), "{missing:?}");
    let short = KeySource::new(Some(SecretString::from("short")), empty.path()).load();
    assert!(short.unwrap_err().to_string().contains("has 5 bytes"));
}

#[tokio::test]
async fn a_ciphertext_that_was_moved_does_not_decrypt() {
    let db = TestDatabase::new().await;
    let client = db.superuser().await;
    client
        .batch_execute(
            "INSERT INTO installation_secrets (name, id, key_id, ciphertext)
             SELECT name, 2, key_id, ciphertext FROM installation_secrets WHERE id = 1",
        )
        .await
        .unwrap();
    let moved = open(&db, KEY).await;
    assert!(
        moved
            .unwrap_err()
            .to_string()
            .contains("Wrong key or corrupt data")
    );
}

const NEWER_KEY: &str = "newer-key-0123456789abcdef0123456789abcdef";

/// Everything that a server can be made to write into its log.
const LOUD: &[(&str, &str)] = &[
    ("log_statement", "all"),
    ("log_min_duration_statement", "0"),
    ("shared_preload_libraries", "auto_explain,pg_stat_statements"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_verbose", "on"),
    ("auto_explain.log_nested_statements", "on"),
    ("pg_stat_statements.track", "all"),
];

/// Sets up, signs in rightly and wrongly, and returns the log and what pg_stat_statements kept.
fn log_of_a_server(parameters: &str) -> String {
    let directory = tempfile::Builder::new().prefix("plinth-log-").tempdir().unwrap();
    let mut options = Options::new(directory.path().join("pg"), Durability::Disposable);
    let mut settings = LOUD.to_vec();
    settings.extend([
        ("log_parameter_max_length", parameters),
        ("log_parameter_max_length_on_error", parameters),
    ]);
    options.settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let server = LocalPostgres::start(options).unwrap();
    let address = ServerAddress::of(&server).database(&server.address().database);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let statements = runtime.block_on(async {
        let owner = Owner::new(&address, ConnectOptions::default()).unwrap();
        let key = SecretString::from(KEY);
        let keys = KeySource::new(Some(key.clone()), directory.path());
        let request = SetupRequest {
            operator_password: Some(SecretString::from(PASSWORD)),
            ..SetupRequest::default()
        };
        let outcome = run(&owner, &keys, &Clock::System, 10, None, &request)
            .await
            .unwrap();
        let mut config = app_config::Config::default();
        config.database.address = Some(address.clone());
        let db = Db::open(
            &owner,
            &config.database,
            &config.security,
            &outcome.keyring,
            Clock::System,
        )
        .await
        .unwrap();
        let pool = db.pool(1);
        for (password, fits) in [(PASSWORD, true), ("a wrong password", false)] {
            let sign_in = SignIn {
                host: None,
                domain: Some("default"),
                email: "admin@localhost",
                password: &SecretString::from(password),
                user_agent: None,
                idle: Duration::from_secs(60),
                lifetime: Duration::from_secs(60),
            };
            assert_eq!(pool.sign_in(&sign_in, &Origin::default()).await.is_ok(), fits);
        }
        let keyring = Keyring::parse(&SecretString::from(format!("{NEWER_KEY},{KEY}"))).unwrap();
        let rotated = keys_rotate(&owner, &keyring, &Clock::System, ENCRYPTED, |_| {})
            .await
            .unwrap();
        assert!(rotated.values > 0);
        let socket = format!(
            "host={} port={} user={} dbname={}",
            address.host, address.port, address.user, address.database
        );
        let (client, connection) = tokio_postgres::connect(&socket, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
            .batch_execute("CREATE EXTENSION pg_stat_statements")
            .await
            .unwrap();
        let rows = client
            .query("SELECT query FROM pg_stat_statements", &[])
            .await
            .unwrap();
        rows.iter()
            .map(|row| row.get::<_, String>(0))
            .collect::<Vec<_>>()
            .join("\n")
    });
    drop(runtime);
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    server.stop().unwrap();
    assert!(log.contains("authenticate"), "the log holds the statements");
    format!("{log}\n{statements}")
}

#[test]
fn a_log_of_everything_holds_no_master_key_and_no_password() {
    let log = log_of_a_server("-1");
    assert!(log.contains("PGP_SYM") || log.contains("pgp_sym_encrypt"));
    for secret in [KEY, NEWER_KEY, PASSWORD, "a wrong password"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn with_the_shipped_settings_the_log_holds_no_bound_value() {
    let log = log_of_a_server("0");
    // auto_explain prints what a plan was made with, in spite of the settings: the e-mail address shows that we looked.
    let parameters = log.lines().filter(|line| line.contains("parameters: $1")).count();
    assert_eq!(parameters, 0, "bound values are in the log");
    for secret in [KEY, NEWER_KEY, PASSWORD, "a wrong password"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
