//! Backups in an S3-compatible store, over HTTP with signatures, also one that goes away half-way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use test_support::{ACME, S3, TestDatabase, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::backup::{cards, contents};
use crate::support::Ops;

/// Ends TLS before a server, with a certificate for localhost that a CA of the test's own has signed; the CA's, as PEM.
async fn behind_tls(server: SocketAddr, name: &str) -> (SocketAddr, String) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not believe the certificate goes away.
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, ca.pem())
}

/// Passes on so many bytes to the server, and then nothing more.
async fn cut_after(server: SocketAddr, bytes: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let left = Arc::new(AtomicU64::new(bytes));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let left = Arc::clone(&left);
            tokio::spawn(async move {
                if left.load(Ordering::Relaxed) == 0 {
                    return;
                }
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = TcpStream::connect(server).await.unwrap().into_split();
                let back =
                    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                    let there = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                        Some(left.saturating_sub(read as u64))
                    });
                    if there.unwrap() <= read as u64 || to_server.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
                back.abort();
            });
        }
    });
    address
}

fn ops(database: &TestDatabase, server: SocketAddr) -> Ops {
    Ops::on(database)
        .with("PLINTH_BACKUP_URL", "s3://backups/nightly/plinth")
        .with("PLINTH_BACKUP_S3_ENDPOINT", &format!("http://{server}"))
        .with("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY)
        .with("AWS_SECRET_ACCESS_KEY", S3::SECRET_KEY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_proved_damaged_restored_and_pruned() {
    let database = TestDatabase::new().await;
    let world = World::new(database.superuser().await);
    cards(&world, ACME, 100).await;
    let before = contents(world.client()).await;
    let store = S3::start().await;
    let ops = ops(&database, store.address);
    let run = |code: i32, arguments: &[&str]| {
        let ran = tokio::task::block_in_place(|| ops.expect(code, arguments));
        assert!(!ran.stdout.contains(S3::SECRET_KEY) && !ran.stderr.contains(S3::SECRET_KEY));
        ran
    };
    let first = run(0, &["backup", "create", "--json"]).json();
    let first = first["backup"]["backup"].as_str().unwrap().to_owned();
    run(0, &["backup", "verify"]);
    assert_eq!(store.objects().len(), 6, "{:?}", store.objects());
    world.client().batch_execute("DELETE FROM cards").await.unwrap();
    run(0, &["restore", &first, "--force", "--drop-replaced"]);
    let client = database.superuser().await;
    assert_eq!(contents(&client).await, before);

    for path in store
        .objects()
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains(&first) && !path.ends_with("proof.json"))
    {
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let byte = usize::from(db_core::random_bytes::<1>()[0]) % bad.len();
        bad[byte] ^= 4;
        std::fs::write(&path, bad).unwrap();
        run(9, &["backup", "verify", &first]);
        run(9, &["restore", &first, "--force"]);
        std::fs::write(&path, good).unwrap();
    }
    // Who was found damaged counts again when a drill has proved it.
    run(0, &["backup", "drill", &first]);

    // A second one is pruned away by the policy that keeps none but the newest proved and the newest.
    let second = run(0, &["backup", "create", "--no-drill", "--json"]).json();
    let second = second["backup"]["backup"].as_str().unwrap().to_owned();
    run(0, &["backup", "create", "--no-drill"]);
    run(
        0,
        &[
            "backup",
            "prune",
            "--keep-daily",
            "0",
            "--keep-weekly",
            "0",
            "--keep-monthly",
            "0",
        ],
    );
    let listed = run(0, &["backup", "list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2);
    assert!(
        store
            .objects()
            .iter()
            .all(|path| !path.to_str().unwrap().contains(&second))
    );
    assert_eq!(contents(&client).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_away_half_way_has_no_backup() {
    let database = TestDatabase::new().await;
    let store = S3::start().await;
    for bytes in [2_000, 15_000, 30_000] {
        let cut = cut_after(store.address, bytes).await;
        let ops = ops(&database, cut);
        let ran = tokio::task::block_in_place(|| ops.run(&["backup", "create", "--no-drill"]));
        assert_eq!(ran.code, Some(11), "after {bytes}: {}", ran.stderr);
    }
    let direct = ops(&database, store.address);
    let listed = tokio::task::block_in_place(|| direct.expect(0, &["backup", "list", "--json"])).json();
    for one in listed["backups"].as_array().unwrap() {
        assert_ne!(one["standing"], "complete", "{listed:#}");
    }
    tokio::task::block_in_place(|| direct.expect(0, &["backup", "create"]));
    let listed = tokio::task::block_in_place(|| direct.expect(0, &["backup", "list", "--json"])).json();
    let standing: Vec<_> = listed["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["standing"])
        .collect();
    assert_eq!(
        standing,
        ["complete"],
        "the next run clears away what the dead left: {listed:#}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_certificate_has_to_be_believed() {
    let database = TestDatabase::new().await;
    let store = S3::start().await;
    let files = tempfile::tempdir().unwrap();
    let with_tls = async |name: &str| {
        let (address, ca) = behind_tls(store.address, name).await;
        let file = files.path().join(format!("{name}.pem"));
        std::fs::write(&file, ca).unwrap();
        let ops = Ops::on(&database)
            .with("PLINTH_BACKUP_URL", "s3://backups/nightly/plinth")
            .with(
                "PLINTH_BACKUP_S3_ENDPOINT",
                &format!("https://localhost:{}", address.port()),
            )
            .with("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY)
            .with("AWS_SECRET_ACCESS_KEY", S3::SECRET_KEY);
        (ops, file)
    };
    let run = |ops: &Ops, code: i32, arguments: &[&str]| {
        tokio::task::block_in_place(|| ops.expect(code, arguments))
    };
    let (stranger, ca) = with_tls("localhost").await;
    let ran = run(&stranger, 11, &["backup", "create", "--no-drill"]);
    assert!(ran.stderr.contains("certificate"), "{}", ran.stderr);
    let known = stranger.with("PLINTH_BACKUP_S3_ROOT_CERT", ca.to_str().unwrap());
    run(&known, 0, &["backup", "create"]);
    run(&known, 0, &["backup", "verify"]);

    // Of a CA that is believed, but for another name.
    let (other, ca) = with_tls("elsewhere.test").await;
    let other = other.with("PLINTH_BACKUP_S3_ROOT_CERT", ca.to_str().unwrap());
    let ran = run(&other, 11, &["backup", "list"]);
    assert!(ran.stderr.contains("not valid for name"), "{}", ran.stderr);
    let missing = other.with("PLINTH_BACKUP_S3_ROOT_CERT", "/nowhere/ca.pem");
    let ran = run(&missing, 78, &["backup", "list"]);
    assert!(ran.stderr.contains("/nowhere/ca.pem"), "{}", ran.stderr);
}
