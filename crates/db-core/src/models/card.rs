//! `cards`: ordered by rank within their column, numbered within their project.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::future::{join, join3};
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{BoardId, CardId, ColumnId, ProjectId, TagId, UserId};
use crate::models::activity::Activity;
use crate::models::card_place::{gap, lock_column, rank_for, take_number};
use crate::models::{board, check_version};
use crate::page::{Page, PageRequest};
use crate::schema::{card_tags, cards};
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// Foreign key from cards to their column; what stands in the way of deleting columns and boards.
pub(crate) const COLUMN_KEY: &str = "cards_domain_id_column_id_board_id_project_id_fkey";
const ASSIGNEE_KEY: &str = "cards_domain_id_assignee_id_fkey";

/// A card.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = cards, check_for_backend(diesel::pg::Pg))]
pub struct Card {
    /// Its id.
    pub id: CardId,
    /// Project of its board.
    pub project_id: ProjectId,
    /// Board that it stands on.
    pub board_id: BoardId,
    /// Column that it stands in.
    pub column_id: ColumnId,
    /// Number within the project.
    pub number: i32,
    /// Place in the column.
    pub rank: String,
    /// What is to be done, in a line.
    pub title: String,
    /// What is to be done, at length.
    pub description: String,
    /// Who does it.
    pub assignee_id: Option<UserId>,
    /// Who made the card.
    pub created_by: Option<UserId>,
    /// When it is to be done.
    pub due_at: Option<DateTime<Utc>>,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A card to make; it goes to the bottom of its column.
#[derive(Clone, Copy, Debug)]
pub struct NewCard<'a> {
    /// Its id.
    pub id: CardId,
    /// Column that it will stand in.
    pub column_id: ColumnId,
    /// What is to be done, in a line.
    pub title: &'a str,
    /// What is to be done, at length.
    pub description: &'a str,
    /// Who does it.
    pub assignee_id: Option<UserId>,
    /// When it is to be done.
    pub due_at: Option<DateTime<Utc>>,
}

/// What may change; `None` leaves it, `Some(None)` empties it.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = cards)]
pub struct CardPatch {
    /// What is to be done, in a line.
    pub title: Option<String>,
    /// What is to be done, at length.
    pub description: Option<String>,
    /// Who does it.
    pub assignee_id: Option<Option<UserId>>,
    /// When it is to be done.
    pub due_at: Option<Option<DateTime<Utc>>>,
}

/// Where in a column a card goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Above all others.
    Top,
    /// Below all others.
    Bottom,
    /// Right above that card.
    Before(CardId),
    /// Right below that card.
    After(CardId),
}

/// Which cards of a board are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct CardFilter {
    /// Those of one column.
    pub column: Option<ColumnId>,
    /// Those of one person.
    pub assignee: Option<UserId>,
    /// Those that carry a tag.
    pub tag: Option<TagId>,
}

/// What happened besides the change itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whether the column now holds more cards than its limit, under the policy `warn`.
    pub exceeded: bool,
}

/// Cards of a board, oldest first; none also when there is no such board, which [`card_list_check`] tells.
///
/// # Errors
/// A database error.
pub async fn card_list<'a>(
    tx: impl Executor<'a>,
    board: BoardId,
    filter: &CardFilter,
    page: &PageRequest<CardId>,
) -> Result<Page<Card>> {
    let mut query = cards::table
        .select(Card::as_select())
        .filter(cards::board_id.eq(board))
        .order(cards::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(column) = filter.column {
        query = query.filter(cards::column_id.eq(column));
    }
    if let Some(assignee) = filter.assignee {
        query = query.filter(cards::assignee_id.eq(assignee));
    }
    if let Some(tag) = filter.tag {
        query = query.filter(
            cards::id.eq_any(
                card_tags::table
                    .select(card_tags::card_id)
                    .filter(card_tags::tag_id.eq(tag)),
            ),
        );
    }
    if let Some(after) = page.after {
        query = query.filter(cards::id.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// An empty list may mean that there is no such board, column, user or tag: an id that leads nowhere is told, the same
/// way whether it is another domain's or nobody's.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn card_list_check(tx: &Tx<'_>, board: BoardId, filter: &CardFilter) -> Result<()> {
    board::board_get(tx, board).await?;
    if let Some(column) = filter.column {
        super::board_column::column_get(tx, column).await?;
    }
    if let Some(assignee) = filter.assignee {
        super::user::user_get(tx, assignee).await?;
    }
    if let Some(tag) = filter.tag {
        super::tag::tag_get(tx, tag).await?;
    }
    Ok(())
}

/// Cards of a column, top to bottom; none also when there is no such column.
///
/// # Errors
/// A database error.
pub async fn card_list_of_column<'a>(
    tx: impl Executor<'a>,
    column: ColumnId,
    page: &PageRequest<&str>,
) -> Result<Page<Card>> {
    let mut query = cards::table
        .select(Card::as_select())
        .filter(cards::column_id.eq(column))
        .order(cards::rank)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(cards::rank.gt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// One card.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn card_get<'a>(tx: impl Executor<'a>, id: CardId) -> Result<Card> {
    cards::table
        .select(Card::as_select())
        .filter(cards::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("card")
}

/// Makes a card at the bottom of its column.
///
/// Three waits: lock, number and last rank together; the card; activity and COMMIT together.
///
/// # Errors
/// `NotFound` when there is no such column, a conflict when the column is full, `Invalid` for an unknown assignee.
pub async fn card_insert(tx: &WriteTx<'_>, new: &NewCard<'_>) -> Result<(Card, Limit)> {
    let (column, place) = join(
        lock_column(tx.conn(), new.column_id),
        take_number(tx.conn(), new.column_id),
    )
    .await;
    let column = column.or_not_found("column")?;
    let place = place?;
    let limit = column.check_limit(place.gap.count + 1)?;
    let rank = rank_for(tx, new.column_id, None, Place::Bottom, &place.gap).await?;
    let card: Card = Cached(
        diesel::insert_into(cards::table)
            .values((
                cards::id.eq(new.id),
                cards::project_id.eq(column.project_id),
                cards::board_id.eq(column.board_id),
                cards::column_id.eq(new.column_id),
                cards::number.eq(place.number),
                cards::rank.eq(rank),
                cards::title.eq(new.title),
                cards::description.eq(new.description),
                cards::assignee_id.eq(new.assignee_id),
                cards::due_at.eq(new.due_at),
            ))
            .returning(Card::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_invalid(ASSIGNEE_KEY, "assignee_id", "there is no such user")?;
    tx.record(Activity::new("card.create", "card", new.id).after(&card));
    Ok((card, limit))
}

/// Changes a card.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or `Invalid` for an unknown assignee.
pub async fn card_update(
    tx: &WriteTx<'_>,
    id: CardId,
    expected: Option<i32>,
    patch: &CardPatch,
) -> Result<Card> {
    let before = card_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: Card = Cached(
        diesel::update(cards::table.filter(cards::id.eq(id)))
            .set((
                patch,
                cards::version.eq(cards::version + 1),
                cards::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Card::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_invalid(ASSIGNEE_KEY, "assignee_id", "there is no such user")?;
    tx.record(
        Activity::new("card.update", "card", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Moves a card to a place in a column of the same project.
///
/// # Errors
/// `NotFound` for the card, `Invalid` for a column of another project or a neighbour in another column,
/// `StaleVersion`, or a conflict when the column is full.
pub async fn card_move(
    tx: &WriteTx<'_>,
    id: CardId,
    expected: Option<i32>,
    to: ColumnId,
    place: Place,
) -> Result<(Card, Limit)> {
    let mut conn = tx.conn();
    // The column first: whoever waits for it holds no card.
    let (column, before, found) = join3(
        lock_column(tx.conn(), to),
        cards::table
            .select(Card::as_select())
            .filter(cards::id.eq(id))
            .for_update()
            .first::<Card>(&mut conn),
        gap(tx.conn(), to, Some(id), place),
    )
    .await;
    let before = before.or_not_found("card")?;
    let column = match column.or_not_found("column") {
        Ok(column) if column.project_id == before.project_id => column,
        Ok(_) | Err(Error::NotFound(_)) => {
            let message = "there is no such column in the card's project".to_owned();
            return Err(Error::Invalid {
                field: "column_id",
                message,
            });
        }
        Err(error) => return Err(error),
    };
    let found = found?;
    check_version(expected, before.version)?;
    // A move within the column does not make it fuller.
    let limit = if before.column_id == to {
        Limit { exceeded: false }
    } else {
        column.check_limit(found.count + 1)?
    };
    let rank = rank_for(tx, to, Some(id), place, &found).await?;
    let after: Card = Cached(
        diesel::update(cards::table.filter(cards::id.eq(id)))
            .set((
                cards::board_id.eq(column.board_id),
                cards::column_id.eq(to),
                cards::rank.eq(rank),
                cards::version.eq(cards::version + 1),
                cards::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Card::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("card.move", "card", id)
            .before(&Position::of(&before))
            .after(&Position::of(&after)),
    );
    Ok((after, limit))
}

/// Deletes a card; its tags go with it, its number is not given out again.
///
/// # Errors
/// `NotFound`, or `StaleVersion`.
pub async fn card_delete(tx: &WriteTx<'_>, id: CardId, expected: Option<i32>) -> Result<()> {
    let before = card_lock(tx, id).await?;
    check_version(expected, before.version)?;
    diesel::delete(cards::table.filter(cards::id.eq(id)))
        .execute(&mut tx.conn())
        .await?;
    tx.record(Activity::new("card.delete", "card", id).before(&before));
    Ok(())
}

pub(crate) async fn card_lock(tx: &WriteTx<'_>, id: CardId) -> Result<Card> {
    cards::table
        .select(Card::as_select())
        .filter(cards::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("card")
}

/// What the activity stream keeps of a move.
#[derive(Serialize)]
struct Position<'a> {
    board_id: BoardId,
    column_id: ColumnId,
    rank: &'a str,
}

impl<'a> Position<'a> {
    fn of(card: &'a Card) -> Self {
        Self {
            board_id: card.board_id,
            column_id: card.column_id,
            rank: &card.rank,
        }
    }
}
