//! `PUT /api/v1/domains/{domain_id}/hosts/{host}`

use actix_web::{HttpResponse, put};
use db_core::DomainId;
use db_core::models::domain_host::domain_host_insert;
use db_core::rbac::held;

use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// Lets a host name lead to a domain at sign-in. Lower case, without a port.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path), ("host" = String, Path)), responses((status = 204)))]
#[put("/domains/{domain_id}/hosts/{host}")]
pub(super) async fn put_domain_host(
    can: Can<held::DomainUpdate, OnPlatform>,
    Path((id, host)): Path<(DomainId, String)>,
) -> Result<HttpResponse, Problem> {
    can.write("put_domain_host", async |tx| {
        domain_host_insert(tx, id, &host).await
    })
    .await?;
    Ok(answer::no_content())
}
