//! Where the keyring comes from: `POSTGRES_ENCRYPTION_KEY`, else a file that setup writes.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use app_config::Config;
use secrecy::{ExposeSecret as _, SecretString};

use crate::secrets::keyring::{Keyring, KeyringError};

/// Name of the file in the persistent directory.
const FILE_NAME: &str = "encryption.key";

/// Where to look for the keyring.
#[derive(Clone, Debug)]
pub struct KeySource {
    configured: Option<SecretString>,
    path: PathBuf,
}

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither variable nor file, though data is encrypted.
    #[error(
        "data is encrypted, but there is no key: POSTGRES_ENCRYPTION_KEY is not set and {} does not exist; \
         set the variable to the key that the installation was set up with",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was found is no keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

/// A key file that was just written. Removed when dropped, unless it is kept: the installation that it was for did not
/// come to be.
#[derive(Debug)]
pub(super) struct Written(Option<PathBuf>);

impl Written {
    /// The file stays, whatever happens from here on.
    pub(super) fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            remove(path);
        }
    }
}

/// Takes away a key that nothing is encrypted with.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, path = %path.display(), "an unused key file could not be removed");
    }
}

impl KeySource {
    /// The variable's value if it is set, and the directory that the file stands in.
    pub fn new(configured: Option<SecretString>, persistent_dir: &Path) -> Self {
        Self {
            configured,
            path: persistent_dir.join(FILE_NAME),
        }
    }

    /// Where the configuration says.
    pub fn from_config(config: &Config) -> Self {
        Self::new(
            config.security.encryption_key.clone(),
            &config.paths.persistent_dir,
        )
    }

    /// Where the key file stands, whether or not it is there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keyring of an installation that is set up.
    ///
    /// # Errors
    /// No key, an unreadable file, or a key that is too short.
    pub fn load(&self) -> Result<Keyring, KeyError> {
        if let Some(configured) = &self.configured {
            return Ok(Keyring::parse(configured)?);
        }
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Keyring::parse(&SecretString::from(text.trim().to_owned()))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(KeyError::Missing(self.path.clone()))
            }
            Err(source) => Err(KeyError::File {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// The keyring of an installation that is being set up: made, and written, when there is none.
    pub(super) fn load_or_create(&self) -> Result<(Keyring, Option<Written>), KeyError> {
        match self.load() {
            Err(KeyError::Missing(_)) => {}
            result => return result.map(|keyring| (keyring, None)),
        }
        let key = Keyring::generate();
        let write = || -> io::Result<()> {
            if let Some(directory) = self.path.parent() {
                fs::create_dir_all(directory)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&self.path)?;
            writeln!(file, "{}", key.expose_secret())?;
            file.sync_all()
        };
        write().map_err(|source| KeyError::File {
            path: self.path.clone(),
            source,
        })?;
        let written = Written(Some(self.path.clone()));
        Ok((Keyring::parse(&key)?, Some(written)))
    }
}
