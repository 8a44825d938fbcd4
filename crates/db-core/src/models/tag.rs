//! `tags` and `card_tags`: labels of a project, and which card carries which.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{CardId, ProjectId, TagId};
use crate::models::activity::Activity;
use crate::models::{card, check_version, lower, project};
use crate::page::{Page, PageRequest};
use crate::schema::{card_tags, tags};
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// A label that cards of a project may carry.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = tags, check_for_backend(diesel::pg::Pg))]
pub struct Tag {
    /// Its id.
    pub id: TagId,
    /// Project that owns it.
    pub project_id: ProjectId,
    /// Name shown to people; unique within the project, whatever its case.
    pub name: String,
    /// Colour as `#rrggbb` in lower case.
    pub color: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A tag to make.
#[derive(Clone, Copy, Debug)]
pub struct NewTag<'a> {
    /// Its id.
    pub id: TagId,
    /// Project that will own it.
    pub project_id: ProjectId,
    /// Name shown to people.
    pub name: &'a str,
    /// Colour, as [`check_color`] wants it.
    pub color: &'a str,
}

/// What may change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct TagPatch {
    /// Name shown to people.
    pub name: Option<String>,
    /// Colour, as [`check_color`] wants it.
    pub color: Option<String>,
}

/// A colour: `#` and six hexadecimal digits, of either case.
///
/// # Errors
/// Says what is wrong.
pub fn check_color(color: &str) -> std::result::Result<(), String> {
    let fits = color
        .strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if fits {
        Ok(())
    } else {
        Err("must be # and six hexadecimal digits, such as #0a7ea4".to_owned())
    }
}

/// Tags of a project, oldest first.
///
/// # Errors
/// `NotFound` when there is no such project, or a database error.
pub async fn tag_list(tx: &Tx<'_>, project: ProjectId, page: &PageRequest<TagId>) -> Result<Page<Tag>> {
    let mut query = tags::table
        .select(Tag::as_select())
        .filter(tags::project_id.eq(project))
        .order(tags::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(tags::id.gt(after));
    }
    let rows: Vec<Tag> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        project::project_get(tx, project).await?;
    }
    Ok(page.cut(rows))
}

/// One tag.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn tag_get<'a>(tx: impl Executor<'a>, id: TagId) -> Result<Tag> {
    tags::table
        .select(Tag::as_select())
        .filter(tags::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("tag")
}

/// Makes a tag.
///
/// # Errors
/// `NotFound` when there is no such project, a conflict when the name is taken.
pub async fn tag_insert(tx: &WriteTx<'_>, new: &NewTag<'_>) -> Result<Tag> {
    let inserted = Cached(
        diesel::insert_into(tags::table)
            .values((
                tags::id.eq(new.id),
                tags::project_id.eq(new.project_id),
                tags::name.eq(new.name),
                tags::name_key.eq(lower(new.name)),
                tags::color.eq(new.color.to_ascii_lowercase()),
            ))
            .returning(Tag::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "tags_name_key",
        "name_taken",
        format!("the project has a tag {:?} already", new.name),
    );
    let tag: Tag = match inserted {
        Err(error) if error.violated_constraint() == Some("tags_domain_id_project_id_fkey") => {
            return Err(Error::NotFound("project"));
        }
        result => result?,
    };
    tx.record(Activity::new("tag.create", "tag", new.id).after(&tag));
    Ok(tag)
}

/// Changes a tag.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict when the name is taken.
pub async fn tag_update(tx: &WriteTx<'_>, id: TagId, expected: Option<i32>, patch: &TagPatch) -> Result<Tag> {
    let before = tag_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: Tag = Cached(
        diesel::update(tags::table.filter(tags::id.eq(id)))
            .set((
                patch.name.as_ref().map(|name| tags::name.eq(name)),
                patch.name.as_ref().map(|name| tags::name_key.eq(lower(name))),
                patch
                    .color
                    .as_ref()
                    .map(|color| tags::color.eq(color.to_ascii_lowercase())),
                tags::version.eq(tags::version + 1),
                tags::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Tag::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_conflict(
        "tags_name_key",
        "name_taken",
        "the project has a tag of this name already",
    )?;
    tx.record(
        Activity::new("tag.update", "tag", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes a tag; no card carries it any more.
///
/// # Errors
/// `NotFound`, or `StaleVersion`.
pub async fn tag_delete(tx: &WriteTx<'_>, id: TagId, expected: Option<i32>) -> Result<()> {
    let before = tag_lock(tx, id).await?;
    check_version(expected, before.version)?;
    diesel::delete(tags::table.filter(tags::id.eq(id)))
        .execute(&mut tx.conn())
        .await?;
    tx.record(Activity::new("tag.delete", "tag", id).before(&before));
    Ok(())
}

/// Tags that a card carries, oldest first.
///
/// # Errors
/// `NotFound` when there is no such card, or a database error.
pub async fn card_tag_list(tx: &Tx<'_>, card: CardId, page: &PageRequest<TagId>) -> Result<Page<Tag>> {
    let mut query = tags::table
        .select(Tag::as_select())
        .filter(
            tags::id.eq_any(
                card_tags::table
                    .select(card_tags::tag_id)
                    .filter(card_tags::card_id.eq(card)),
            ),
        )
        .order(tags::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(tags::id.gt(after));
    }
    let rows: Vec<Tag> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        card::card_get(tx, card).await?;
    }
    Ok(page.cut(rows))
}

/// Puts a tag of its project on a card. Once more is no error, and changes nothing.
///
/// # Errors
/// `NotFound` when there is no such card, or its project has no such tag.
pub async fn card_tag_add(tx: &WriteTx<'_>, card: CardId, tag: TagId) -> Result<()> {
    #[derive(QueryableByName)]
    struct Added {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Bool)]
        added: bool,
    }
    let result: Result<Added> = Cached(
        diesel::sql_query(
            "WITH pair AS (
                 SELECT c.project_id, c.id AS card_id, t.id AS tag_id, t.name
                   FROM cards c JOIN tags t ON t.domain_id = c.domain_id AND t.project_id = c.project_id
                  WHERE c.id = $1 AND t.id = $2
             ), inserted AS (
                 INSERT INTO card_tags (project_id, card_id, tag_id) SELECT project_id, card_id, tag_id FROM pair
                 ON CONFLICT DO NOTHING RETURNING tag_id
             )
             SELECT name, EXISTS (SELECT FROM inserted) AS added FROM pair",
        )
        .bind::<SqlUuid, _>(card)
        .bind::<SqlUuid, _>(tag),
    )
    .get_result(&mut tx.conn())
    .await
    .or_not_found("tag");
    let added = match result {
        // Deleted in this moment.
        Err(error) if error.violated_constraint().is_some() => return Err(Error::NotFound("tag")),
        result => result?,
    };
    if added.added {
        tx.record(Activity::new("card.tag", "card", card).after(&CardTag {
            tag_id: tag,
            name: &added.name,
        }));
    } else {
        tx.unchanged();
    }
    Ok(())
}

/// Takes a tag off a card.
///
/// # Errors
/// `NotFound` when the card does not carry it.
pub async fn card_tag_remove(tx: &WriteTx<'_>, card: CardId, tag: TagId) -> Result<()> {
    #[derive(QueryableByName)]
    struct Removed {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let removed: Removed = Cached(
        diesel::sql_query(
            "DELETE FROM card_tags ct USING tags t
              WHERE ct.card_id = $1 AND ct.tag_id = $2 AND t.domain_id = ct.domain_id AND t.id = ct.tag_id
             RETURNING t.name",
        )
        .bind::<SqlUuid, _>(card)
        .bind::<SqlUuid, _>(tag),
    )
    .get_result(&mut tx.conn())
    .await
    .or_not_found("tag")?;
    tx.record(Activity::new("card.untag", "card", card).before(&CardTag {
        tag_id: tag,
        name: &removed.name,
    }));
    Ok(())
}

async fn tag_lock(tx: &WriteTx<'_>, id: TagId) -> Result<Tag> {
    tags::table
        .select(Tag::as_select())
        .filter(tags::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("tag")
}

/// What the activity stream keeps of a tag on a card.
#[derive(Serialize)]
struct CardTag<'a> {
    tag_id: TagId,
    name: &'a str,
}
