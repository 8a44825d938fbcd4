//! The id of a request: in the log, in the header `x-request-id`, in problem documents, in the activity stream.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use db_core::Clock;
use tracing::Instrument as _;

/// Name of the header, in requests and in answers.
pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// Id of the request that this task serves; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Keeps the id that a client sent, when it is short and plain; else makes one.
fn choose(request: &ServiceRequest) -> String {
    let given = request
        .headers()
        .get(&HEADER)
        .and_then(|value| value.to_str().ok());
    match given {
        Some(id)
            if (8..=100).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) =>
        {
            id.to_owned()
        }
        _ => Clock::System.uuid().simple().to_string(),
    }
}

/// Middleware: gives the request its id, a span, and one line in the log; adds the security headers.
///
/// # Errors
/// None of its own.
pub async fn middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let id = choose(&request);
    let started = std::time::Instant::now();
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.path());
    if let Some(parent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        telemetry::continue_trace(&span, parent);
    }
    let method = request.method().clone();
    CURRENT
        .scope(id.clone(), async move {
            let mut response = match next.call(request).await {
                Ok(response) => response,
                Err(error) => return Err(error),
            };
            let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
            let status = response.status().as_u16();
            let seconds = started.elapsed().as_secs_f64();
            metrics::histogram!("plinth_http_request_seconds", "method" => method.to_string(), "route" => route,
                "status" => status.to_string())
            .record(seconds);
            tracing::info!(status, seconds, "request served");
            let headers = response.headers_mut();
            if let Ok(value) = HeaderValue::from_str(&id) {
                headers.insert(HEADER.clone(), value);
            }
            for (name, value) in SECURITY_HEADERS {
                if !headers.contains_key(name) {
                    headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
                }
            }
            Ok(response)
        })
        .instrument(span)
        .await
}

/// Source: OWASP, "HTTP Security Response Headers Cheat Sheet".
const SECURITY_HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];
