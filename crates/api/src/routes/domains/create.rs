//! `POST /api/v1/domains`

use actix_web::{HttpResponse, post};
use db_core::models::domain::{NewDomain, check_name, check_slug, domain_insert};
use db_core::models::user::{check_email, check_password};
use db_core::rbac::held;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::DomainView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, OnPlatform, secret};
use crate::problem::Problem;

/// A domain to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDomain {
    /// Short name used at sign-in: lower-case letters, digits and hyphens.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    slug: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Its first Admin.
    admin: FirstAdmin,
}

/// The first Admin of a domain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstAdmin {
    /// E-mail address; kept in lower case.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@\\s]+@[^@\\s]+$")]
    email: String,
    /// Name shown to people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Password, 10 to 256 characters.
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    password: SecretString,
}

impl Check for CreateDomain {
    fn check(&self, check: &mut Checker) {
        check.field("slug", check_slug(&self.slug));
        check.field("name", check_name(&self.name));
        check.field("admin.email", check_email(&self.admin.email));
        check.field("admin.name", check_name(&self.admin.name));
        check.field("admin.password", check_password(&self.admin.password));
    }
}

/// Makes a domain with its first Admin.
#[utoipa::path(tag = "domains", request_body = CreateDomain, responses((status = 201, body = DomainView)))]
#[post("/domains")]
pub(super) async fn create_domain(
    can: Can<held::DomainCreate, OnPlatform>,
    Body(body): Body<CreateDomain>,
) -> Result<HttpResponse, Problem> {
    let passwords = can.pool().passwords();
    let password = passwords.hash(&body.admin.password)?;
    let new = NewDomain {
        slug: &body.slug,
        name: &body.name,
        admin_email: &body.admin.email,
        admin_name: &body.admin.name,
        admin_password: &password,
    };
    let domain = can
        .write_hashing("create_domain", async |tx| domain_insert(tx, &new).await)
        .await?;
    Ok(answer::created(
        format!("/api/v1/domains/{}", domain.id),
        domain.version,
        &DomainView::from(domain),
    ))
}
