//! `PATCH /api/v1/domains/{domain_id}`

use actix_web::{HttpResponse, patch};
use db_core::DomainId;
use db_core::models::domain::{check_name, domain_rename};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::ToSchema;

use super::DomainView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, OnPlatform, Path};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is. The slug never changes: people sign in with it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateDomain {
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
}

impl Check for UpdateDomain {
    fn check(&self, check: &mut Checker) {
        check.optional("name", self.name.as_ref(), |name| check_name(name));
    }
}

/// Renames a domain.
#[utoipa::path(tag = "domains", params(("domain_id" = Uuid, Path), IfMatch), request_body = UpdateDomain,
    responses((status = 200, body = DomainView)))]
#[patch("/domains/{domain_id}")]
pub(super) async fn update_domain(
    can: Can<held::DomainUpdate, OnPlatform>,
    Path((id,)): Path<(DomainId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateDomain>,
) -> Result<HttpResponse, Problem> {
    let domain = can
        .write("update_domain", async |tx| {
            domain_rename(tx, id, version, body.name.as_deref()).await
        })
        .await?;
    Ok(answer::resource(domain.version, &DomainView::from(domain)))
}
