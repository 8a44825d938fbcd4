//! `GET /api/v1/domains`

use actix_web::{HttpResponse, get};
use db_core::models::domain::domain_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::DomainView;
use crate::extract::{Can, Listing, OnPlatform, Params, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDomains {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists all domains, oldest first.
#[utoipa::path(tag = "domains", params(ListDomains), responses((status = 200, body = Listing<DomainView>)))]
#[get("/domains")]
pub(super) async fn list_domains(
    can: Can<held::DomainRead, OnPlatform>,
    Params(params): Params<ListDomains>,
) -> Result<HttpResponse, Problem> {
    let page = page("domains", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_domains", async |tx| domain_list(tx, &page).await)
        .await?;
    Listing::<DomainView>::answer("domains", rows, |row| row.id.to_string())
}
