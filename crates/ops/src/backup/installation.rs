//! Which installation a database, and a backup, is of. Backups of several in one place would be pruned as one series, and
//! restored over one another.

use app_config::Config;
use chrono::{DateTime, Utc};
use db_core::Owner;
use pg_connect::Connector;
use tokio_postgres::Client;

use super::manifest::{Manifest, Name};
use super::{BackupError, Store};
use crate::program::NAME;

/// When it was set up, to the microsecond: that stays through every backup and restore, and no two installations share it.
pub type SetUpAt = DateTime<Utc>;

/// That of the database; `None` where nothing is set up in it.
pub(super) async fn of(client: &Client) -> Result<Option<SetUpAt>, BackupError> {
    let there: bool = client
        .query_one("SELECT to_regclass('public.installation') IS NOT NULL", &[])
        .await?
        .get(0);
    if !there {
        return Ok(None);
    }
    let row = client
        .query_opt("SELECT set_up_at FROM public.installation", &[])
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// That of a database which is to be backed up.
///
/// # Errors
/// There is none: a backup of it would be of nothing, and be proved all the same.
pub(super) async fn require(client: &Client, database: &str) -> Result<SetUpAt, BackupError> {
    of(client).await?.ok_or_else(|| {
        BackupError::NotSetUp(format!(
            "no installation is set up in the database {database}: there is nothing to back up, or DATABASE_URL leads to another \
             database than it should"
        ))
    })
}

/// That of the configured database, without starting one; `None` where there is none, or it is away.
pub async fn configured(config: &Config) -> Option<SetUpAt> {
    config.database.address.as_ref()?;
    let asked = async {
        let owner = Owner::from_config(&config.database, NAME)
            .map_err(|error| BackupError::Failed(error.to_string()))?;
        let options = db_core::connect_options(&config.database, NAME);
        let client = Connector::new(owner.address(), options)?.client().await?;
        of(&client).await
    };
    asked.await.unwrap_or_else(|error: BackupError| {
        tracing::warn!(%error, "the database does not say which installation it is of; the backups are judged by themselves");
        None
    })
}

/// A backup has to be of this installation, or there is none yet that it could be of.
///
/// # Errors
/// It is of another.
pub(super) fn same(store: &Store, manifest: &Manifest, ours: Option<SetUpAt>) -> Result<(), BackupError> {
    match ours {
        Some(ours) if ours != manifest.installation => {
            Err(another(store, &manifest.backup, manifest.installation, ours))
        }
        _ => Ok(()),
    }
}

pub(super) fn another(store: &Store, backup: &Name, theirs: SetUpAt, ours: SetUpAt) -> BackupError {
    BackupError::OtherInstallation(format!(
        "the backup {backup} in {} is of an installation that was set up at {theirs}, and this one was at {ours}: each needs a \
         place of its own; to take a backup over, restore it with --into NAME --of-another-installation",
        store.location()
    ))
}

/// No backup may be made where another installation has its own. The newest one that can be read is asked.
///
/// # Errors
/// It is of another.
pub(super) async fn require_own_place(store: &Store, ours: SetUpAt) -> Result<(), BackupError> {
    for name in store.names().await?.iter().rev() {
        if let Ok(Some(read)) = Manifest::read(store, name).await {
            return same(store, &read.value, Some(ours));
        }
    }
    Ok(())
}
