//! `GET /api/v1/jobs`

use actix_web::{HttpResponse, get};
use db_core::models::job::{JobFilter, job_list};
use db_core::rbac::held;
use db_core::{BatchId, DomainId};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{JobState, JobView};
use crate::extract::{Can, Listing, OnPlatform, Params, page};
use crate::problem::Problem;

/// Which jobs, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobs {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only those of this domain.
    domain_id: Option<Uuid>,
    /// Only those in this queue.
    queue: Option<String>,
    /// Only those of this kind.
    kind: Option<String>,
    /// Only those in this state; `dead` are the dead letters.
    #[param(inline)]
    state: Option<JobState>,
    /// Only those of this batch.
    batch_id: Option<Uuid>,
}

/// Lists the jobs of all domains, newest first.
#[utoipa::path(tag = "jobs", params(ListJobs), responses((status = 200, body = Listing<JobView>)))]
#[get("/jobs")]
pub(super) async fn list_jobs(
    can: Can<held::JobRead, OnPlatform>,
    Params(params): Params<ListJobs>,
) -> Result<HttpResponse, Problem> {
    let page = page("jobs", params.limit, params.cursor.as_deref())?;
    let filter = JobFilter {
        domain: params.domain_id.map(DomainId::new),
        queue: params.queue,
        kind: params.kind,
        state: params.state.map(Into::into),
        batch: params.batch_id.map(BatchId::new),
    };
    let rows = can
        .read("list_jobs", async |tx| job_list(tx, &filter, &page).await)
        .await?;
    Listing::<JobView>::answer("jobs", rows, |row| row.id.to_string())
}
