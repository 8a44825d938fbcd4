//! Whether the last backup that was made is where it was put. `backup_runs`, and the metrics made of it, know nothing of a place
//! that was emptied: so somebody looks, and writes down what is found.

use tokio_postgres::Client;

use super::runs::{self, Kind};
use super::{BackupError, Standing, Store, list};

/// Writes a failed drill down where the newest backup that was made in this place is not there, or is no good.
///
/// # Errors
/// [`BackupError::Damaged`] says which; or the store or the database cannot be read.
pub(super) async fn require_last(client: &Client, store: &Store) -> Result<(), BackupError> {
    let Some(made) = runs::last_made(client, store.location()).await? else {
        return Ok(());
    };
    let listed = list(store).await?;
    let problem = match listed.iter().find(|listed| listed.backup == made) {
        Some(listed) if listed.standing == Standing::Complete => return Ok(()),
        Some(listed) => listed
            .problem
            .clone()
            .unwrap_or_else(|| "its manifest is gone".to_owned()),
        None => format!("it was made, and is not in {} any more", store.location()),
    };
    let error = BackupError::damaged(&made, problem);
    let run = runs::begin(client, Kind::Drill, &made, store.location()).await?;
    run.failed(client, &error).await;
    Err(error)
}
