//! `POST /api/v1/organizations/{organization_id}/members`

use actix_web::{HttpResponse, post};
use db_core::models::organization_member::member_insert;
use db_core::rbac::held;
use db_core::{OrganizationId, RoleId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::MemberView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, InOrganization, Path};
use crate::problem::Problem;

/// A member to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddMember {
    /// The account.
    user_id: Uuid,
    /// Role that it gets for this organization. One that it has there already stays as it is.
    role_id: Uuid,
}

impl Check for AddMember {
    fn check(&self, _: &mut Checker) {}
}

/// Adds a member, with a role for this organization. The caller must hold all of the role there.
#[utoipa::path(tag = "members", params(("organization_id" = Uuid, Path)), request_body = AddMember,
    responses((status = 201, body = MemberView)))]
#[post("/organizations/{organization_id}/members")]
pub(super) async fn add_member(
    can: Can<held::MemberCreate, InOrganization>,
    Path((organization,)): Path<(OrganizationId,)>,
    Body(body): Body<AddMember>,
) -> Result<HttpResponse, Problem> {
    let (user, role) = (UserId::new(body.user_id), RoleId::new(body.role_id));
    let member = can
        .write("add_member", async |tx| {
            member_insert(tx, organization, user, role).await
        })
        .await?;
    let location = format!("/api/v1/organizations/{organization}/members/{user}");
    Ok(answer::created_unversioned(location, &MemberView::from(member)))
}
