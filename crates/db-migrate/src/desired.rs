//! The desired schema: SQL files that stand beside the migrations, as people would write them.

use std::path::{Path, PathBuf};

use pg_catalog::{Catalog, Difference};
use tokio_postgres::Client;
use tokio_postgres::error::ErrorPosition;

use super::fingerprint::options;
use super::folder::FolderError;
use super::scratch::Scratch;
use super::verify::fresh;
use super::{MigrateError, Migration, Migrator, ServerWide, requirements};
use pg_connect::Connector;
use pg_connect::describe;

/// The files of the desired schema, in the order of their names.
#[derive(Clone, Debug)]
pub struct Desired {
    files: Vec<(PathBuf, String)>,
}

impl Desired {
    /// Reads the `*.sql` of a directory.
    ///
    /// # Errors
    /// It cannot be read, or has none.
    pub fn read(directory: &Path) -> Result<Self, FolderError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            |source| FolderError::Read { path, source }
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.path();
            if path.is_file() && path.extension().is_some_and(|extension| extension == "sql") {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(FolderError::Name {
                path: directory.to_owned(),
                problem: "there is no *.sql with the desired schema here",
            });
        }
        paths.sort();
        let files = paths
            .into_iter()
            .map(|path| {
                let sql = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
                Ok((path, sql))
            })
            .collect::<Result<_, FolderError>>()?;
        Ok(Self { files })
    }

    /// Loads it into a scratch database, which is dropped again. The server has to have the roles: a migration makes them.
    pub(super) async fn catalog(
        &self,
        owner: &Connector,
        server_wide: ServerWide,
    ) -> Result<Catalog, MigrateError> {
        let scratch = fresh(owner, server_wide).await?;
        let client = scratch.owner().client().await?;
        self.load(&client, server_wide).await?;
        Ok(Catalog::read(&client, &options(true)).await?)
    }

    /// Loads it into an empty database of a server that has the roles, each file in one transaction.
    ///
    /// # Errors
    /// A statement that the server refuses, by file and line.
    async fn load(&self, client: &Client, server_wide: ServerWide) -> Result<(), MigrateError> {
        requirements::ensure(client).await?;
        for (path, sql) in &self.files {
            let refused = |error: &tokio_postgres::Error| {
                let line = line(sql, error).map_or_else(String::new, |line| format!(", line {line}"));
                MigrateError::Desired(format!("{}{line}: {}", path.display(), describe(error)))
            };
            client
                .batch_execute(&format!("{}; {}", server_wide.begin(), server_wide.note()))
                .await
                .map_err(|error| refused(&error))?;
            client.batch_execute(sql).await.map_err(|error| refused(&error))?;
            client
                .batch_execute(&format!("{}; COMMIT", server_wide.check()))
                .await
                .map_err(|error| refused(&error))?;
        }
        Ok(())
    }
}

/// A scratch database with the migrations applied.
pub(super) async fn migrated(
    owner: &Connector,
    migrations: &[Migration],
    server_wide: ServerWide,
) -> Result<Scratch, MigrateError> {
    let scratch = fresh(owner, server_wide).await?;
    Migrator::on_scratch(&scratch).with(migrations).run().await?;
    Ok(scratch)
}

/// What is to be done to the schema that the migrations make, to make it the desired one.
///
/// # Errors
/// There is no scratch database, or one of the two cannot be loaded.
pub async fn desired_difference(
    owner: &Connector,
    desired: &Desired,
    migrations: &[Migration],
) -> Result<Difference, MigrateError> {
    let migrated = migrated(owner, migrations, ServerWide::Kept).await?;
    let have = Catalog::read(&migrated.owner().client().await?, &options(true)).await?;
    Ok(have.diff(&desired.catalog(owner, ServerWide::Kept).await?))
}

/// The line that the server points at, from 1.
fn line(sql: &str, error: &tokio_postgres::Error) -> Option<usize> {
    let ErrorPosition::Original(position) = error.as_db_error()?.position()? else {
        return None;
    };
    // In characters, from 1.
    let before = usize::try_from(*position).ok()?.checked_sub(1)?;
    Some(1 + sql.chars().take(before).filter(|c| *c == '\n').count())
}
