//! `plinth-ops doctor` against servers with passwords and certificates.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use test_support::KEY;

use crate::doctor::Told;
use crate::doctor_server::Server;
use crate::support::Ops;

fn at(url: &str) -> Ops {
    Ops::new()
        .with("DATABASE_URL", url)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
}

#[tokio::test]
async fn passwords_roles_and_databases() {
    let server = Server::start("host all all 127.0.0.1/32 scram-sha-256", &[], None);
    server
        .client("postgres")
        .await
        .batch_execute("CREATE ROLE plinth LOGIN PASSWORD 'the right one'; CREATE ROLE nobody NOLOGIN PASSWORD 'the right one'")
        .await
        .unwrap();
    let wrong = at(&server.tcp("plinth:wrong-secret", "/postgres"));
    let told = Told::by(&wrong, &[]);
    told.expect("owner.tcp", "ok", &[]);
    told.expect(
        "owner.login",
        "failed",
        &["wrong password", "plinth", "ALTER ROLE"],
    );
    told.expect("owner.database", "skipped", &[]);
    told.expect("server.version", "skipped", &[]);
    let ran = wrong.run(&["doctor"]);
    assert!(
        !ran.stdout.contains("wrong-secret") && !ran.stderr.contains("wrong-secret"),
        "the password is shown"
    );

    let told = Told::by(&at(&server.tcp("plinth", "/postgres")), &[]);
    told.expect("owner.login", "failed", &["no password is configured", "plinth"]);

    let right = "plinth:the%20right%20one";
    let told = Told::by(&at(&server.tcp(right, "/nowhere")), &[]);
    told.expect("owner.login", "ok", &["plinth"]);
    told.expect(
        "owner.database",
        "failed",
        &["nowhere", "plinth-ops provision --database nowhere=plinth"],
    );

    let told = Told::by(&at(&server.tcp("nobody:the%20right%20one", "/postgres")), &[]);
    told.expect("owner.login", "failed", &["NOLOGIN"]);

    let told = Told::by(&at(&server.tcp(right, "/postgres?sslmode=require")), &[]);
    told.expect("owner.tls", "failed", &["sslmode=require", "ssl=on"]);
    let told = Told::by(&at(&server.tcp(right, "/postgres")), &[]);
    told.expect("owner.tls", "ok", &["not encrypted", "this machine"]);
}

#[tokio::test]
async fn a_login_that_pg_hba_does_not_admit() {
    let server = Server::start("hostssl all all 10.0.0.0/8 scram-sha-256", &[], None);
    let told = Told::by(&at(&server.tcp("postgres", "/postgres?sslmode=disable")), &[]);
    told.expect("owner.tls", "failed", &["pg_hba.conf"]);
}

/// A certificate for `name`, signed by an authority: chain, key, authority.
fn certificate(name: &str) -> (String, String, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    (leaf.pem(), key.serialize_pem(), authority.pem())
}

#[tokio::test]
async fn encryption_demanded_and_certificates() {
    let (chain, key, authority) = certificate("db.example.com");
    let server = Server::start("hostssl all all 127.0.0.1/32 trust", &[], Some((&chain, &key)));
    let told = Told::by(&at(&server.tcp("postgres", "/postgres?sslmode=disable")), &[]);
    told.expect("owner.tcp", "ok", &[]);
    told.expect(
        "owner.tls",
        "failed",
        &["without encryption", "hostssl", "DATABASE_SSL"],
    );
    told.expect("owner.login", "skipped", &[]);

    let told = Told::by(&at(&server.tcp("postgres", "/postgres?sslmode=require")), &[]);
    told.expect("owner.tls", "ok", &["TLS 1.3", "not verified"]);
    told.expect("owner.database", "ok", &[]);

    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (
        directory.path().join("ca.pem"),
        directory.path().join("other.pem"),
    );
    std::fs::write(&right, authority).unwrap();
    std::fs::write(&wrong, certificate("other").2).unwrap();
    for (mode, root, status, words) in [
        ("verify-ca", &right, "ok", "authority verified"),
        ("verify-ca", &wrong, "failed", "authority"),
        ("verify-full", &right, "failed", "db.example.com"),
        ("verify-full", &wrong, "failed", "authority"),
    ] {
        let rest = format!("/postgres?sslmode={mode}&sslrootcert={}", root.display());
        let told = Told::by(&at(&server.tcp("postgres", &rest)), &[]);
        told.expect("owner.tls", status, &[words]);
    }
    let told = Told::by(&at(&server.tcp("postgres", "/postgres?sslmode=verify-full")), &[]);
    told.expect("owner.tls", "failed", &["root certificate"]);
}

#[tokio::test]
async fn the_settings_that_are_shipped_leak_nothing() {
    let shipped = include_str!("../../../../deploy/postgres/plinth.conf");
    let settings: Vec<&str> = shipped
        .lines()
        .filter(|line| line.starts_with("log_") || line.contains("_preload_libraries"))
        .collect();
    assert!(settings.len() > 5, "{settings:?}");
    let server = Server::start("host all all 127.0.0.1/32 trust", &settings, None);
    let told = Told::by(&at(&server.tcp("postgres", "/postgres")), &[]);
    for id in [
        "statements",
        "parameters",
        "errors",
        "auto_explain",
        "pg_stat_statements",
    ] {
        told.expect(&format!("logging.{id}"), "ok", &[]);
    }

    let server = Server::start(
        "host all all 127.0.0.1/32 trust",
        &[
            "shared_preload_libraries = 'pg_stat_statements'",
            "log_parameter_max_length = 0",
        ],
        None,
    );
    let told = Told::by(&at(&server.tcp("postgres", "/postgres")), &[]);
    told.expect(
        "logging.pg_stat_statements",
        "warning",
        &["track_utility", "ALTER SYSTEM SET"],
    );
    told.expect("logging.parameters", "ok", &[]);
}
