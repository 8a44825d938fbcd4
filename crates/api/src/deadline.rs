//! Limits on how long a whole request may take and its answer, and a task of its own for each.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use tracing::Instrument as _;

use crate::extract::body_arrival;
use crate::problem::Problem;
use crate::request_id;
use crate::send_timeout::Paced;

/// Middleware: answers 503 when the handler is not done in time, and 408 when it still waits for the body. A transaction it
/// was in is rolled back.
///
/// The handler runs in a task of its own, so that a client that hangs up does not drop it half-way: a transaction that
/// is broken off costs its connection, and strangers could empty the pool by hanging up.
///
/// # Errors
/// The time-out, or the handler's own.
pub async fn middleware(
    limit: Duration,
    send_limit: Duration,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let task = body_arrival::observe(async move {
        tokio::time::timeout(limit, next.call(request))
            .await
            .unwrap_or_else(|_elapsed| Err(too_late().into()))
    });
    match actix_web::rt::spawn(request_id::keep(task).in_current_span()).await {
        Ok(Ok(response)) => Ok(response.map_body(|_, body| Paced::new(body.boxed(), send_limit))),
        Ok(Err(error)) => Err(error),
        Err(fault) => {
            tracing::error!(%fault, "a handler panicked");
            Err(Problem::internal().into())
        }
    }
}

/// Whose fault it is that the time is up.
fn too_late() -> Problem {
    if body_arrival::is_awaited() {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the request's body did not arrive in time",
        )
    } else {
        Problem::unavailable("timeout", "the request took longer than it may")
    }
}
