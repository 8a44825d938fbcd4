//! `POST /api/v1/domains/{domain_id}/suspend`

use actix_web::{HttpResponse, post};
use db_core::DomainId;
use db_core::models::domain::{DomainStatus, domain_set_status};
use db_core::rbac::held;

use super::DomainView;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Suspends a domain: from their next request on, nobody of it can use a session or an API key, or sign in.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path)), responses((status = 200, body = DomainView)))]
#[post("/domains/{domain_id}/suspend")]
pub(super) async fn suspend_domain(
    can: Can<held::DomainSuspend, OnPlatform>,
    Path((id,)): Path<(DomainId,)>,
) -> Result<HttpResponse, Problem> {
    let domain = can
        .write("suspend_domain", async |tx| {
            domain_set_status(tx, id, DomainStatus::Suspended).await
        })
        .await?;
    Ok(answer::resource(domain.version, &DomainView::from(domain)))
}
