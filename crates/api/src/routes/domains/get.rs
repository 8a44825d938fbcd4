//! `GET /api/v1/domains/{domain_id}`

use actix_web::{HttpResponse, get};
use db_core::DomainId;
use db_core::models::domain::domain_get;
use db_core::models::domain_host::domain_host_list;
use db_core::rbac::held;
use futures_util::future::join;
use serde::Serialize;
use utoipa::ToSchema;

use super::DomainView;
use crate::answer;
use crate::extract::{Can, OnPlatform, Path};
use crate::problem::Problem;

/// A domain with its host names.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainWithHosts {
    /// The domain.
    #[serde(flatten)]
    domain: DomainView,
    /// Host names that lead to it at sign-in, in alphabetical order.
    hosts: Vec<String>,
}

/// Shows a domain and the host names that lead to it.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path)), responses((status = 200, body = DomainWithHosts)))]
#[get("/domains/{domain_id}")]
pub(super) async fn get_domain(
    can: Can<held::DomainRead, OnPlatform>,
    Path((id,)): Path<(DomainId,)>,
) -> Result<HttpResponse, Problem> {
    let (domain, hosts) = can
        .read("get_domain", async |tx| {
            let (domain, hosts) = join(domain_get(tx, id), domain_host_list(tx, id)).await;
            Ok((domain?, hosts?))
        })
        .await?;
    Ok(answer::resource(
        domain.version,
        &DomainWithHosts {
            domain: domain.into(),
            hosts,
        },
    ))
}
