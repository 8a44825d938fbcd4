//! Telemetry of a whole process. One test only: what it starts cannot be started again.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use app_config::{LogFormat, TelemetryConfig};
use telemetry::TelemetryError;

/// Inside a runtime, as the server does: making or dropping a blocking client there is where others fell.
#[tokio::test]
async fn a_process_is_observed_from_start_to_end() {
    let collector = Collector::start();
    let config = TelemetryConfig {
        log_filter: "info".into(),
        log_format: LogFormat::Json,
        otlp_endpoint: Some(format!("{}/", collector.url)),
        sample_ratio: 1.0,
    };
    let guard = telemetry::init("plinth-observed", &config).unwrap();
    assert!(matches!(
        telemetry::init("plinth-observed", &config),
        Err(TelemetryError::AlreadyStarted)
    ));

    let span = tracing::info_span!("observed_request");
    assert!(telemetry::continue_trace(
        &span,
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ));
    span.in_scope(|| tracing::info!("observed_event"));
    drop(span);
    metrics::counter!("observed_total").increment(1);
    let metrics = guard.metrics();
    assert!(
        metrics.render().lines().any(|line| line == "observed_total 1"),
        "{}",
        metrics.render()
    );

    drop(guard);
    let (head, body) = collector.received.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    // Protobuf keeps text as it is, and the trace id as its bytes.
    for text in [
        b"plinth-observed".as_slice(),
        b"observed_request",
        b"observed_event",
        b"\x0a\xf7\x65\x19\x16\xcd",
    ] {
        assert!(
            body.windows(text.len()).any(|window| window == text),
            "{}",
            text.escape_ascii()
        );
    }
}

/// Takes one delivery and hands out its head and body.
struct Collector {
    url: String,
    received: mpsc::Receiver<(String, Vec<u8>)>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut data = Vec::new();
            let end = loop {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).unwrap();
                data.extend(part.iter().take(count));
                if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
                    break end + 4;
                }
            };
            let mut body = data.split_off(end);
            let head = String::from_utf8(data).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse::<usize>().unwrap())
            });
            while body.len() < length.unwrap() {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).unwrap();
                body.extend(part.iter().take(count));
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            sender.send((head, body)).unwrap();
        });
        Self { url, received }
    }
}
