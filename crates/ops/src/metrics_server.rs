//! `/metrics` of a command that runs until it is told to stop.

use std::convert::Infallible;
use std::sync::Arc;

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

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, metrics: MetricsHandle, owner: Owner) {
    let asked = Arc::new((QueueMetrics::default(), BackupMetrics::default()));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, say: the next attempt would fail as well.
                tracing::warn!(%error, "a connection for metrics was not accepted");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let (metrics, owner, asked) = (metrics.clone(), owner.clone(), Arc::clone(&asked));
        let service = service_fn(move |request: Request<_>| {
            let (metrics, owner, asked) = (metrics.clone(), owner.clone(), Arc::clone(&asked));
            async move {
                let known = request.uri().path() == "/metrics";
                let text = if known {
                    let (queues, backups) = &*asked;
                    tokio::join!(queues.refresh(&owner), backups.refresh(&owner));
                    metrics.render()
                } else {
                    "only /metrics is here\n".to_owned()
                };
                Ok::<_, Infallible>(answer(known, text))
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

fn answer(known: bool, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    if !known {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
