//! What is refused before anything is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use app_config::{DatabaseAddress, Ssl, SslMode};
use pg_connect::{Cause, ConnectError, ConnectOptions, Connector, FileProblem};

use crate::certificates::{authority, named, signed};
use crate::server::ssl;

fn refusal(ssl: Ssl) -> ConnectError {
    let address = DatabaseAddress {
        host: "db.test".to_owned(),
        port: 5432,
        database: "plinth".to_owned(),
        user: "app".to_owned(),
        password: None,
        ssl,
    };
    Connector::new(&address, ConnectOptions::default()).expect_err("must be refused early")
}

fn file(directory: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_mode_that_verifies_needs_a_root_file() {
    for mode in [SslMode::VerifyCa, SslMode::VerifyFull] {
        let error = refusal(ssl(mode, None));
        assert!(
            matches!(*error.cause, Cause::RootCertificateMissing { .. }),
            "{error:?}"
        );
        assert!(
            error.to_string().contains(&format!("sslmode={}", mode.as_str())),
            "{error}"
        );
    }
}

#[test]
fn a_root_file_that_is_no_good_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let leaf = signed(named("db", &["db.test"]), &authority("Authority"));
    for (path, words) in [
        (directory.path().join("missing.crt"), "No such file"),
        (file(&directory, "empty.crt", ""), "no PEM block"),
        (file(&directory, "key.crt", &leaf.key), "no PEM block"),
        (
            file(&directory, "torn.crt", "-----BEGIN CERTIFICATE-----\nMIIB"),
            "not PEM",
        ),
        (
            file(
                &directory,
                "noise.crt",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            "unreadable",
        ),
        (
            file(&directory, "leaf.crt", &leaf.chain),
            "no self-signed certificate",
        ),
    ] {
        for mode in [
            SslMode::Prefer,
            SslMode::Require,
            SslMode::VerifyCa,
            SslMode::VerifyFull,
        ] {
            let error = refusal(ssl(mode, Some(&path)));
            assert!(matches!(*error.cause, Cause::File(_)), "{error:?}");
            assert!(error.to_string().contains(words), "{error} should say: {words}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
}

#[test]
fn system_roots_come_only_with_verify_full() {
    for mode in [SslMode::Prefer, SslMode::Require, SslMode::VerifyCa] {
        let error = refusal(ssl(mode, Some(Path::new("system"))));
        assert!(
            matches!(*error.cause, Cause::SystemRootsNeedVerifyFull { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_client_certificate_comes_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let ca = authority("Authority");
    let (leaf, other) = (signed(named("app", &[]), &ca), signed(named("app", &[]), &ca));
    let cert = file(&directory, "app.crt", &leaf.chain);
    let key = file(&directory, "app.key", &leaf.key);
    let with = |cert: Option<&Path>, key: Option<&Path>| Ssl {
        cert: cert.map(Path::to_owned),
        key: key.map(Path::to_owned),
        ..ssl(SslMode::Require, None)
    };

    let error = refusal(with(Some(&cert), None));
    assert!(
        error.to_string().contains("sslcert is configured without sslkey"),
        "{error}"
    );
    let error = refusal(with(None, Some(&key)));
    assert!(
        error.to_string().contains("sslkey is configured without sslcert"),
        "{error}"
    );

    let error = refusal(with(
        Some(&cert),
        Some(&file(&directory, "other.key", &other.key)),
    ));
    assert!(
        matches!(*error.cause, Cause::File(FileProblem::Invalid { .. })),
        "{error:?}"
    );

    let locked = leaf.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let error = refusal(with(Some(&cert), Some(&file(&directory, "locked.key", &locked))));
    assert!(error.to_string().contains("without a passphrase"), "{error}");

    // libpq's rule, also for root: not open to others.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = refusal(with(Some(&cert), Some(&key)));
    assert!(
        matches!(
            *error.cause,
            Cause::File(FileProblem::Permissions { mode: 0o644, .. })
        ),
        "{error:?}"
    );
}
