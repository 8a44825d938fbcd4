//! What is said of a connection: how it is protected, or why its certificate was refused.

use std::path::Path;

use app_config::SslMode;
use pg_connect::{Cause, CertificateProblem, ConnectOptions, Connector, Protection, Verified};

use crate::certificates::*;
use crate::modes::{MODES, TRUST, connect};
use crate::server::{Server, ssl};

#[tokio::test]
async fn a_unix_socket_is_never_tls_and_asks_for_no_root_file() {
    let ca = authority("Authority");
    let server = Server::start_with_tls(TRUST, &signed(named("db", &["db.test"]), &ca), &[]);
    for mode in MODES {
        let address = server.address(server.sockets().to_str().unwrap(), ssl(mode, None));
        let opened = Connector::new(&address, ConnectOptions::default())
            .unwrap()
            .connect()
            .await
            .unwrap();
        assert_eq!(opened.protection, Protection::UnixSocket);
        assert!(opened.protection.is_verified());
    }
}

#[tokio::test]
async fn tls_1_2_is_spoken_and_named() {
    let (ca, other) = (authority("Authority"), authority("Another"));
    let only_1_2 = ["ssl_max_protocol_version = 'TLSv1.2'"];
    let good = signed(named("db", &["db.test"]), &ca);
    let mut server = Server::start_with_tls(TRUST, &good, &only_1_2);
    let root = server.write("root.crt", &ca.pem());
    let protection = connect(&server.address("db.test", ssl(SslMode::VerifyFull, Some(&root))))
        .await
        .unwrap();
    assert_eq!(
        protection.to_string(),
        "TLS 1.2, authority and host name verified"
    );

    server.use_certificate(&signed(named("db", &["db.test"]), &other));
    let error = connect(&server.address("db.test", ssl(SslMode::VerifyCa, Some(&root))))
        .await
        .unwrap_err();
    assert!(
        matches!(
            *error.cause,
            Cause::Certificate(CertificateProblem::UnknownAuthority { .. })
        ),
        "{error}"
    );

    server.use_certificate(&version_1(named("db.test", &[]), &ca));
    let error = connect(&server.address("db.test", ssl(SslMode::Require, None)))
        .await
        .unwrap_err();
    assert!(
        matches!(*error.cause, Cause::Certificate(CertificateProblem::Version1)),
        "{error}"
    );
}

#[tokio::test]
async fn protection_says_what_was_verified() {
    let ca = authority("Authority");
    let server = Server::start_with_tls(TRUST, &signed(named("db", &["db.test"]), &ca), &[]);
    let root = server.write("root.crt", &ca.pem());
    for (mode, root, expected) in [
        (SslMode::Prefer, None, Verified::Nothing),
        (SslMode::Require, None, Verified::Nothing),
        (SslMode::Require, Some(root.as_path()), Verified::Authority),
        (SslMode::VerifyCa, Some(root.as_path()), Verified::Authority),
        (
            SslMode::VerifyFull,
            Some(root.as_path()),
            Verified::AuthorityAndName,
        ),
    ] {
        let protection = connect(&server.address("db.test", ssl(mode, root)))
            .await
            .unwrap();
        let Protection::Tls { verified, .. } = protection else {
            panic!("{mode:?}: {protection}")
        };
        assert_eq!(verified, expected, "{mode:?}");
        assert_eq!(protection.is_verified(), expected == Verified::AuthorityAndName);
    }
}

#[tokio::test]
async fn each_bad_certificate_is_called_by_its_name() {
    let (ca, other) = (authority("Our authority"), authority("Another authority"));
    let dead = expired_authority("Dead authority");
    let good = || named("db", &["db.test"]);
    let expectations: Vec<(Leaf, &Authority, &str)> = vec![
        (
            signed(good(), &other),
            &ca,
            "signed by an authority that is not trusted: CN=Another authority",
        ),
        (
            signed(named("db", &["x.test", "y.test"]), &ca),
            &ca,
            "is for x.test, y.test, not for db.test",
        ),
        (signed(named("db", &[]), &ca), &ca, "is for db, not for db.test"),
        (
            signed(expired(good()), &ca),
            &ca,
            "the server's certificate expired on 2021-01-01T00:00:00Z",
        ),
        (
            signed(future(good()), &ca),
            &ca,
            "is valid only from 2090-01-01T00:00:00Z",
        ),
        (
            signed(good(), &dead),
            &dead,
            "the authority CN=Dead authority expired on 2021-01-01T00:00:00Z",
        ),
        (signed(for_clients(good()), &ca), &ca, "is not for servers"),
        (
            signed(marked_as_authority(good()), &ca),
            &ca,
            "marked as an authority (CA:TRUE)",
        ),
        (version_1(named("db.test", &[]), &ca), &ca, "X.509 version 1"),
    ];
    let mut server = Server::start_with_tls(TRUST, &signed(good(), &ca), &[]);
    for (leaf, root, words) in expectations {
        server.use_certificate(&leaf);
        let root = server.write("root.crt", &root.pem());
        let error = connect(&server.address("db.test", ssl(SslMode::VerifyFull, Some(&root))))
            .await
            .unwrap_err();
        assert!(matches!(*error.cause, Cause::Certificate(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error} should say: {words}");
        assert!(
            error
                .to_string()
                .contains(&format!("postgres@db.test:{}/postgres", server.port)),
            "{error}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn the_machines_own_authorities_do_not_vouch_for_ours() {
    let ca = authority("Authority");
    let server = Server::start_with_tls(TRUST, &signed(named("db", &["db.test"]), &ca), &[]);
    let system = ssl(SslMode::VerifyFull, Some(Path::new("system")));
    let error = connect(&server.address("db.test", system)).await.unwrap_err();
    assert!(
        matches!(
            *error.cause,
            Cause::Certificate(CertificateProblem::UnknownAuthority { .. }) | Cause::NoSystemRoots { .. }
        ),
        "{error}"
    );
}
