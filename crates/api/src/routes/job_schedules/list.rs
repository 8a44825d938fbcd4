//! `GET /api/v1/job-schedules`

use actix_web::{HttpResponse, get};
use db_core::models::job_schedule::{ScheduleKey, schedule_list};
use db_core::rbac::held;
use serde::Deserialize;
use utoipa::IntoParams;

use super::JobScheduleView;
use crate::extract::{Can, Listing, OnPlatform, Params, page};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListJobSchedules {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the schedules of all domains, by domain and name.
#[utoipa::path(tag = "jobs", params(ListJobSchedules), responses((status = 200, body = Listing<JobScheduleView>)))]
#[get("/job-schedules")]
pub(super) async fn list_job_schedules(
    can: Can<held::JobRead, OnPlatform>,
    Params(params): Params<ListJobSchedules>,
) -> Result<HttpResponse, Problem> {
    let page = page("job_schedules", params.limit, params.cursor.as_deref())?;
    let rows = can
        .read("list_job_schedules", async |tx| schedule_list(tx, &page).await)
        .await?;
    Listing::<JobScheduleView>::answer("job_schedules", rows, |row| {
        let (domain, name) = (row.domain_id, row.name.clone());
        ScheduleKey { domain, name }.to_string()
    })
}
