//! Where a card goes: locking the column, finding the gap, and spreading ranks anew when a gap is too narrow.
//!
//! Whoever puts a card into a column locks the column's row first. So two people never see the same gap, and a limit
//! counts what is really there.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::cached::Cached;
use crate::error::{Error, Result};
use crate::ids::{BoardId, CardId, ColumnId, ProjectId};
use crate::models::card::{Limit, Place};
use crate::rank;
use crate::schema::cards;
use crate::tx::WriteTx;

/// A column whose row this transaction has locked.
#[derive(Debug, QueryableByName)]
pub(super) struct LockedColumn {
    #[diesel(sql_type = SqlUuid)]
    pub(super) project_id: ProjectId,
    #[diesel(sql_type = SqlUuid)]
    pub(super) board_id: BoardId,
    #[diesel(sql_type = Nullable<Integer>)]
    wip_limit: Option<i32>,
    #[diesel(sql_type = Text)]
    wip_policy: String,
}

/// Locks the column. Deleting it waits; reading it does not.
pub(super) async fn lock_column(mut conn: &AsyncPgConnection, id: ColumnId) -> QueryResult<LockedColumn> {
    Cached(
        diesel::sql_query(
            "SELECT project_id, board_id, wip_limit, wip_policy FROM board_columns WHERE id = $1 FOR NO KEY UPDATE",
        )
        .bind::<SqlUuid, _>(id),
    )
    .get_result(&mut conn)
    .await
}

impl LockedColumn {
    /// Whether the column may hold `count` cards.
    pub(super) fn check_limit(&self, count: i64) -> Result<Limit> {
        let exceeded = self.wip_limit.is_some_and(|limit| count > i64::from(limit));
        match self.wip_policy.as_str() {
            "block" if exceeded => Err(Error::conflict(
                "wip_limit_reached",
                format!(
                    "the column holds at most {} cards",
                    self.wip_limit.unwrap_or_default()
                ),
            )),
            "warn" => Ok(Limit { exceeded }),
            _ => Ok(Limit { exceeded: false }),
        }
    }
}

/// Takes the next number of the column's project.
pub(super) async fn next_number(mut conn: &AsyncPgConnection, column: ColumnId) -> QueryResult<i32> {
    #[derive(QueryableByName)]
    struct Number {
        #[diesel(sql_type = Integer)]
        last_number: i32,
    }
    let number: Number = Cached(
        diesel::sql_query(
            "UPDATE projects SET last_number = last_number + 1
              WHERE id = (SELECT project_id FROM board_columns WHERE id = $1) RETURNING last_number",
        )
        .bind::<SqlUuid, _>(column),
    )
    .get_result(&mut conn)
    .await?;
    Ok(number.last_number)
}

/// The ranks around a place in a column, leaving out the card that moves.
#[derive(Debug, QueryableByName)]
pub(super) struct Gap {
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
    #[diesel(sql_type = Nullable<Text>)]
    first: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    last: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    anchor: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    above: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    below: Option<String>,
}

/// Reads the gap. Its cost grows with the column only by counting, which a limit asks for.
pub(super) async fn gap(
    mut conn: &AsyncPgConnection,
    column: ColumnId,
    moving: Option<CardId>,
    place: Place,
) -> QueryResult<Gap> {
    Cached(
        diesel::sql_query(
            "SELECT CASE WHEN l.wip_policy = 'off' THEN 0
                    ELSE (SELECT count(*) FROM cards WHERE column_id = $1 AND id IS DISTINCT FROM $2) END AS count,
                    (SELECT min(rank) FROM cards WHERE column_id = $1 AND id IS DISTINCT FROM $2) AS first,
                    (SELECT max(rank) FROM cards WHERE column_id = $1 AND id IS DISTINCT FROM $2) AS last,
                    a.rank AS anchor,
                    (SELECT max(rank) FROM cards WHERE column_id = $1 AND rank < a.rank AND id IS DISTINCT FROM $2) AS above,
                    (SELECT min(rank) FROM cards WHERE column_id = $1 AND rank > a.rank AND id IS DISTINCT FROM $2) AS below
               FROM board_columns l LEFT JOIN cards a ON a.id = $3 AND a.column_id = $1
              WHERE l.id = $1",
        )
        .bind::<SqlUuid, _>(column)
        .bind::<Nullable<SqlUuid>, _>(moving)
        .bind::<Nullable<SqlUuid>, _>(place.anchor()),
    )
    .get_result(&mut conn)
    .await
}

impl Place {
    /// The card that the place is said by.
    pub(super) fn anchor(self) -> Option<CardId> {
        match self {
            Self::Top | Self::Bottom => None,
            Self::Before(card) | Self::After(card) => Some(card),
        }
    }
}

impl Gap {
    /// A rank for the place.
    ///
    /// # Errors
    /// `Invalid` when the card that the place is said by is not in the column.
    pub(super) fn rank(&self, place: Place) -> Result<String> {
        let text = |rank: &'static str| move || Error::Internal(format!("no rank {rank}"));
        let anchor = || {
            self.anchor.as_deref().ok_or(Error::Invalid {
                field: "place",
                message: "the neighbour is not in the column".to_owned(),
            })
        };
        match place {
            Place::Top => rank::between(None, self.first.as_deref()).ok_or_else(text("at the top")),
            Place::Bottom => rank::between(self.last.as_deref(), None).ok_or_else(text("at the bottom")),
            Place::Before(_) => {
                rank::between(self.above.as_deref(), Some(anchor()?)).ok_or_else(text("before the neighbour"))
            }
            Place::After(_) => {
                rank::between(Some(anchor()?), self.below.as_deref()).ok_or_else(text("after the neighbour"))
            }
        }
    }
}

/// A rank for the place in a locked column. When the gap has become too narrow, all cards of the column get new ranks
/// in the same order; their versions stay, since nothing that people see has changed.
pub(super) async fn rank_for(
    tx: &WriteTx<'_>,
    column: ColumnId,
    moving: Option<CardId>,
    place: Place,
    found: &Gap,
) -> Result<String> {
    let rank = found.rank(place)?;
    if rank.len() <= rank::MAX_RANK {
        return Ok(rank);
    }
    let order: Vec<CardId> = cards::table
        .select(cards::id)
        .filter(cards::column_id.eq(column))
        .order(cards::rank)
        .load(&mut tx.conn())
        .await?;
    let ranks = rank::spread(order.len());
    // One statement: the ranks are unique again at its end.
    diesel::sql_query(
        "UPDATE cards SET rank = n.rank FROM unnest($1, $2) AS n (id, rank) WHERE cards.id = n.id AND cards.column_id = $3",
    )
    .bind::<Array<SqlUuid>, _>(order)
    .bind::<Array<Text>, _>(ranks)
    .bind::<SqlUuid, _>(column)
    .execute(&mut tx.conn())
    .await?;
    gap(tx.conn(), column, moving, place).await?.rank(place)
}
