//! Partitions of the activity stream, one for each month in UTC: made ahead, and dropped when all of it is older than what is kept.
//!
//! While a statement waits for a strong lock, everybody else waits behind it. So each waits for a moment only, then lets the others
//! pass before it tries again; and the work under the lock is a matter of the catalogue.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveTime, Utc};
use job_queue::{Backoff, Failure, Job};
use pg_connect::ConnectError;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::{MAKE_ACTIVITY_PARTITIONS, go_on};
use crate::jobs::{JobContext, queue};
use crate::owner::Owner;

/// Months after this one that have partitions: so long may nobody run jobs before rows go to the default partition again.
const AHEAD: u32 = 3;
/// Rows that stood in the default partition and go to the one that is made; with more, their month stays there.
const MOVED: usize = 10_000;
/// How often a lock is tried for.
const TRIES: u32 = 20;
/// How long those who waited behind us are let pass.
const PAUSE: Duration = Duration::from_millis(700);

/// Makes the partitions of the activity stream for this month and the next ones, where they are missing.
#[derive(Debug, Serialize, Deserialize)]
pub struct MakeActivityPartitions {}

impl Job for MakeActivityPartitions {
    const NAME: &'static str = MAKE_ACTIVITY_PARTITIONS;
    const QUEUE: &'static str = queue::MAINTENANCE;
    const KEEP_COMPLETED: bool = false;
    // A backup holds the lock for as long as it dumps.
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(60),
        longest: Duration::from_secs(3600),
        jitter: 0.25,
    };
}

/// A partition and its bounds, `None` for none. The default partition is not one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Partition {
    /// As it stands in SQL.
    name: String,
    /// First id.
    from: Option<Uuid>,
    /// First id behind it.
    to: Option<Uuid>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
enum Obstacle {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", pg_connect::describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    #[error("a migration, a backup or work on a domain is under way")]
    Migrating,
}

impl Obstacle {
    /// Whether somebody was in the way, who may be gone in a moment.
    fn is_somebody(&self) -> bool {
        match self {
            Self::Migrating => true,
            Self::Statement(error) => [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED]
                .iter()
                .any(|state| error.code() == Some(state)),
            Self::Connect(_) => false,
        }
    }
}

/// Makes what is missing.
pub(super) async fn make(context: &JobContext) -> Result<(), Failure> {
    for ahead in 0..=AHEAD {
        patiently(async || make_month(&context.owner, ahead).await).await?;
        go_on(context)?;
    }
    Ok(())
}

/// Drops partitions that have no id from `before` on. Returns how many rows of which domains went with them.
pub(super) async fn drop_past(context: &JobContext, before: Uuid) -> Result<Vec<(Uuid, u64)>, Failure> {
    let mut gone = Vec::new();
    let mut past = context
        .system(async |tx| Ok(partitions(tx.client()).await?))
        .await?;
    past.retain(|partition| partition.to.is_some_and(|to| to <= before));
    for partition in past {
        let rows = context
            .system(async |tx| {
                let sql = "SELECT domain_id, count(*) FROM public.activity_stream WHERE id >= $1 AND id < $2 GROUP BY domain_id";
                let bounds = (partition.from.unwrap_or_default(), partition.to);
                Ok(tx.client().query(sql, &[&bounds.0, &bounds.1]).await?)
            })
            .await?;
        if patiently(async || drop_one(&context.owner, &partition).await).await? {
            gone.extend(rows.iter().map(|row| {
                (
                    row.get(0),
                    u64::try_from(row.get::<_, i64>(1)).unwrap_or_default(),
                )
            }));
            tracing::info!(
                partition = partition.name,
                "dropped a partition of the activity stream"
            );
        }
        go_on(context)?;
    }
    Ok(gone)
}

/// First id of a time: a UUIDv7 begins with its milliseconds.
pub(super) fn first_id(time: DateTime<Utc>) -> Uuid {
    let millis = u128::try_from(time.timestamp_millis()).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

/// When the month begins that comes `ahead` months after that of `now`.
fn month(now: DateTime<Utc>, ahead: u32) -> Option<DateTime<Utc>> {
    let day = now.date_naive();
    let first = day.checked_sub_days(Days::new(u64::from(day.day0())))?;
    let first = first.checked_add_months(Months::new(ahead))?;
    Some(first.and_time(NaiveTime::MIN).and_utc())
}

/// Tries until nobody is in the way, for some seconds.
async fn patiently<T>(work: impl AsyncFn() -> Result<T, Obstacle>) -> Result<T, Failure> {
    let mut tries = 1;
    loop {
        match work().await {
            Err(obstacle) if obstacle.is_somebody() && tries < TRIES => {
                tracing::debug!(%obstacle, tries, "the activity stream's partitions stay as they are for now");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            result => return Ok(result?),
        }
    }
}

/// A transaction as whom the table belongs to, while nobody migrates.
struct Change {
    client: Client,
    as_owner: String,
}

impl Change {
    async fn begin(owner: &Owner) -> Result<Self, Obstacle> {
        let client = owner.connect().await?;
        client
            .batch_execute("BEGIN; SET LOCAL lock_timeout = '300ms'; SET LOCAL statement_timeout = '10s'")
            .await?;
        let row = client
            .query_one(
                "SELECT pg_try_advisory_xact_lock($1), format('SET LOCAL ROLE %I', pg_get_userbyid(relowner))
                   FROM pg_class WHERE oid = 'public.activity_stream'::regclass",
                &[&db_migrate::LOCK],
            )
            .await?;
        if !row.get::<_, bool>(0) {
            return Err(Obstacle::Migrating);
        }
        let as_owner: String = row.get(1);
        client.batch_execute(&as_owner).await?;
        Ok(Self { client, as_owner })
    }

    /// Whoever owns the table sees none of its rows; this role sees all.
    async fn as_system(&self) -> Result<(), Obstacle> {
        Ok(self.client.batch_execute("SET LOCAL ROLE plinth_system").await?)
    }

    async fn as_owner(&self) -> Result<(), Obstacle> {
        Ok(self.client.batch_execute(&self.as_owner).await?)
    }

    async fn commit(self) -> Result<(), Obstacle> {
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}

/// One month's partition, unless there is one for any part of it.
async fn make_month(owner: &Owner, ahead: u32) -> Result<(), Obstacle> {
    let change = Change::begin(owner).await?;
    let client = &change.client;
    let now: DateTime<Utc> = client.query_one("SELECT now()", &[]).await?.get(0);
    let (Some(begin), Some(end)) = (month(now, ahead), month(now, ahead + 1)) else {
        return Ok(());
    };
    let (from, to) = (first_id(begin), first_id(end));
    if partitions(client)
        .await?
        .iter()
        .any(|there| there.overlaps(from, to))
    {
        return Ok(());
    }
    // Whoever wrote a row into the default partition meanwhile would be refused: it was sent there before this month had its own.
    client
        .batch_execute("LOCK TABLE ONLY public.activity_stream IN SHARE ROW EXCLUSIVE MODE")
        .await?;
    change.as_system().await?;
    let most = i64::try_from(MOVED).unwrap_or(i64::MAX) + 1;
    let moved: Vec<String> = client
        .query(
            "SELECT a::text FROM public.activity_stream a WHERE id >= $1 AND id < $2 LIMIT $3",
            &[&from, &to, &most],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if moved.len() > MOVED {
        tracing::info!(month = %begin.format("%Y-%m"), "so many rows stand in the default partition that their month stays there");
        return Ok(());
    }
    change.as_owner().await?;
    if !moved.is_empty() {
        // Whoever reads has looked for partitions before: of those that were there, none would have the rows any more.
        client
            .batch_execute("LOCK TABLE ONLY public.activity_stream IN ACCESS EXCLUSIVE MODE")
            .await?;
        change.as_system().await?;
        let bounds: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&from, &to];
        client
            .execute(
                "DELETE FROM public.activity_stream WHERE id >= $1 AND id < $2",
                &bounds,
            )
            .await?;
        change.as_owner().await?;
    }
    let name = format!("activity_stream_{}", begin.format("%Y_%m"));
    // Attached, not made in its place: that would lock out everybody who reads, rows to be moved or not. What is closed counts as ours, see docs/MIGRATIONS.md.
    client
        .batch_execute(&format!(
            "CREATE TABLE public.{name} (LIKE public.activity_stream INCLUDING ALL);
             COMMENT ON TABLE public.{name} IS 'Rows of {}. Never addressed by name.';
             ALTER TABLE public.{name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
             ALTER TABLE public.activity_stream ATTACH PARTITION public.{name} FOR VALUES FROM ('{from}') TO ('{to}')",
            begin.format("%Y-%m")
        ))
        .await?;
    change.as_system().await?;
    client
        .execute(
            "INSERT INTO public.activity_stream SELECT (r::public.activity_stream).* FROM unnest($1::text[]) r",
            &[&moved],
        )
        .await?;
    change.commit().await?;
    tracing::info!(
        partition = name,
        moved = moved.len(),
        "made a partition of the activity stream"
    );
    Ok(())
}

/// Drops it, when it is still what it was.
async fn drop_one(owner: &Owner, partition: &Partition) -> Result<bool, Obstacle> {
    let change = Change::begin(owner).await?;
    if !partitions(&change.client).await?.contains(partition) {
        return Ok(false);
    }
    let sql = format!("DROP TABLE {}", partition.name);
    change.client.batch_execute(&sql).await?;
    change.commit().await?;
    Ok(true)
}

impl Partition {
    fn overlaps(&self, from: Uuid, to: Uuid) -> bool {
        self.from.is_none_or(|begin| begin < to) && self.to.is_none_or(|end| end > from)
    }
}

async fn partitions(client: &Client) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname), (regexp_match(b.bound, $re$FROM \\('([0-9a-f-]{36})'\\)$re$))[1]::uuid,
                    (regexp_match(b.bound, $re$TO \\('([0-9a-f-]{36})'\\)$re$))[1]::uuid
               FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
              CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid)) AS b (bound)
              WHERE i.inhparent = 'public.activity_stream'::regclass AND b.bound <> 'DEFAULT' ORDER BY 2 NULLS FIRST",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Partition {
            name: row.get(0),
            from: row.get(1),
            to: row.get(2),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_at_midnight_and_years_go_on() {
        let begins = |now: &str, ahead| month(now.parse().unwrap(), ahead).unwrap().to_rfc3339();
        assert_eq!(begins("2026-11-21T04:02:41Z", 0), "2026-11-01T00:00:00+00:00");
        assert_eq!(begins("2026-11-30T23:59:59Z", 2), "2027-01-01T00:00:00+00:00");
        assert_eq!(begins("2028-01-31T12:00:00Z", 1), "2028-02-01T00:00:00+00:00");
    }

    #[test]
    fn an_id_belongs_to_the_month_of_its_milliseconds() {
        let begin: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
        let of = |time: DateTime<Utc>| crate::clock::Clock::fixed(time).uuid();
        assert!(of(begin) >= first_id(begin));
        assert!(of(begin - chrono::TimeDelta::milliseconds(1)) < first_id(begin));
    }

    #[test]
    fn whatever_is_there_of_a_month_is_seen() {
        let id = |month: &str| first_id(format!("2026-{month}-01T00:00:00Z").parse().unwrap());
        let partition = |from: Option<&str>, to: Option<&str>| Partition {
            name: String::new(),
            from: from.map(id),
            to: to.map(id),
        };
        let (from, to) = (id("05"), id("06"));
        for (there, overlaps) in [
            (partition(Some("05"), Some("06")), true),
            (partition(None, Some("05")), false),
            (partition(None, None), true),
            (partition(Some("01"), Some("12")), true),
            (partition(Some("06"), None), false),
        ] {
            assert_eq!(there.overlaps(from, to), overlaps, "{there:?}");
        }
    }
}
