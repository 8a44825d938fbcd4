//! `POST /api/v1/domains/{domain_id}/resume`

use actix_web::{HttpResponse, post};
use db_core::DomainId;
use db_core::models::domain::{DomainStatus, domain_set_status};
use db_core::rbac::held;

use super::DomainView;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Resumes a domain. Sessions and API keys that have not ended meanwhile count again.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path)), responses((status = 200, body = DomainView)))]
#[post("/domains/{domain_id}/resume")]
pub(super) async fn resume_domain(
    can: Can<held::DomainSuspend, OnPlatform>,
    Path((id,)): Path<(DomainId,)>,
) -> Result<HttpResponse, Problem> {
    let domain = can
        .write("resume_domain", async |tx| {
            domain_set_status(tx, id, DomainStatus::Active).await
        })
        .await?;
    Ok(answer::resource(domain.version, &DomainView::from(domain)))
}
