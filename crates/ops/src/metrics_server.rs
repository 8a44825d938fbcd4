//! `/metrics` and `/readyz` of a command that runs until it is told to stop.

use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use db_core::Owner;
use db_core::jobs::QueueMetrics;
use db_core::models::backup_run::BackupMetrics;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use telemetry::MetricsHandle;
use tokio::net::TcpListener;

/// How long a question to the server, and its own to the database, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers until it is dropped: `/metrics`, and `/readyz`, which is 200 once `ready` is set and while the database answers, else 503.
pub async fn serve(listener: TcpListener, metrics: MetricsHandle, owner: Owner, ready: Arc<AtomicBool>) {
    let asked = Arc::new((QueueMetrics::default(), BackupMetrics::default()));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, say: the next attempt would fail as well.
                tracing::warn!(%error, "a connection for metrics was not accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (metrics, owner, asked) = (metrics.clone(), owner.clone(), Arc::clone(&asked));
        let ready = Arc::clone(&ready);
        let service = service_fn(move |request: Request<_>| {
            let (metrics, owner, asked) = (metrics.clone(), owner.clone(), Arc::clone(&asked));
            let ready = Arc::clone(&ready);
            async move {
                let (status, text) = match request.uri().path() {
                    "/metrics" => {
                        let (queues, backups) = &*asked;
                        tokio::join!(queues.refresh(&owner), backups.refresh(&owner));
                        (StatusCode::OK, metrics.render())
                    }
                    "/readyz" => match obstacle(&owner, &ready).await {
                        None => (StatusCode::OK, "ready\n".to_owned()),
                        Some(obstacle) => (StatusCode::SERVICE_UNAVAILABLE, format!("{obstacle}\n")),
                    },
                    _ => (
                        StatusCode::NOT_FOUND,
                        "only /metrics and /readyz are here\n".to_owned(),
                    ),
                };
                Ok::<_, Infallible>(answer(status, text))
            }
        });
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection for metrics broke");
            }
        });
    }
}

/// What keeps the worker from running jobs.
async fn obstacle(owner: &Owner, ready: &AtomicBool) -> Option<&'static str> {
    if !ready.load(Ordering::Relaxed) {
        return Some("it waits until the database is there, set up and migrated");
    }
    match tokio::time::timeout(PATIENCE / 2, owner.reachable(Duration::ZERO)).await {
        Ok(Ok(())) => None,
        _ => Some("the database does not answer"),
    }
}

fn answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Asks the server of another process on this machine; one HTTP/1.0 request by hand.
///
/// # Errors
/// It is not ready: in words.
pub fn ask(mut address: SocketAddr) -> Result<(), String> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let answer = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = answer().map_err(|error| format!("{address}: {error}"))?;
    if answer.split_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    let said = answer.lines().last().unwrap_or("nothing");
    Err(format!("{address} says: {said}"))
}
