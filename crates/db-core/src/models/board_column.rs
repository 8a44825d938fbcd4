//! `board_columns`: columns of a board. Cards that come in lock the column's row, so that ranks and limits hold.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{BoardId, ColumnId, ProjectId};
use crate::models::activity::Activity;
use crate::models::{board, check_version};
use crate::rank;
use crate::schema::{board_columns, boards};
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// Most columns that a board may have; they are listed without pages.
pub const MAX_COLUMNS: i64 = 100;

/// A column of a board.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = board_columns, check_for_backend(diesel::pg::Pg))]
pub struct BoardColumn {
    /// Its id.
    pub id: ColumnId,
    /// Project of the board.
    pub project_id: ProjectId,
    /// Board that it stands on.
    pub board_id: BoardId,
    /// Name shown to people.
    pub name: String,
    /// Place among the columns.
    pub rank: String,
    /// How many cards may stand in it.
    pub wip_limit: Option<i32>,
    /// What happens above the limit: `off`, `warn` or `block`.
    pub wip_policy: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A column to make; it goes to the right of the others.
#[derive(Clone, Copy, Debug)]
pub struct NewColumn<'a> {
    /// Its id.
    pub id: ColumnId,
    /// Board that it will stand on.
    pub board_id: BoardId,
    /// Name shown to people.
    pub name: &'a str,
    /// How many cards may stand in it.
    pub wip_limit: Option<i32>,
    /// What happens above the limit: `off`, `warn` or `block`.
    pub wip_policy: &'a str,
}

/// What may change; `None` leaves it, `Some(None)` takes the limit away.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = board_columns)]
pub struct ColumnPatch {
    /// Name shown to people.
    pub name: Option<String>,
    /// How many cards may stand in it.
    pub wip_limit: Option<Option<i32>>,
    /// What happens above the limit.
    pub wip_policy: Option<String>,
}

/// Columns of a board, left to right.
///
/// # Errors
/// `NotFound` when there is no such board, or a database error.
pub async fn column_list(tx: &Tx<'_>, board: BoardId) -> Result<Vec<BoardColumn>> {
    let rows: Vec<BoardColumn> = board_columns::table
        .select(BoardColumn::as_select())
        .filter(board_columns::board_id.eq(board))
        .order(board_columns::rank)
        .limit(MAX_COLUMNS)
        .load(&mut tx.conn())
        .await?;
    if rows.is_empty() {
        board::board_get(tx, board).await?;
    }
    Ok(rows)
}

/// One column.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn column_get<'a>(tx: impl Executor<'a>, id: ColumnId) -> Result<BoardColumn> {
    board_columns::table
        .select(BoardColumn::as_select())
        .filter(board_columns::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("column")
}

/// Makes a column at the right end of its board.
///
/// # Errors
/// `NotFound` when there is no such board, a conflict when the board is full, `Invalid` when the policy has no limit.
pub async fn column_insert(tx: &WriteTx<'_>, new: &NewColumn<'_>) -> Result<BoardColumn> {
    // The board's row is locked: two new columns never get one rank.
    let project: ProjectId = boards::table
        .select(boards::project_id)
        .filter(boards::id.eq(new.board_id))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("board")?;
    let (last, count): (Option<String>, i64) = board_columns::table
        .select((diesel::dsl::max(board_columns::rank), diesel::dsl::count_star()))
        .filter(board_columns::board_id.eq(new.board_id))
        .first(&mut tx.conn())
        .await?;
    if count >= MAX_COLUMNS {
        return Err(Error::conflict(
            "board_full",
            format!("a board has at most {MAX_COLUMNS} columns"),
        ));
    }
    let rank = rank::between(last.as_deref(), None)
        .ok_or_else(|| Error::Internal(format!("no rank after {last:?}")))?;
    let column: BoardColumn = Cached(
        diesel::insert_into(board_columns::table)
            .values((
                board_columns::id.eq(new.id),
                board_columns::project_id.eq(project),
                board_columns::board_id.eq(new.board_id),
                board_columns::name.eq(new.name),
                board_columns::rank.eq(rank),
                board_columns::wip_limit.eq(new.wip_limit),
                board_columns::wip_policy.eq(new.wip_policy),
            ))
            .returning(BoardColumn::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_invalid(LIMIT_CHECK, "wip_limit", "must be given unless wip_policy is off")?;
    tx.record(Activity::new("column.create", "column", new.id).after(&column));
    Ok(column)
}

/// The CHECK that a policy other than `off` has a limit.
const LIMIT_CHECK: &str = "board_columns_check";

/// Changes a column.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or `Invalid` when the policy has no limit.
pub async fn column_update(
    tx: &WriteTx<'_>,
    id: ColumnId,
    expected: Option<i32>,
    patch: &ColumnPatch,
) -> Result<BoardColumn> {
    let before = column_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: BoardColumn = Cached(
        diesel::update(board_columns::table.filter(board_columns::id.eq(id)))
            .set((
                patch,
                board_columns::version.eq(board_columns::version + 1),
                board_columns::updated_at.eq(diesel::dsl::now),
            ))
            .returning(BoardColumn::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .or_invalid(LIMIT_CHECK, "wip_limit", "must be given unless wip_policy is off")?;
    tx.record(
        Activity::new("column.update", "column", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Puts a column before another of its board, or at the right end.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or `Invalid` when the other column stands on another board.
pub async fn column_move(
    tx: &WriteTx<'_>,
    id: ColumnId,
    expected: Option<i32>,
    before: Option<ColumnId>,
) -> Result<BoardColumn> {
    let board: BoardId = column_get(tx, id).await?.board_id;
    boards::table
        .select(boards::id)
        .filter(boards::id.eq(board))
        .for_no_key_update()
        .first::<BoardId>(&mut tx.conn())
        .await
        .or_not_found("board")?;
    let columns = column_list(tx, board).await?;
    let moved = columns
        .iter()
        .find(|column| column.id == id)
        .ok_or(Error::NotFound("column"))?;
    check_version(expected, moved.version)?;
    let others: Vec<&BoardColumn> = columns.iter().filter(|column| column.id != id).collect();
    let place = match before {
        None => others.len(),
        Some(before) => others
            .iter()
            .position(|column| column.id == before)
            .ok_or(Error::Invalid {
                field: "before",
                message: "must be another column of the same board".to_owned(),
            })?,
    };
    let low = place
        .checked_sub(1)
        .and_then(|index| others.get(index))
        .map(|column| column.rank.as_str());
    let high = others.get(place).map(|column| column.rank.as_str());
    let new = rank::between(low, high)
        .ok_or_else(|| Error::Internal(format!("no rank between {low:?} and {high:?}")))?;
    if new.len() > rank::MAX_RANK {
        // A board has few columns: all of them get new ranks, this one in its place.
        let mut order: Vec<ColumnId> = others.iter().map(|column| column.id).collect();
        order.insert(place, id);
        for (column, rank) in order.iter().zip(rank::spread(order.len())) {
            diesel::update(board_columns::table.filter(board_columns::id.eq(column)))
                // Behind every rank there is, so that no two meet on the way.
                .set(board_columns::rank.eq(format!("zz{rank}")))
                .execute(&mut tx.conn())
                .await?;
        }
        diesel::update(board_columns::table.filter(board_columns::board_id.eq(board)))
            .set(board_columns::rank.eq(diesel::dsl::sql("substr(rank, 3)")))
            .execute(&mut tx.conn())
            .await?;
        return column_placed(tx, id, None, moved).await;
    }
    column_placed(tx, id, Some(new), moved).await
}

async fn column_placed(
    tx: &WriteTx<'_>,
    id: ColumnId,
    rank: Option<String>,
    before: &BoardColumn,
) -> Result<BoardColumn> {
    let after: BoardColumn = Cached(
        diesel::update(board_columns::table.filter(board_columns::id.eq(id)))
            .set((
                rank.map(|rank| board_columns::rank.eq(rank)),
                board_columns::version.eq(board_columns::version + 1),
                board_columns::updated_at.eq(diesel::dsl::now),
            ))
            .returning(BoardColumn::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("column.move", "column", id)
            .before(before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes a column that holds no cards any more.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict while cards are left.
pub async fn column_delete(tx: &WriteTx<'_>, id: ColumnId, expected: Option<i32>) -> Result<()> {
    let before = column_lock(tx, id).await?;
    check_version(expected, before.version)?;
    diesel::delete(board_columns::table.filter(board_columns::id.eq(id)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            super::card::COLUMN_KEY,
            "column_not_empty",
            "the column still has cards",
        )?;
    tx.record(Activity::new("column.delete", "column", id).before(&before));
    Ok(())
}

async fn column_lock(tx: &WriteTx<'_>, id: ColumnId) -> Result<BoardColumn> {
    board_columns::table
        .select(BoardColumn::as_select())
        .filter(board_columns::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("column")
}
