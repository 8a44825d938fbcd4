//! `GET /api/v1/job-batches`

use actix_web::{HttpResponse, get};
use db_core::DomainId;
use db_core::models::job_batch::batch_list;
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::JobBatchView;
use crate::extract::{Can, Listing, OnPlatform, Params, page};
use crate::problem::Problem;

/// Which batches, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobBatches {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only those of this domain.
    domain_id: Option<Uuid>,
}

/// Lists the batches of all domains, newest first. Their counts are exact.
#[utoipa::path(tag = "jobs", params(ListJobBatches), responses((status = 200, body = Listing<JobBatchView>)))]
#[get("/job-batches")]
pub(super) async fn list_job_batches(
    can: Can<held::JobRead, OnPlatform>,
    Params(params): Params<ListJobBatches>,
) -> Result<HttpResponse, Problem> {
    let page = page("job_batches", params.limit, params.cursor.as_deref())?;
    let domain = params.domain_id.map(DomainId::new);
    let rows = can
        .read("list_job_batches", async |tx| batch_list(tx, domain, &page).await)
        .await?;
    Listing::<JobBatchView>::answer("job_batches", rows, |row| row.id.to_string())
}
