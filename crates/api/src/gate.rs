//! Until the installation is set up and its database has been there, there is nothing to serve.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web;

use crate::state::Worker;

/// What answers before that: health, status and setup.
const OPEN: [&str; 4] = ["/healthz", "/readyz", "/api/db/status", "/api/db/setup"];

/// Middleware: answers 503, with a pointer to setup where that is what is missing, before anything else is looked at.
///
/// # Errors
/// That answer, or the handler's own.
pub async fn middleware(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if !OPEN.contains(&request.path())
        && let Some(worker) = request.app_data::<web::Data<Worker>>().cloned()
    {
        worker.pool().await?;
    }
    next.call(request).await
}
