//! Whether the process lives, and whether it can serve.

use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::answer;
use crate::drift::SchemaState;
use crate::problem::Problem;
use crate::state::Worker;

/// How long the database may take to answer the readiness probe.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(healthz).service(readyz);
}

/// A probe's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`; anything else is a problem document.
    status: &'static str,
}

/// The readiness probe's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Always `ok`; anything else is a problem document.
    status: &'static str,
    /// Whether the schema is what the migrations made, as of the last five minutes. It does not make the server less ready.
    schema: SchemaState,
}

/// The process lives, whatever its database does.
#[utoipa::path(operation_id = "get_liveness", tag = "health", security(()), responses((status = 200, body = Health)))]
#[get("/healthz")]
async fn healthz() -> HttpResponse {
    answer::ok(&Health { status: "ok" })
}

/// The process can serve: the installation is set up, and its database answers.
#[utoipa::path(operation_id = "get_readiness", tag = "health", security(()), responses((status = 200, body = Readiness)))]
#[get("/readyz")]
async fn readyz(worker: web::Data<Worker>) -> Result<HttpResponse, Problem> {
    let pool = worker.pool().await?;
    if pool.is_alive(PATIENCE).await {
        Ok(answer::ok(&Readiness {
            status: "ok",
            schema: worker.schema(),
        }))
    } else {
        Err(Problem::unavailable(
            "database_unavailable",
            "the database is not available",
        ))
    }
}
