//! The id of a request: in the log, in the header `x-request-id`, in problem documents, in the activity stream.

use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError as _};
use db_core::Clock;
use tracing::Instrument as _;

use crate::problem::Problem;

/// Name of the header, in requests and in answers.
pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// Id of the request that this task serves; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Takes the id of the current request along into another task.
pub fn keep<F: Future>(future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current(), future)
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

/// Middleware: gives the request its id, a span, and one line in the log; adds the security headers. What is no success
/// is a problem document, whoever answered.
///
/// # Errors
/// Those of the middleware inside, each with its answer.
pub async fn middleware<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let id = choose(&request);
    let started = Instant::now();
    let method = request.method().clone();
    let span = tracing::info_span!("request", id, %method, path = request.path());
    if let Some(parent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        telemetry::continue_trace(&span, parent);
    }
    let docs = request.path().starts_with("/docs");
    if method == Method::HEAD {
        // Answered as GET is; the encoder leaves the body out. Source: RFC 9110, section 9.3.2.
        request.head_mut().method = Method::GET;
    }
    CURRENT
        .scope(id.clone(), async move {
            match next.call(request).await {
                Ok(response) => {
                    let mut response = with_problem(response);
                    let route = response.request().match_pattern();
                    finish(response.response_mut(), &id, docs);
                    observe(response.status(), &method, route, started);
                    Ok(response)
                }
                Err(error) => {
                    // Made here, inside of the scope: outside nobody knows the id.
                    let mut response = error.error_response();
                    finish(&mut response, &id, docs);
                    observe(response.status(), &method, None, started);
                    Err(InternalError::from_response(error, response).into())
                }
            }
        })
        .instrument(span)
        .await
}

/// The answer itself, or a problem document where something else than our handlers refused, in words of its own or none.
fn with_problem<B: MessageBody + 'static>(response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
    let status = response.status();
    let problem = response.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM_JSON);
    if problem || !(status.is_client_error() || status.is_server_error()) {
        return response.map_into_left_body();
    }
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        _ if status.is_server_error() => Problem::internal(),
        _ => Problem::new(status, "refused", status.canonical_reason().unwrap_or("refused")),
    };
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem.error_response().map_into_right_body())
}

fn finish<B>(response: &mut HttpResponse<B>, id: &str, docs: bool) {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HEADER.clone(), value);
    }
    if docs {
        headers.insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
    }
    for (name, value) in SECURITY_HEADERS {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
}

fn observe(status: StatusCode, method: &Method, route: Option<String>, started: Instant) {
    let (status, seconds) = (status.as_u16(), started.elapsed().as_secs_f64());
    // Any word may be sent as a method: a label each would fill the memory.
    let method = match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS => method.to_string(),
        _ => "other".to_owned(),
    };
    let route = route.unwrap_or_else(|| "none".to_owned());
    metrics::histogram!("plinth_http_request_seconds", "method" => method, "route" => route,
        "status" => status.to_string())
    .record(seconds);
    tracing::info!(status, seconds, "request served");
}

static PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Swagger UI runs its own scripts, and styles its elements as it goes; it talks to this server alone.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

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
