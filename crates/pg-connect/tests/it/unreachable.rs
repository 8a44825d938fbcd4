//! Nobody there, or not PostgreSQL.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use app_config::{DatabaseAddress, Ssl, SslMode};
use pg_connect::{Cause, ConnectError, ConnectOptions, Connector};

use crate::server::{free_port, ssl};

fn address(host: &str, port: u16, ssl: Ssl) -> DatabaseAddress {
    DatabaseAddress {
        host: host.to_owned(),
        port,
        database: "plinth".to_owned(),
        user: "app".to_owned(),
        password: None,
        ssl,
    }
}

async fn refusal(address: &DatabaseAddress) -> ConnectError {
    let options = ConnectOptions {
        connect_timeout: Duration::from_millis(300),
        ..ConnectOptions::default()
    };
    Connector::new(address, options)
        .unwrap()
        .connect()
        .await
        .err()
        .expect("nobody is there")
}

#[tokio::test]
async fn a_port_nobody_listens_on() {
    for host in ["127.0.0.1", "localhost"] {
        let error = refusal(&address(host, free_port(), Ssl::default())).await;
        assert!(matches!(*error.cause, Cause::Refused), "{error:?}");
        assert!(error.is_transient());
        assert!(error.cure().contains("listen_addresses"), "{error}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist() {
    // RFC 2606 reserves `.invalid`.
    let error = refusal(&address("no-such-host.invalid", 5432, Ssl::default())).await;
    assert!(matches!(*error.cause, Cause::UnknownHost { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("app@no-such-host.invalid:5432/plinth: unknown host"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for mode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
        let begin = Instant::now();
        let error = refusal(&address("127.0.0.1", port, ssl(mode, None))).await;
        assert!(matches!(*error.cause, Cause::Timeout { .. }), "{error:?}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    for mode in [SslMode::Disable, SslMode::Require] {
        let error = refusal(&address("127.0.0.1", port, ssl(mode, None))).await;
        assert!(matches!(*error.cause, Cause::Closed), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_agrees_to_tls_and_cannot_do_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _gone = stream.unwrap().write_all(b"SHTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = refusal(&address("127.0.0.1", port, ssl(SslMode::Require, None))).await;
    assert!(matches!(*error.cause, Cause::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn a_socket_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&address(directory.path().to_str().unwrap(), 5432, Ssl::default())).await;
    assert!(matches!(*error.cause, Cause::NoSocket { .. }), "{error:?}");
    assert!(error.to_string().contains(".s.PGSQL.5432"), "{error}");
}
