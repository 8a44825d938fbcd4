//! `PATCH /api/v1/cards/{card_id}`

use actix_web::{HttpResponse, patch};
use chrono::{DateTime, Utc};
use db_core::models::card::{CardPatch, card_update};
use db_core::rbac::held;
use db_core::text;
use db_core::{CardId, UserId};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::CardView;
use crate::answer;
use crate::extract::{Body, Can, Check, Checker, IfMatch, InCard, Path, nullable};
use crate::problem::Problem;

/// What is to change; a field that is absent stays as it is, null empties it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateCard {
    /// What is to be done, in a line.
    #[schema(min_length = 1, max_length = 500)]
    title: Option<String>,
    /// What is to be done, at length.
    #[schema(max_length = 20000)]
    description: Option<String>,
    /// Who does it.
    #[serde(default, deserialize_with = "nullable")]
    assignee_id: Option<Option<Uuid>>,
    /// When it is to be done.
    #[serde(default, deserialize_with = "nullable")]
    due_at: Option<Option<DateTime<Utc>>>,
}

impl Check for UpdateCard {
    fn check(&self, check: &mut Checker) {
        check.optional("title", self.title.as_ref(), |title| text::check_line(title, 500));
        check.optional("description", self.description.as_ref(), |text| {
            text::check_text(text, 0, 20_000)
        });
        check.optional("due_at", self.due_at.flatten().as_ref(), |time| {
            text::check_time(*time)
        });
    }
}

/// Changes a card, or gives it to somebody.
#[utoipa::path(tag = "cards", params(("card_id" = Uuid, Path), IfMatch), request_body = UpdateCard,
    responses((status = 200, body = CardView)))]
#[patch("/cards/{card_id}")]
pub(super) async fn update_card(
    can: Can<held::CardUpdate, InCard>,
    Path((id,)): Path<(CardId,)>,
    IfMatch(version): IfMatch,
    Body(body): Body<UpdateCard>,
) -> Result<HttpResponse, Problem> {
    let patch = CardPatch {
        title: body.title,
        description: body.description,
        assignee_id: body.assignee_id.map(|assignee| assignee.map(UserId::new)),
        due_at: body.due_at,
    };
    let card = can
        .write("update_card", async |tx| {
            card_update(tx, id, version, &patch).await
        })
        .await?;
    Ok(answer::resource(card.version, &CardView::from(card)))
}
