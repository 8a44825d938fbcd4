//! `GET /api/v1/activity`

use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use db_core::UserId;
use db_core::models::activity::{ActivityEntry, ActivityFilter, Outcome, activity_list};
use db_core::rbac::held;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::extract::{Can, InDomain, Listing, Params, page};
use crate::problem::Problem;

/// Something that was done or refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivityView {
    /// Its id; newest is largest.
    id: Uuid,
    /// When it happened, by the database clock.
    occurred_at: DateTime<Utc>,
    /// Who did it; null for the system and for strangers.
    user_id: Option<Uuid>,
    /// API key it was done with.
    api_key_id: Option<Uuid>,
    /// What was done, such as `card.move`, or the permission that was refused.
    action: String,
    /// `success` or `denied`.
    #[schema(value_type = OutcomeFilter, inline)]
    outcome: String,
    /// Kind of the thing it was done to.
    target_type: Option<String>,
    /// Id of the thing it was done to.
    target_id: Option<Uuid>,
    /// The fields as they were, secrets left out.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// The fields as they are, secrets left out.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
    /// Request that did it; the same as in the log and in the answer.
    request_id: Option<String>,
    /// Address that the request came from.
    ip: Option<String>,
}

impl From<ActivityEntry> for ActivityView {
    fn from(row: ActivityEntry) -> Self {
        Self {
            id: row.id.uuid(),
            occurred_at: row.occurred_at,
            user_id: row.user_id,
            api_key_id: row.api_key_id,
            action: row.action,
            outcome: row.outcome,
            target_type: row.target_type,
            target_id: row.target_id,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
            ip: row.ip.map(|ip| ip.addr().to_string()),
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeFilter {
    /// It was done.
    Success,
    /// It was refused.
    Denied,
}

/// Which rows, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListActivity {
    /// Rows of the page, 1 to 200; 50 when it is not given.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only what was done to this thing.
    target_id: Option<Uuid>,
    /// Only what this user did.
    user_id: Option<Uuid>,
    /// Only this action, such as `card.move`, or this permission that was refused.
    action: Option<String>,
    /// Only what was done, or only what was refused.
    #[param(inline)]
    outcome: Option<OutcomeFilter>,
}

/// Lists what was done and what was refused, newest first.
#[utoipa::path(tag = "activity", params(ListActivity), responses((status = 200, body = Listing<ActivityView>)))]
#[get("/activity")]
pub(super) async fn list_activity(
    can: Can<held::ActivityRead, InDomain>,
    Params(params): Params<ListActivity>,
) -> Result<HttpResponse, Problem> {
    let page = page("activity", params.limit, params.cursor.as_deref())?;
    if params.action.as_ref().is_some_and(|action| action.contains('\0')) {
        let problem = Problem::bad_request("invalid_query", "a query parameter does not fit; see errors");
        return Err(problem.field("action", "must not contain the control character U+0000"));
    }
    let filter = ActivityFilter {
        target: params.target_id,
        user: params.user_id.map(UserId::new),
        action: params.action,
        outcome: params.outcome.map(|outcome| match outcome {
            OutcomeFilter::Success => Outcome::Success,
            OutcomeFilter::Denied => Outcome::Denied,
        }),
    };
    let rows = can
        .read("list_activity", async |tx| {
            activity_list(tx, &filter, &page).await
        })
        .await?;
    Listing::<ActivityView>::answer("activity", rows, |row| row.id.to_string())
}
