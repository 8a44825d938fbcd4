//! Fires schedules.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::connection::Held;
use crate::error::Error;
use crate::schedule::{Missed, firings};
use crate::sql;
use crate::times::Times;

/// Enqueues what a locked schedule owes, and moves it on. Returns the queue.
pub(super) async fn fire_one(tx: &mut Held<'_>, row: &tokio_postgres::Row) -> Result<String, Error> {
    let (domain, name, queue): (Uuid, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let (cron, zone, missed): (String, String, String) = (row.try_get(7)?, row.try_get(8)?, row.try_get(9)?);
    let (due, now): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(10)?, row.try_get(11)?);
    let (fired, next) = match Times::parse(&cron, &zone) {
        Ok(times) => firings(&times, Missed::parse(&missed), due, now),
        Err(error) => {
            // Written by a newer version, perhaps. It must not hold up the others.
            tracing::error!(schedule = name, %error, "a schedule cannot be read; it fires no more until it is defined anew");
            (Vec::new(), None)
        }
    };
    if !fired.is_empty() {
        let count = fired.len();
        let ids: Vec<Uuid> = tx
            .query(
                "SELECT gen_random_uuid() FROM generate_series(1, $1::int8)",
                &[&i64::try_from(count).unwrap_or(0)],
            )
            .await?
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let (kind, priority, attempts, payload): (String, i32, i32, String) =
            (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
        let none = vec![None::<&str>; count];
        tx.query(
            sql::ENQUEUE,
            &[
                &vec![domain; count],
                &ids,
                &vec![&queue; count],
                &vec![&kind; count],
                &vec![priority; count],
                &vec![attempts; count],
                &vec![&payload; count],
                &fired,
                &vec![None::<f64>; count],
                &none,
                &none,
                &vec![None::<Uuid>; count],
                &none,
            ],
        )
        .await?;
    }
    tx.query(sql::SCHEDULE_MOVE, &[&domain, &name, &due, &next])
        .await?;
    Ok(queue)
}
