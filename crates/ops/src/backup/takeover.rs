//! Before a restore: whether the backup is of the installation whose place it is to take.

use std::time::Duration;

use tokio_postgres::Client;

use super::manifest::Manifest;
use super::restore::Options;
use super::{BackupError, Context, installation, runs, scratch, server};

/// How long a session that has ended may be seen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the configured database, and the one to be replaced, where they are there: what they say of the installation and of this
/// backup has to fit. On a new server there is nobody to ask.
///
/// # Errors
/// The backup is of another installation, or is not what was written under its name.
pub(super) async fn require(
    context: &Context<'_>,
    options: &Options,
    manifest: &Manifest,
    manifest_sha256: &str,
) -> Result<(), BackupError> {
    let address = context.program.owner.address();
    let configured = &address.database;
    let target = options.into.as_ref().unwrap_or(configured);
    let mut asked = vec![configured];
    if target != configured {
        asked.push(target);
    }
    for database in asked {
        // One that is not there says nothing, and one that is closed is told of by whatever needs it next.
        let Ok(client) = server::connect(context.program, &server::beside(address, database)).await else {
            continue;
        };
        let fits = fits(context, &client, manifest, manifest_sha256).await;
        gone(context, client, target).await?;
        match fits {
            // Into a place of its own, it takes nobody's.
            Ok(()) => {}
            Err(BackupError::OtherInstallation(_))
                if options.of_another_installation && database != target => {}
            Err(error @ BackupError::NotAuthentic { .. }) if context.unauthenticated => {
                tracing::warn!(%error, "taken all the same");
            }
            Err(error @ (BackupError::OtherInstallation(_) | BackupError::NotAuthentic { .. })) => {
                return Err(error);
            }
            // What is to be replaced may well be broken.
            Err(error) => {
                tracing::warn!(%error, database, "the database does not say which installation it is of")
            }
        }
    }
    Ok(())
}

async fn fits(
    context: &Context<'_>,
    client: &Client,
    manifest: &Manifest,
    manifest_sha256: &str,
) -> Result<(), BackupError> {
    let ours = installation::of(client).await?;
    installation::same(&context.store, manifest, ours)?;
    runs::require_recorded(client, &manifest.backup, manifest_sha256).await
}

/// Ends the session, and waits until the server has: a restore asks next who is connected.
async fn gone(context: &Context<'_>, client: Client, target: &str) -> Result<(), BackupError> {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    drop(client);
    let maintenance = scratch::maintenance(context.program, target).await?;
    let started = std::time::Instant::now();
    while started.elapsed() < PATIENCE {
        let there: bool = maintenance
            .query_one(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)",
                &[&pid],
            )
            .await?
            .get(0);
        if !there {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
