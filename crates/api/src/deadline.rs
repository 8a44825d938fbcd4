//! A limit on how long a whole request may take.

use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::problem::Problem;

/// Middleware: answers 503 when the handler is not done in time. A transaction it was in is rolled back.
///
/// # Errors
/// The time-out, or the handler's own.
pub async fn middleware(
    limit: Duration,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    match tokio::time::timeout(limit, next.call(request)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Problem::unavailable("timeout", "the request took longer than it may").into()),
    }
}
