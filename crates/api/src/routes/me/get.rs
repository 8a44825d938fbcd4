//! `GET /api/v1/me`

use actix_web::{HttpResponse, get};
use db_core::models::domain::{Domain, domain_current};
use db_core::models::user::{user_current, user_current_permissions};
use futures_util::future::join3;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;
use crate::extract::Own;
use crate::problem::Problem;

/// The caller's account.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// Id of the account.
    id: Uuid,
    /// Its e-mail address.
    email: String,
    /// Its name.
    name: String,
    /// Its domain.
    domain: MyDomain,
    /// What the caller may do in the whole domain, within the limits of the API key used. Roles for one organization or
    /// project may give more there.
    permissions: Vec<String>,
}

/// The caller's domain.
#[derive(Debug, Serialize, ToSchema)]
pub struct MyDomain {
    /// Its id.
    id: Uuid,
    /// Short name used at sign-in; `platform` for platform operators.
    slug: String,
    /// Name shown to people.
    name: String,
}

impl From<Domain> for MyDomain {
    fn from(row: Domain) -> Self {
        Self {
            id: row.id.uuid(),
            slug: row.slug,
            name: row.name,
        }
    }
}

/// Who the caller is.
#[utoipa::path(tag = "me", responses((status = 200, body = Me)))]
#[get("/me")]
pub(super) async fn get_me(own: Own) -> Result<HttpResponse, Problem> {
    let (user, domain, permissions) = own
        .read("get_me", async |tx| {
            // All three are on their way at once: one wait.
            let asked = join3(user_current(tx), domain_current(tx), user_current_permissions(tx));
            let (user, domain, permissions) = asked.await;
            Ok((user?, domain?, permissions?))
        })
        .await?;
    Ok(answer::ok(&Me {
        id: user.id.uuid(),
        email: user.email,
        name: user.name,
        domain: domain.into(),
        permissions,
    }))
}
