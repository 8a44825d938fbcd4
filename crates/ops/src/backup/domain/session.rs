//! A connection for work on one domain: nobody migrates meanwhile, and one such work at a time.

use app_config::DatabaseAddress;
use db_core::{Clock, PLATFORM_DOMAIN};
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use super::catalogue::Tables;
use super::{DomainError, Task};
use crate::backup::{BackupError, create, locks, server};

/// How often a transaction is tried that others were in the way of.
pub(super) const ATTEMPTS: usize = 5;

/// Everything from here on is done as the role whose policies show every domain.
pub(super) const AS_SYSTEM: &str = "SET LOCAL ROLE plinth_system";

/// Takes on that role until the transaction ends, and asks whether it sees every row of these tables.
///
/// # Errors
/// Rows of a table would be hidden: it is named.
pub(super) async fn act_as_system(client: &Client, tables: &Tables) -> Result<(), DomainError> {
    client.batch_execute(AS_SYSTEM).await?;
    require_sight(client, |name| {
        tables.tables.iter().any(|table| table.name == name)
    })
    .await
}

/// Whether the role in use sees every row of those tables that matter, which are given by name.
///
/// # Errors
/// As [`act_as_system`].
pub(super) async fn require_sight(
    client: &Client,
    matters: impl Fn(&str) -> bool,
) -> Result<(), DomainError> {
    let hidden = server::hidden(client).await?;
    let hidden: Vec<String> = hidden.into_iter().filter(|name| matters(name)).collect();
    if hidden.is_empty() {
        return Ok(());
    }
    Err(DomainError::failed(format!(
        "row level security hides rows from plinth_system, as which all work on domains is done, in {}: nothing was done, because \
         they would be missing, or left; each of them needs what the others have: CREATE POLICY system ON … TO plinth_system \
         USING (true) WITH CHECK (true), and no restrictive policy beside it",
        hidden.join(", ")
    )))
}

/// Connects, for reading: migrations wait.
pub(super) async fn reading(task: Task<'_>, address: &DatabaseAddress) -> Result<Client, DomainError> {
    let client = server::connect(task.program, address).await?;
    create::lock_migrations(&client).await?;
    Ok(client)
}

/// Connects to the configured database, for writing: others who would write in this way are told to wait.
pub(super) async fn writing(task: Task<'_>) -> Result<Client, DomainError> {
    let client = reading(task, task.program.owner.address()).await?;
    let got: bool = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&locks::DOMAIN])
        .await?
        .get(0);
    if got {
        return Ok(client);
    }
    Err(BackupError::Busy(format!(
        "a domain is being restored, copied or erased, by {}",
        create::holder(&client, locks::DOMAIN).await?
    ))
    .into())
}

/// Gives back what a failed transaction held.
pub(super) async fn roll_back(client: &Client) {
    if let Err(error) = client.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "the transaction had ended already");
    }
}

/// Writes into the platform domain's activity stream what was done to a domain, and by whom: the database login, and the
/// account of the machine that `plinth-ops` ran under.
pub(super) async fn note(
    client: &Client,
    action: &str,
    domain: Uuid,
    mut after: Value,
) -> Result<(), DomainError> {
    if let Some(fields) = after.as_object_mut() {
        fields.insert("by".to_owned(), Value::from(account()));
    }
    note_in(client, PLATFORM_DOMAIN.uuid(), action, domain, &after).await
}

/// The same in any domain's stream, without saying who.
pub(super) async fn note_in(
    client: &Client,
    stream: Uuid,
    action: &str,
    domain: Uuid,
    after: &Value,
) -> Result<(), DomainError> {
    client
        .execute(
            "INSERT INTO public.activity_stream (domain_id, id, user_id, api_key_id, action, target_type, target_id, after)
             VALUES ($1, $2, NULL, NULL, $3, 'domain', $4, $5::text::jsonb || jsonb_build_object('login', session_user))",
            &[&stream, &Clock::System.uuid(), &action, &domain, &after.to_string()],
        )
        .await?;
    Ok(())
}

/// Account of the machine, as the system calls it; this is a note for people, and proves nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "USER and SUDO_USER are the system's, not settings of Plinth"
)]
fn account() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}
