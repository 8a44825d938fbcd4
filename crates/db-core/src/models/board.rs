//! `boards`: kanban boards of a project.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::cached::Cached;
use crate::error::{Error, Meaning as _, Result};
use crate::ids::{BoardId, ProjectId};
use crate::models::activity::Activity;
use crate::models::check_version;
use crate::page::{Page, PageRequest};
use crate::schema::boards;
use crate::single_statement::Executor;
use crate::tx::{Tx, WriteTx};

/// A board.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = boards, check_for_backend(diesel::pg::Pg))]
pub struct Board {
    /// Its id.
    pub id: BoardId,
    /// Project that owns it.
    pub project_id: ProjectId,
    /// Name shown to people.
    pub name: String,
    /// Counts changes.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A board to make.
#[derive(Clone, Copy, Debug, Insertable)]
#[diesel(table_name = boards)]
pub struct NewBoard<'a> {
    /// Its id.
    pub id: BoardId,
    /// Project that will own it.
    pub project_id: ProjectId,
    /// Name shown to people.
    pub name: &'a str,
}

/// What may change; `None` leaves it.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = boards)]
pub struct BoardPatch {
    /// Name shown to people.
    pub name: Option<String>,
}

/// Boards of a project, oldest first.
///
/// # Errors
/// `NotFound` when there is no such project, or a database error.
pub async fn board_list(tx: &Tx<'_>, project: ProjectId, page: &PageRequest<BoardId>) -> Result<Page<Board>> {
    let mut query = boards::table
        .select(Board::as_select())
        .filter(boards::project_id.eq(project))
        .order(boards::id)
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = page.after {
        query = query.filter(boards::id.gt(after));
    }
    let rows: Vec<Board> = query.load(&mut tx.conn()).await?;
    if rows.is_empty() {
        super::project::project_get(tx, project).await?;
    }
    Ok(page.cut(rows))
}

/// One board.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn board_get<'a>(tx: impl Executor<'a>, id: BoardId) -> Result<Board> {
    boards::table
        .select(Board::as_select())
        .filter(boards::id.eq(id))
        .first(&mut tx.conn())
        .await
        .or_not_found("board")
}

/// Makes a board.
///
/// # Errors
/// `NotFound` when there is no such project.
pub async fn board_insert(tx: &WriteTx<'_>, new: &NewBoard<'_>) -> Result<Board> {
    let inserted: Result<Board> = Cached(
        diesel::insert_into(boards::table)
            .values(*new)
            .returning(Board::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await
    .map_err(Error::from);
    let board = match inserted {
        Err(error) if error.violated_constraint() == Some("boards_domain_id_project_id_fkey") => {
            return Err(Error::NotFound("project"));
        }
        result => result?,
    };
    tx.record(Activity::new("board.create", "board", new.id).after(&board));
    Ok(board)
}

/// Changes a board.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a database error.
pub async fn board_update(
    tx: &WriteTx<'_>,
    id: BoardId,
    expected: Option<i32>,
    patch: &BoardPatch,
) -> Result<Board> {
    let before = board_lock(tx, id).await?;
    check_version(expected, before.version)?;
    let after: Board = Cached(
        diesel::update(boards::table.filter(boards::id.eq(id)))
            .set((
                patch,
                boards::version.eq(boards::version + 1),
                boards::updated_at.eq(diesel::dsl::now),
            ))
            .returning(Board::as_returning()),
    )
    .get_result(&mut tx.conn())
    .await?;
    tx.record(
        Activity::new("board.update", "board", id)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}

/// Deletes a board whose columns hold no cards any more; the columns go with it.
///
/// # Errors
/// `NotFound`, `StaleVersion`, or a conflict while cards are left.
pub async fn board_delete(tx: &WriteTx<'_>, id: BoardId, expected: Option<i32>) -> Result<()> {
    let before = board_lock(tx, id).await?;
    check_version(expected, before.version)?;
    diesel::delete(boards::table.filter(boards::id.eq(id)))
        .execute(&mut tx.conn())
        .await
        .or_conflict(
            super::card::COLUMN_KEY,
            "board_not_empty",
            "the board still has cards",
        )?;
    tx.record(Activity::new("board.delete", "board", id).before(&before));
    Ok(())
}

async fn board_lock(tx: &WriteTx<'_>, id: BoardId) -> Result<Board> {
    boards::table
        .select(Board::as_select())
        .filter(boards::id.eq(id))
        .for_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("board")
}
