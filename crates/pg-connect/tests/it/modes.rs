//! Certificates times modes: every cell as the table says, and as libpq does.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use app_config::{DatabaseAddress, SslMode};
use pg_connect::{Cause, ConnectError, ConnectOptions, Connector, Protection};

use crate::cases::cases;
use crate::certificates::{authority, named, signed};
use crate::psql::{self, Outcome};
use crate::server::{Server, ssl};

pub const MODES: [SslMode; 5] = [
    SslMode::Disable,
    SslMode::Prefer,
    SslMode::Require,
    SslMode::VerifyCa,
    SslMode::VerifyFull,
];
pub const TRUST: &str = "host all all 127.0.0.1/32 trust\n";

fn letter(outcome: Outcome) -> char {
    match outcome {
        Outcome::Tls => 't',
        Outcome::Plain => 'p',
        Outcome::Refused => '-',
    }
}

/// `localhost` goes through the resolver; all other names exist nowhere and come with their address.
fn host_addr(host: &str) -> Option<IpAddr> {
    (host != "localhost").then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Connects, and checks that the server agrees on the protection.
pub async fn connect(address: &DatabaseAddress) -> Result<Protection, ConnectError> {
    let options = ConnectOptions {
        host_addr: host_addr(&address.host),
        ..ConnectOptions::default()
    };
    let opened = Connector::new(address, options)?.connect().await?;
    let driver = tokio::spawn(opened.driver);
    // What we say of the protection is what the server says.
    let row = opened
        .client
        .query_one(
            "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await
        .unwrap();
    let version: Option<String> = row.get(1);
    match opened.protection {
        Protection::Tls { version: ours, .. } => {
            assert_eq!(version.unwrap().replace("TLSv", "TLS "), ours.to_string());
        }
        Protection::Plain | Protection::UnixSocket => assert!(!row.get::<_, bool>(0)),
    }
    drop(opened.client);
    driver.await.unwrap().unwrap();
    Ok(opened.protection)
}

fn outcome(result: &Result<Protection, ConnectError>) -> Outcome {
    match result {
        Ok(Protection::Tls { .. }) => Outcome::Tls,
        Ok(Protection::Plain | Protection::UnixSocket) => Outcome::Plain,
        Err(_) => Outcome::Refused,
    }
}

/// Our outcomes of all modes, and libpq's where psql is installed.
async fn row(server: &Server, host: &str, root: Option<&Path>) -> (String, Option<String>, String) {
    let (mut ours, mut theirs, mut words) = (String::new(), Some(String::new()), String::new());
    for mode in MODES {
        let address = server.address(host, ssl(mode, root));
        let result = connect(&address).await;
        ours.push(letter(outcome(&result)));
        words += &format!(
            "\n  {}: {:?}",
            mode.as_str(),
            result.map_err(|error| error.to_string())
        );
        let ip = host_addr(host).map(|ip| ip.to_string());
        let verdict = psql::connect(&address, ip.as_deref(), server.directory.path());
        if let Some((_, said)) = &verdict {
            words += &format!("\n    psql: {said}");
        }
        theirs = theirs
            .zip(verdict)
            .map(|(text, (outcome, _))| text + letter(outcome).encode_utf8(&mut [0; 4]));
    }
    (ours, theirs, words)
}

#[tokio::test]
async fn every_certificate_in_every_mode_as_libpq() {
    let first = authority("First");
    let mut server = Server::start_with_tls(TRUST, &signed(named("db", &["db.test"]), &first), &[]);
    let mut wrong = Vec::new();
    for case in cases() {
        server.use_certificate(&case.leaf);
        let root = server.write("root.crt", &case.root);
        let (ours, theirs, words) = row(&server, case.host, Some(&root)).await;
        let libpq = case.libpq.unwrap_or(case.expected);
        if ours != case.expected || theirs.as_deref().is_some_and(|theirs| theirs != libpq) {
            wrong.push(format!(
                "{}: {ours}, expected {}, psql {theirs:?}{words}",
                case.name, case.expected
            ));
        }
        // Without a root file nothing is checked, and the modes that check refuse.
        let (ours, theirs, words) = row(&server, case.host, None).await;
        if ours != "ptt--" || theirs.as_deref().is_some_and(|theirs| theirs != ours) {
            wrong.push(format!("{}, no root: {ours}, psql {theirs:?}{words}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_server_without_tls_in_every_mode_as_libpq() {
    let server = Server::start(TRUST);
    let root = server.write("root.crt", &authority("Unused").pem());
    for root in [None, Some(root.as_path())] {
        let (ours, theirs, words) = row(&server, "localhost", root).await;
        assert_eq!(ours, "pp---", "{words}");
        assert!(theirs.is_none_or(|theirs| theirs == ours), "{words}");
    }
    let error = connect(&server.address("localhost", ssl(SslMode::Require, None)))
        .await
        .unwrap_err();
    assert!(
        matches!(*error.cause, Cause::ServerWithoutTls { mode: "require" }),
        "{error}"
    );
    assert!(error.to_string().contains("set ssl=on"), "{error}");
}

#[tokio::test]
async fn pg_hba_decides_by_encryption_as_libpq() {
    let ca = authority("Authority");
    let leaf = signed(named("db", &["db.test"]), &ca);

    let server = Server::start_with_tls("hostssl all all 127.0.0.1/32 trust\n", &leaf, &[]);
    let (ours, theirs, words) = row(&server, "db.test", None).await;
    assert_eq!(ours, "-tt--", "{words}");
    assert!(theirs.is_none_or(|theirs| theirs == ours), "{words}");
    let error = connect(&server.address("db.test", ssl(SslMode::Disable, None)))
        .await
        .unwrap_err();
    assert!(matches!(*error.cause, Cause::TlsRequired(_)), "{error}");
    assert_eq!(error.sql_state().unwrap().code(), "28000");
    assert!(error.to_string().contains("sslmode=verify-full"), "{error}");
    drop(server);

    // `prefer` must try again without TLS.
    let server = Server::start_with_tls("hostnossl all all 127.0.0.1/32 trust\n", &leaf, &[]);
    let (ours, theirs, words) = row(&server, "db.test", None).await;
    assert_eq!(ours, "pp---", "{words}");
    assert!(theirs.is_none_or(|theirs| theirs == ours), "{words}");
    let error = connect(&server.address("db.test", ssl(SslMode::Require, None)))
        .await
        .unwrap_err();
    assert!(matches!(*error.cause, Cause::NotAdmitted(_)), "{error}");
}
