//! `DELETE /api/v1/domains/{domain_id}/hosts/{host}`

use actix_web::{HttpResponse, delete};
use db_core::DomainId;
use db_core::models::domain_host::domain_host_delete;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Takes a host name away from a domain.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path), ("host" = String, Path)), responses((status = 204)))]
#[delete("/domains/{domain_id}/hosts/{host}")]
pub(super) async fn delete_domain_host(
    can: Can<held::DomainUpdate, OnPlatform>,
    Path((id, host)): Path<(DomainId, String)>,
) -> Result<HttpResponse, Problem> {
    can.write("delete_domain_host", async |tx| {
        domain_host_delete(tx, id, &host).await
    })
    .await?;
    Ok(answer::no_content())
}
