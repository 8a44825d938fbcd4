//! `queue_schedules`, as platform operators see and steer them. They are defined by the code, at the start of a worker.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::Serialize;

use crate::error::{Error, Meaning as _, Result};
use crate::ids::DomainId;
use crate::models::activity::Activity;
use crate::page::{Page, PageRequest};
use crate::schema::queue_schedules;
use crate::tx::{Tx, WriteTx};

/// A job that is enqueued again and again.
#[derive(Clone, Debug, Queryable, Selectable, Serialize)]
#[diesel(table_name = queue_schedules, check_for_backend(diesel::pg::Pg))]
pub struct JobSchedule {
    /// Domain that the jobs act in.
    pub domain_id: DomainId,
    /// Name, unique within the domain.
    pub name: String,
    /// Queue of the jobs.
    pub queue: String,
    /// Kind of the jobs.
    pub kind: String,
    /// When: five cron fields, or six with seconds first.
    pub cron: String,
    /// IANA time zone that they are meant in.
    pub time_zone: String,
    /// What becomes of missed firings: `skip`, `once` or `all`.
    pub missed: String,
    /// Next firing; `None` when there is none.
    pub next_at: Option<DateTime<Utc>>,
    /// Last firing that was due.
    pub last_at: Option<DateTime<Utc>>,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
}

/// What the list is ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleKey {
    /// Domain of the schedule.
    pub domain: DomainId,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ScheduleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.domain, self.name)
    }
}

impl FromStr for ScheduleKey {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (domain, name) = text.split_once(' ').ok_or(())?;
        Ok(Self {
            domain: domain.parse().map_err(drop)?,
            name: name.to_owned(),
        })
    }
}

/// Schedules of all domains.
///
/// # Errors
/// A database error.
pub async fn schedule_list(tx: &Tx<'_>, page: &PageRequest<ScheduleKey>) -> Result<Page<JobSchedule>> {
    let mut query = queue_schedules::table
        .select(JobSchedule::as_select())
        .order((queue_schedules::domain_id, queue_schedules::name))
        .limit(page.fetch())
        .into_boxed();
    if let Some(after) = &page.after {
        query = query.filter(
            queue_schedules::domain_id
                .gt(after.domain)
                .or(queue_schedules::domain_id
                    .eq(after.domain)
                    .and(queue_schedules::name.gt(&after.name))),
        );
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

/// Pauses a schedule, or lets it fire again; one that is so already stays as it is. Firings of the meantime are missed ones.
///
/// # Errors
/// `NotFound`, or a database error.
pub async fn schedule_set_paused(tx: &WriteTx<'_>, key: &ScheduleKey, paused: bool) -> Result<JobSchedule> {
    if key.name.contains('\0') {
        return Err(Error::NotFound("schedule"));
    }
    let before: JobSchedule = queue_schedules::table
        .select(JobSchedule::as_select())
        .find((key.domain, &key.name))
        .for_no_key_update()
        .first(&mut tx.conn())
        .await
        .or_not_found("schedule")?;
    if before.paused_at.is_some() == paused {
        tx.unchanged();
        return Ok(before);
    }
    let now = diesel::dsl::now
        .into_sql::<diesel::sql_types::Timestamptz>()
        .nullable();
    let row = queue_schedules::table.find((key.domain, &key.name));
    let after: JobSchedule = if paused {
        diesel::update(row)
            .set(queue_schedules::paused_at.eq(now))
            .returning(JobSchedule::as_returning())
            .get_result(&mut tx.conn())
            .await?
    } else {
        diesel::update(row)
            .set(queue_schedules::paused_at.eq(None::<DateTime<Utc>>))
            .returning(JobSchedule::as_returning())
            .get_result(&mut tx.conn())
            .await?
    };
    let action = if paused {
        "schedule.pause"
    } else {
        "schedule.resume"
    };
    // Schedules have names and no ids: the target is their domain.
    tx.record(
        Activity::new(action, "schedule", key.domain)
            .before(&before)
            .after(&after),
    );
    Ok(after)
}
