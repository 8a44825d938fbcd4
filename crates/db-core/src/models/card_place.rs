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

/// What counts for a limit, where the column has one, and the ranks around a place, leaving out the card that moves.
#[derive(Debug, QueryableByName)]
pub(super) struct Gap {
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
    #[diesel(sql_type = Nullable<Text>)]
    above: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    below: Option<String>,
}

/// How many cards a column `l` with a limit holds besides the card `$2`; nobody counts for the others.
const COUNT: &str = "CASE WHEN l.wip_policy = 'off' THEN 0
    ELSE (SELECT count(*) FROM cards WHERE column_id = $1 AND id IS DISTINCT FROM $2) END AS count";

/// Reads the gap. Each neighbour is one step in the index of ranks: `ORDER BY … LIMIT 1`, because for `max(rank)` the
/// planner, which knows nothing of the domain, takes a column for short and reads all of it.
pub(super) async fn gap(
    mut conn: &AsyncPgConnection,
    column: ColumnId,
    moving: Option<CardId>,
    place: Place,
) -> QueryResult<Gap> {
    let next = "FROM cards WHERE column_id = $1 AND id IS DISTINCT FROM $2";
    let anchor = "(SELECT rank FROM cards WHERE id = $3 AND column_id = $1)";
    let (above, below) = match place {
        Place::Top => (
            "NULL".to_owned(),
            format!("(SELECT rank {next} ORDER BY rank LIMIT 1)"),
        ),
        Place::Bottom => (
            format!("(SELECT rank {next} ORDER BY rank DESC LIMIT 1)"),
            "NULL".to_owned(),
        ),
        Place::Before(_) => (
            format!("(SELECT rank {next} AND rank < {anchor} ORDER BY rank DESC LIMIT 1)"),
            anchor.to_owned(),
        ),
        Place::After(_) => (
            anchor.to_owned(),
            format!("(SELECT rank {next} AND rank > {anchor} ORDER BY rank LIMIT 1)"),
        ),
    };
    let query = diesel::sql_query(format!(
        "SELECT {COUNT}, {above} AS above, {below} AS below FROM board_columns l WHERE l.id = $1"
    ))
    .bind::<SqlUuid, _>(column)
    .bind::<Nullable<SqlUuid>, _>(moving);
    match place {
        Place::Top | Place::Bottom => Cached(query).get_result(&mut conn).await,
        Place::Before(card) | Place::After(card) => {
            Cached(query.bind::<SqlUuid, _>(card)).get_result(&mut conn).await
        }
    }
}

/// Where a new card goes.
#[derive(Debug, QueryableByName)]
pub(super) struct NewPlace {
    /// The next number of the column's project.
    #[diesel(sql_type = Integer)]
    pub(super) number: i32,
    /// The gap at the bottom of the column.
    #[diesel(embed)]
    pub(super) gap: Gap,
}

/// Takes the next number of the column's project and reads the gap at the bottom of the column, which must be locked:
/// the statement may wait for the project's row, and what it reads of the column must still hold then.
pub(super) async fn take_number(mut conn: &AsyncPgConnection, column: ColumnId) -> QueryResult<NewPlace> {
    Cached(
        diesel::sql_query(format!(
            "UPDATE projects p SET last_number = last_number + 1 FROM board_columns l
              WHERE l.id = $1 AND p.id = l.project_id
             RETURNING p.last_number AS number, {COUNT},
                       (SELECT rank FROM cards WHERE column_id = $1 ORDER BY rank DESC LIMIT 1) AS above,
                       NULL AS below"
        ))
        .bind::<SqlUuid, _>(column)
        .bind::<Nullable<SqlUuid>, _>(None::<CardId>),
    )
    .get_result(&mut conn)
    .await
}

impl Gap {
    /// A rank for the place.
    ///
    /// # Errors
    /// `Invalid`, by the field of the request, when the card that the place is said by is not in the column.
    pub(super) fn rank(&self, place: Place) -> Result<String> {
        let absent = match place {
            Place::Top | Place::Bottom => None,
            Place::Before(_) => self.below.is_none().then_some("before"),
            Place::After(_) => self.above.is_none().then_some("after"),
        };
        if let Some(field) = absent {
            return Err(Error::Invalid {
                field,
                message: "must be a card of the column".to_owned(),
            });
        }
        rank::between(self.above.as_deref(), self.below.as_deref())
            .ok_or_else(|| Error::Internal(format!("no rank in {self:?}")))
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
