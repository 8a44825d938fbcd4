//! What the server may say to a login, and that every kind of connection can be used.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use app_config::{DatabaseAddress, Ssl, SslMode};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use pg_connect::{Cause, ConnectError, ConnectOptions, Connected, Connector, Protection};
use secrecy::SecretString;

use crate::certificates::{authority, named, signed};
use crate::server::{Server, ssl};

const PASSWORD: &str = "correct horse battery staple";

async fn open(address: &DatabaseAddress) -> Result<Connected, ConnectError> {
    let options = ConnectOptions {
        application_name: Some("plinth-test".to_owned()),
        ..ConnectOptions::default()
    };
    Connector::new(address, options)?.connect().await
}

async fn refusal(address: &DatabaseAddress) -> ConnectError {
    let error = open(address).await.err().expect("the login must be refused");
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error:?}");
    error
}

#[tokio::test]
async fn every_refusal_names_cause_and_cure() {
    let server = Server::start("host all all 127.0.0.1/32 scram-sha-256\n");
    server
        .run(&format!(
            "CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
             CREATE ROLE full_up LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
             CREATE ROLE no_login PASSWORD '{PASSWORD}'"
        ))
        .await;
    // Outside a transaction, so one by one.
    server.run("CREATE DATABASE closed").await;
    server.run("REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await;
    let login = |user: &str, password: Option<&str>, database: &str| DatabaseAddress {
        user: user.to_owned(),
        password: password.map(SecretString::from),
        database: database.to_owned(),
        ..server.address("127.0.0.1", Ssl::default())
    };

    let opened = open(&login("app", Some(PASSWORD), "postgres")).await.unwrap();
    assert_eq!(opened.protection, Protection::Plain);
    assert!(!opened.protection.is_verified());

    let error = refusal(&login("app", Some("wrong"), "postgres")).await;
    assert!(matches!(*error.cause, Cause::WrongPassword(_)), "{error}");
    assert_eq!(error.sql_state().unwrap().code(), "28P01");

    // The server hides whether the role exists.
    let error = refusal(&login("nobody", Some(PASSWORD), "postgres")).await;
    assert!(matches!(*error.cause, Cause::WrongPassword(_)), "{error}");

    let error = refusal(&login("app", None, "postgres")).await;
    assert!(matches!(*error.cause, Cause::PasswordMissing), "{error}");

    let error = refusal(&login("app", Some(PASSWORD), "nowhere")).await;
    assert!(matches!(*error.cause, Cause::UnknownDatabase(_)), "{error}");
    assert!(
        error.to_string().contains("\"nowhere\" does not exist"),
        "{error}"
    );
    assert!(error.cure().contains("create the database"), "{error}");

    let error = refusal(&login("app", Some(PASSWORD), "closed")).await;
    assert!(matches!(*error.cause, Cause::Forbidden(_)), "{error}");
    assert!(error.cure().contains("GRANT CONNECT"), "{error}");

    let error = refusal(&login("full_up", Some(PASSWORD), "postgres")).await;
    assert!(matches!(*error.cause, Cause::TooManyConnections(_)), "{error}");
    assert!(error.is_transient());

    let error = refusal(&login("no_login", Some(PASSWORD), "postgres")).await;
    assert!(matches!(*error.cause, Cause::RoleMissing(_)), "{error}");
}

#[tokio::test]
async fn a_missing_role_is_named_where_no_password_hides_it() {
    let server = Server::start("host all all 127.0.0.1/32 trust\n");
    let address = DatabaseAddress {
        user: "nobody".to_owned(),
        ..server.address("127.0.0.1", Ssl::default())
    };
    let error = refusal(&address).await;
    assert!(matches!(*error.cause, Cause::RoleMissing(_)), "{error}");
    assert!(
        error.to_string().contains("role \"nobody\" does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn passwords_work_over_tls_and_prefer_reports_the_first_refusal() {
    let ca = authority("Authority");
    let leaf = signed(named("db", &["localhost"]), &ca);
    let server = Server::start_with_tls("hostssl all all 127.0.0.1/32 scram-sha-256\n", &leaf, &[]);
    server
        .run(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"))
        .await;
    let root = server.write("root.crt", &ca.pem());
    let login = |password: &str, mode| DatabaseAddress {
        user: "app".to_owned(),
        password: Some(SecretString::from(password)),
        ..server.address("localhost", ssl(mode, Some(&root)))
    };
    for mode in [SslMode::Prefer, SslMode::VerifyFull] {
        let opened = open(&login(PASSWORD, mode)).await.unwrap();
        assert!(matches!(opened.protection, Protection::Tls { .. }));
        // Without the retry's "no encryption", which would send the reader the wrong way.
        let error = refusal(&login("wrong", mode)).await;
        assert!(
            matches!(*error.cause, Cause::WrongPassword(_)),
            "{mode:?}: {error}"
        );
    }
}

#[derive(diesel::QueryableByName)]
struct Session {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

#[tokio::test]
async fn diesel_takes_socket_plain_and_tls_alike() {
    let ca = authority("Authority");
    let leaf = signed(named("db", &["localhost"]), &ca);
    let server = Server::start_with_tls("host all all 127.0.0.1/32 trust\n", &leaf, &[]);
    let root = server.write("root.crt", &ca.pem());
    for address in [
        server.address(server.sockets().to_str().unwrap(), Ssl::default()),
        server.address("127.0.0.1", ssl(SslMode::Disable, None)),
        server.address("localhost", ssl(SslMode::VerifyFull, Some(&root))),
    ] {
        let opened = open(&address).await.unwrap();
        let mut connection = AsyncPgConnection::try_from_client_and_connection(opened.client, opened.driver)
            .await
            .unwrap();
        let session: Session = diesel::sql_query("SELECT current_setting('application_name') AS name")
            .get_result(&mut connection)
            .await
            .unwrap();
        assert_eq!(session.name, "plinth-test");
    }
}

/// A server that answers every login with one refusal, as the protocol has it.
fn server_that_says(state: &str, routine: &str, message: &str) -> DatabaseAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut fields = Vec::new();
    for (tag, value) in [
        ('S', "FATAL"),
        ('V', "FATAL"),
        ('C', state),
        ('M', message),
        ('R', routine),
    ] {
        fields.push(tag as u8);
        fields.extend(value.as_bytes());
        fields.push(0);
    }
    fields.push(0);
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut startup = [0; 512];
        let _read = stream.read(&mut startup).unwrap();
        stream.write_all(b"E").unwrap();
        stream
            .write_all(&u32::try_from(fields.len() + 4).unwrap().to_be_bytes())
            .unwrap();
        stream.write_all(&fields).unwrap();
    });
    DatabaseAddress {
        host: "127.0.0.1".to_owned(),
        port,
        database: "plinth".to_owned(),
        user: "app".to_owned(),
        password: None,
        ssl: ssl(SslMode::Disable, None),
    }
}

#[tokio::test]
async fn passing_states_are_told_from_lasting_ones() {
    for (state, routine, message, name, transient) in [
        (
            "57P03",
            "ProcessStartupPacket",
            "the database system is starting up",
            "NotReady",
            true,
        ),
        (
            "57P03",
            "ProcessStartupPacket",
            "the database system is shutting down",
            "NotReady",
            true,
        ),
        (
            "57P01",
            "ProcessInterrupts",
            "terminating connection due to administrator command",
            "NotReady",
            true,
        ),
        (
            "53300",
            "InitProcess",
            "sorry, too many clients already",
            "TooManyConnections",
            true,
        ),
        // The words are the server's language; the routine is not.
        (
            "28000",
            "ClientAuthentication",
            "kein pg_hba.conf-Eintrag, keine Verschlüsselung",
            "TlsRequired",
            false,
        ),
        (
            "28000",
            "auth_failed",
            "Peer authentication failed for user \"app\"",
            "NotAdmitted",
            false,
        ),
        (
            "28000",
            "ClientAuthentication",
            "connection requires a valid client certificate",
            "ClientCertificate",
            false,
        ),
        (
            "55000",
            "InitPostgres",
            "database \"plinth\" is not currently accepting connections",
            "Server",
            false,
        ),
        // PgBouncer's own words for a database it does not know.
        ("3D000", "", "no such database: plinth", "UnknownDatabase", false),
    ] {
        let error = refusal(&server_that_says(state, routine, message)).await;
        let variant = format!("{:?}", error.cause);
        assert!(variant.starts_with(name), "{state} {message}: {variant}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}
