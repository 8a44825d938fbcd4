//! Section `paths`: what Plinth keeps on disk.

use std::path::PathBuf;

use crate::reader::Reader;

/// Directories that Plinth writes to. Relative ones are relative to the working directory.
#[derive(Clone, Debug)]
pub struct PathsConfig {
    /// `db.selection.json` and, where none was given, the encryption key: `PLINTH_PATHS_PERSISTENT_DIR`,
    /// default `persistent_data`.
    pub persistent_dir: PathBuf,
    /// Data of the private PostgreSQL: `PLINTH_PATHS_STATE_DIR`; without it `.plinth`, or as root a directory
    /// under `/var/lib`, because PostgreSQL refuses root and the user it then runs as must reach the directory.
    pub state_dir: Option<PathBuf>,
    /// Where the programs of the private PostgreSQL are: `PLINTH_POSTGRES_BIN`; without it they are searched for.
    pub postgres_bin: Option<PathBuf>,
}

impl PathsConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            persistent_dir: reader.required("paths.persistent_dir")?,
            state_dir: reader.optional("paths.state_dir"),
            postgres_bin: reader.optional("paths.postgres_bin"),
        })
    }
}
