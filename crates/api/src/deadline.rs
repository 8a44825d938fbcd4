//! A limit on how long a whole request may take, and a task of its own for each.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use tracing::Instrument as _;

use crate::problem::Problem;
use crate::request_id;

/// Middleware: answers 503 when the handler is not done in time. A transaction it was in is rolled back.
///
/// The handler runs in a task of its own, so that a client that hangs up does not drop it half-way: a transaction that
/// is broken off costs its connection, and strangers could empty the pool by hanging up.
///
/// # Errors
/// The time-out, or the handler's own.
pub async fn middleware(
    limit: Duration,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let handler = tokio::time::timeout(limit, next.call(request));
    let task = request_id::keep(handler).in_current_span();
    match actix_web::rt::spawn(task).await {
        Ok(Ok(result)) => result,
        Ok(Err(_elapsed)) => {
            Err(Problem::unavailable("timeout", "the request took longer than it may").into())
        }
        Err(fault) => {
            tracing::error!(%fault, "a handler panicked");
            Err(Problem::internal().into())
        }
    }
}
