//! Logins by certificate, and servers that hold a certificate but not its key.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use app_config::{DatabaseAddress, Ssl, SslMode};
use pg_connect::{Cause, CertificateProblem, ConnectError, ConnectOptions, Connector, Protection};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificates::{Leaf, authority, named, signed};
use crate::psql::{self, Outcome};
use crate::server::{Server, ssl};

fn private_file(server: &Server, name: &str, content: &str) -> PathBuf {
    let path = server.write(name, content);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

async fn connect(address: &DatabaseAddress) -> Result<Protection, ConnectError> {
    Ok(Connector::new(address, ConnectOptions::default())?
        .connect()
        .await?
        .protection)
}

#[tokio::test]
async fn a_login_by_certificate_as_libpq() {
    let (ca, clients, strangers) = (authority("Servers"), authority("Clients"), authority("Strangers"));
    let leaf = signed(named("db", &["localhost"]), &ca);
    for tls in ["TLSv1.3", "TLSv1.2"] {
        let version = format!("ssl_max_protocol_version = '{tls}'");
        let mut server = Server::start_with_tls(
            "hostssl all app 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n",
            &leaf,
            &[&version],
        );
        server.demand_client_certificates(&clients.pem());
        server.run("CREATE ROLE app LOGIN").await;
        let root = server.write("root.crt", &ca.pem());

        let check = async |name: &str, leaf: Option<&Leaf>, user: &str| {
            let files = leaf.map(|leaf| {
                (
                    server.write("client.crt", &leaf.chain),
                    private_file(&server, "client.key", &leaf.key),
                )
            });
            let (cert, key) = files.unzip();
            let ssl = Ssl {
                cert,
                key,
                ..ssl(SslMode::VerifyFull, Some(&root))
            };
            let address = DatabaseAddress {
                user: user.to_owned(),
                ..server.address("localhost", ssl)
            };
            let result = connect(&address).await;
            if let Some((outcome, said)) = psql::connect(&address, None, server.directory.path()) {
                assert_eq!(
                    outcome != Outcome::Refused,
                    result.is_ok(),
                    "{tls}, {name}: psql {said}, {result:?}"
                );
            }
            result
        };

        let protection = check("good", Some(&signed(named("app", &[]), &clients)), "app")
            .await
            .unwrap();
        assert!(protection.is_verified());
        let error = check("none", None, "app").await.unwrap_err();
        assert!(
            matches!(*error.cause, Cause::ClientCertificate(_)),
            "{tls}: {error:?}"
        );
        let error = check("stranger", Some(&signed(named("app", &[]), &strangers)), "app")
            .await
            .unwrap_err();
        assert!(
            matches!(*error.cause, Cause::ClientCertificate(_)),
            "{tls}: {error:?}"
        );
        let error = check("other user", Some(&signed(named("other", &[]), &clients)), "app")
            .await
            .unwrap_err();
        assert!(matches!(*error.cause, Cause::NotAdmitted(_)), "{tls}: {error:?}");
    }
}

/// Presents a certificate whatever key it has.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesServerCert for Thief {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A PostgreSQL up to its handshake, with the certificate of `leaf` and the key of `other`.
fn impostor(leaf: &Leaf, other: &Leaf, version: &'static rustls::SupportedProtocolVersion) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(leaf.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(other.key.as_bytes()).unwrap();
    let stolen = CertifiedKey::new(chain, ring::sign::any_supported_type(&key).unwrap());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Thief(Arc::new(stolen))));
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"S").unwrap();
            let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let _refused = session.complete_io(&mut stream);
        }
    });
    port
}

#[tokio::test]
async fn a_stolen_certificate_is_of_no_use_in_any_mode() {
    let ca = authority("Authority");
    let leaf = signed(named("db", &["localhost"]), &ca);
    let other = signed(named("db", &["localhost"]), &ca);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.crt");
    fs::write(&root, ca.pem()).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let port = impostor(&leaf, &other, version);
        for (mode, root) in [
            (SslMode::Require, None),
            (SslMode::Require, Some(root.as_path())),
            (SslMode::VerifyCa, Some(root.as_path())),
            (SslMode::VerifyFull, Some(root.as_path())),
        ] {
            let address = DatabaseAddress {
                host: "localhost".to_owned(),
                port,
                database: "plinth".to_owned(),
                user: "app".to_owned(),
                password: None,
                ssl: ssl(mode, root),
            };
            let error = connect(&address).await.unwrap_err();
            assert!(
                matches!(*error.cause, Cause::Certificate(CertificateProblem::KeyNotHeld)),
                "{mode:?}: {error:?}"
            );
        }
    }
}
