//! `pg_dump` and `pg_restore` believe the certificates that Plinth believes.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use test_support::KEY;

use crate::doctor_server::Server;
use crate::support::Ops;

/// `sslrootcert=system`: what this machine trusts, here one authority of the test's own. Neither program may fall back to a file of its own.
#[tokio::test]
async fn the_authorities_of_the_machine() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate for self-signed that is called like its issuer.
    authority
        .distinguished_name
        .push(DnType::CommonName, "authority of a test");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let server = Server::start(
        "hostssl all all 127.0.0.1/32 trust",
        &[],
        Some((&certificate.pem(), &key.serialize_pem())),
    );
    server
        .client("postgres")
        .await
        .batch_execute("CREATE DATABASE plinth")
        .await
        .unwrap();
    let files = tempfile::tempdir().unwrap();
    let bundle = files.path().join("trusted.pem");
    std::fs::write(&bundle, authority.pem()).unwrap();
    let url = format!(
        "postgresql://postgres@localhost:{}/plinth?sslmode=verify-full&sslrootcert=system",
        server.port
    );
    let ops = Ops::new()
        .with("DATABASE_URL", &url)
        .with("POSTGRES_ENCRYPTION_KEY", KEY)
        .with("PLINTH_BACKUP_URL", files.path().join("store").to_str().unwrap())
        .with("SSL_CERT_FILE", bundle.to_str().unwrap());
    ops.expect(0, &["setup", "--demo"]);
    ops.expect(0, &["backup", "create"]);
    // Of an authority that the machine does not know, nothing is believed.
    std::fs::write(
        &bundle,
        CertifiedIssuer::self_signed(
            {
                let mut other = CertificateParams::new(Vec::new()).unwrap();
                other.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                other
            },
            KeyPair::generate().unwrap(),
        )
        .unwrap()
        .pem(),
    )
    .unwrap();
    let ran = ops.run(&["backup", "create", "--no-drill"]);
    assert_ne!(ran.code, Some(0), "{}", ran.stdout);
}
