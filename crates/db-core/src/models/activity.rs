//! `activity_stream`: one row for every change and every denial.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::access::Origin;
use crate::cached::Cached;
use crate::clock::Clock;
use crate::error::Result;
use crate::ids::{ActivityId, DomainId, UserId};
use crate::page::{Page, PageRequest};
use crate::schema::activity_stream;
use crate::tx::Tx;

/// What was done, to be noted by `WriteTx::record`.
#[derive(Clone, Debug)]
pub struct Activity {
    action: &'static str,
    outcome: &'static str,
    target_type: Option<&'static str>,
    target_id: Option<Uuid>,
    before: Option<Value>,
    after: Option<Value>,
}

impl Activity {
    /// Something was done, such as `card.move`, to a thing of a kind.
    pub fn new(action: &'static str, target_type: &'static str, target_id: impl Into<Uuid>) -> Self {
        Self {
            action,
            outcome: "success",
            target_type: Some(target_type),
            target_id: Some(target_id.into()),
            before: None,
            after: None,
        }
    }

    /// Something was done to the installation as a whole.
    pub(crate) fn of_installation(action: &'static str) -> Self {
        Self {
            action,
            outcome: "success",
            target_type: Some("installation"),
            target_id: None,
            before: None,
            after: None,
        }
    }

    /// Something was refused: the permission that was missing, or the rule that stood in the way.
    pub fn denied(action: &'static str, target_type: Option<&'static str>, target_id: Option<Uuid>) -> Self {
        Self {
            action,
            outcome: "denied",
            target_type,
            target_id,
            before: None,
            after: None,
        }
    }

    /// The fields as they were. Never hand a secret to this.
    #[must_use]
    pub fn before(mut self, fields: &impl Serialize) -> Self {
        self.before = noted(fields);
        self
    }

    /// The fields as they are. Never hand a secret to this.
    #[must_use]
    pub fn after(mut self, fields: &impl Serialize) -> Self {
        self.after = noted(fields);
        self
    }
}

/// Most characters of a text that are noted; a description may have ten times as many.
const NOTED_CHARACTERS: usize = 2_000;

/// The fields as JSON, long texts cut: the stream says what changed, it is not a second copy of everything.
fn noted(fields: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(fields).ok()?;
    for text in value.as_object_mut().into_iter().flatten().map(|(_, text)| text) {
        if let Value::String(text) = text
            && text.len() > NOTED_CHARACTERS
            && let Some((end, _)) = text.char_indices().nth(NOTED_CHARACTERS)
        {
            let all = text.chars().count();
            text.truncate(end);
            text.push_str(&format!("… ({all} characters)"));
        }
    }
    Some(value)
}

/// The row to insert; domain, user and API key come from the transaction's context.
#[derive(Insertable)]
#[diesel(table_name = activity_stream, treat_none_as_default_value = false)]
pub(crate) struct ActivityRow {
    id: ActivityId,
    action: &'static str,
    outcome: &'static str,
    target_type: Option<&'static str>,
    target_id: Option<Uuid>,
    before: Option<Value>,
    after: Option<Value>,
    request_id: Option<String>,
    ip: Option<ipnet::IpNet>,
}

impl ActivityRow {
    pub(crate) fn new(id: ActivityId, activity: Activity, origin: &Origin) -> Self {
        Self {
            id,
            action: activity.action,
            outcome: activity.outcome,
            target_type: activity.target_type,
            target_id: activity.target_id,
            before: activity.before,
            after: activity.after,
            request_id: (!origin.request_id.is_empty()).then(|| origin.request_id.clone()),
            ip: origin.ip.map(ipnet::IpNet::from),
        }
    }

    pub(crate) async fn insert(self, mut conn: &AsyncPgConnection) -> Result<()> {
        Cached(diesel::insert_into(activity_stream::table).values(self))
            .execute(&mut conn)
            .await?;
        Ok(())
    }
}

/// Notes what the installation did itself, in the streams of the domains named: by nobody, and for no request. As
/// `plinth_system`; with whatever else the transaction does, or at once where there is none.
pub(crate) async fn note(
    client: &Client,
    clock: &Clock,
    noted: impl IntoIterator<Item = (DomainId, Activity)>,
) -> Result<(), tokio_postgres::Error> {
    let (domains, noted): (Vec<Uuid>, Vec<Activity>) = noted
        .into_iter()
        .map(|(domain, activity)| (domain.uuid(), activity))
        .unzip();
    let ids: Vec<Uuid> = noted.iter().map(|_| clock.uuid()).collect();
    let actions: Vec<&str> = noted.iter().map(|it| it.action).collect();
    let outcomes: Vec<&str> = noted.iter().map(|it| it.outcome).collect();
    let kinds: Vec<Option<&str>> = noted.iter().map(|it| it.target_type).collect();
    let targets: Vec<Option<Uuid>> = noted.iter().map(|it| it.target_id).collect();
    let before: Vec<Option<&Value>> = noted.iter().map(|it| it.before.as_ref()).collect();
    let after: Vec<Option<&Value>> = noted.iter().map(|it| it.after.as_ref()).collect();
    client
        .execute(
            "INSERT INTO activity_stream (domain_id, id, user_id, api_key_id, action, outcome, target_type, target_id, before, after)
             SELECT domain_id, id, NULL, NULL, action, outcome, target_type, target_id, before, after
               FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::jsonb[], $8::jsonb[])
                 AS noted (domain_id, id, action, outcome, target_type, target_id, before, after)",
            &[&domains, &ids, &actions, &outcomes, &kinds, &targets, &before, &after],
        )
        .await?;
    Ok(())
}

/// A row of the stream.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = activity_stream, check_for_backend(diesel::pg::Pg))]
pub struct ActivityEntry {
    /// Domain in which it happened.
    pub domain_id: DomainId,
    /// UUIDv7; newest is largest.
    pub id: ActivityId,
    /// When it happened, by the database clock.
    pub occurred_at: chrono::DateTime<chrono::Utc>,
    /// Who did it; `None` for the system and for strangers.
    pub user_id: Option<Uuid>,
    /// API key it was done with.
    pub api_key_id: Option<Uuid>,
    /// What was done.
    pub action: String,
    /// `success` or `denied`.
    pub outcome: String,
    /// Kind of the thing it was done to.
    pub target_type: Option<String>,
    /// Id of the thing it was done to.
    pub target_id: Option<Uuid>,
    /// The fields as they were.
    pub before: Option<Value>,
    /// The fields as they are.
    pub after: Option<Value>,
    /// Request that did it.
    pub request_id: Option<String>,
    /// Address that it came from.
    pub ip: Option<ipnet::IpNet>,
}

/// Which rows of the stream are wanted; `None` for any.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// What was done to this thing.
    pub target: Option<Uuid>,
    /// What this user did.
    pub user: Option<UserId>,
    /// This action, such as `card.move`, or the permission that was refused.
    pub action: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused.
    Denied,
}

impl Outcome {
    /// As the column has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
        }
    }
}

/// Newest first.
///
/// # Errors
/// A database error.
pub async fn activity_list(
    tx: &Tx<'_>,
    filter: &ActivityFilter,
    page: &PageRequest<ActivityId>,
) -> Result<Page<ActivityEntry>> {
    let mut query = activity_stream::table
        .select(ActivityEntry::as_select())
        .order(activity_stream::id.desc())
        .limit(page.fetch())
        .into_boxed();
    if let Some(target) = filter.target {
        query = query.filter(activity_stream::target_id.eq(target));
    }
    if let Some(user) = filter.user {
        query = query.filter(activity_stream::user_id.eq(user));
    }
    if let Some(action) = &filter.action {
        query = query.filter(activity_stream::action.eq(action));
    }
    if let Some(outcome) = filter.outcome {
        query = query.filter(activity_stream::outcome.eq(outcome.name()));
    }
    if let Some(after) = page.after {
        query = query.filter(activity_stream::id.lt(after));
    }
    Ok(page.cut(query.load(&mut tx.conn()).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{NOTED_CHARACTERS, noted};

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let long = "ü".repeat(NOTED_CHARACTERS + 1);
        let fits = "ü".repeat(NOTED_CHARACTERS);
        let value = noted(&json!({ "long": long, "fits": fits, "number": 1 }));
        let cut = format!("{fits}… (2001 characters)");
        assert_eq!(value, Some(json!({ "long": cut, "fits": fits, "number": 1 })));
    }
}
