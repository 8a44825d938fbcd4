//! The place where backups are: a directory, or a bucket of an S3-compatible store.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use app_config::{BackupConfig, Config};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use db_core::secrets::keyring::Keyring;
use db_core::setup::{KeyError, KeySource};
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Certificate, ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig, WriteMultipart,
};
use secrecy::ExposeSecret as _;

use super::{BackupError, Name, local};

/// Bytes of one part of an upload. S3 takes 10,000 parts of an object, and at least 5 MiB in each but the last.
pub(super) const PART: usize = 6 * 1024 * 1024;

/// A manifest or a proof larger than this is none.
const SMALL: u64 = 256 * 1024 * 1024;

/// Where backups are.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// The directory, where it is one.
    root: Option<PathBuf>,
    location: String,
    /// Says which files are what this installation wrote; `None` where no key is configured.
    keyring: Option<Arc<Keyring>>,
    /// Bytes of backups' files that were read.
    read: Arc<AtomicU64>,
}

/// A file of a backup, as the store has it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub name: String,
    pub size: u64,
    pub modified: DateTime<Utc>,
}

/// How the store is spoken to: whose certificates are believed, above all.
fn client_options(config: &BackupConfig) -> Result<ClientOptions, BackupError> {
    let mut options = ClientOptions::new().with_connect_timeout(Duration::from_secs(5));
    if let Some(file) = &config.s3_root_cert {
        let wrong = |problem: String| {
            BackupError::Config(format!("backup.s3_root_cert, {}: {problem}", file.display()))
        };
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("there is no certificate in it".to_owned()));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

impl Store {
    /// The configured place, or `instead`. `make`: a directory that is missing is made.
    ///
    /// # Errors
    /// None is configured, or it makes no sense; the keyring cannot be read.
    pub fn open(config: &Config, instead: Option<&str>, make: bool) -> Result<Self, BackupError> {
        let keyring = match KeySource::from_config(config).load() {
            Ok(keyring) => Some(Arc::new(keyring)),
            Err(KeyError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let store = Self::place(&config.backup, instead, make)?;
        Ok(Self { keyring, ..store })
    }

    fn place(config: &BackupConfig, instead: Option<&str>, make: bool) -> Result<Self, BackupError> {
        let Some(url) = instead.or(config.url.as_deref()) else {
            return Err(BackupError::Config(
                "no place for backups is configured: set PLINTH_BACKUP_URL to a directory or to s3://bucket/prefix".to_owned(),
            ));
        };
        if let Some(rest) = url.strip_prefix("s3://") {
            return Self::bucket(config, url, rest);
        }
        let path = url.strip_prefix("file://").unwrap_or(url);
        if path.contains("://") {
            return Err(BackupError::Config(format!(
                "backups cannot be in {url:?}: a directory or s3://bucket/prefix is needed"
            )));
        }
        Self::directory(PathBuf::from(path), make)
    }

    fn directory(root: PathBuf, make: bool) -> Result<Self, BackupError> {
        let io = |source| BackupError::Io {
            doing: format!("the directory of backups, {}", root.display()),
            source,
        };
        local::keep_to_ourselves();
        if make {
            // Nobody else reads hashes and rows.
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&root)
                .map_err(io)?;
        }
        let root = root.canonicalize().map_err(io)?;
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(|source| BackupError::Store {
                doing: format!("cannot use {}", root.display()),
                source,
            })?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(objects),
            prefix: Path::default(),
            location: root.display().to_string(),
            root: Some(root),
            keyring: None,
            read: Arc::default(),
        })
    }

    fn bucket(config: &BackupConfig, url: &str, rest: &str) -> Result<Self, BackupError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(BackupError::Config(format!(
                "{url:?} names no bucket: s3://bucket/prefix is needed"
            )));
        }
        // reqwest comes without a provider of its own; a second installation is refused, and the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&config.s3_region)
            .with_client_options(client_options(config)?)
            .with_retry(RetryConfig {
                max_retries: 5,
                retry_timeout: Duration::from_secs(60),
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &config.s3_endpoint {
            builder = builder
                .with_endpoint(endpoint.trim_end_matches('/'))
                .with_allow_http(endpoint.starts_with("http://"));
        }
        match (&config.s3_access_key_id, &config.s3_secret_access_key) {
            (Some(id), Some(secret)) => {
                builder = builder
                    .with_access_key_id(id.expose_secret())
                    .with_secret_access_key(secret.expose_secret());
            }
            // The machine's own role, where it has one.
            (None, None) => {}
            _ => {
                return Err(BackupError::Config(
                    "backup.s3_access_key_id and backup.s3_secret_access_key go together: one of them is missing".to_owned(),
                ));
            }
        }
        if let Some(token) = &config.s3_session_token {
            builder = builder.with_token(token.expose_secret());
        }
        let objects = builder.build().map_err(|source| BackupError::Store {
            doing: format!("cannot use {url}"),
            source,
        })?;
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|error| BackupError::Config(format!("{url:?}: {error}")))?;
        Ok(Self {
            objects: Arc::new(objects),
            prefix,
            root: None,
            location: url.trim_end_matches('/').to_owned(),
            keyring: None,
            read: Arc::default(),
        })
    }

    /// The mode of the directory, where others than its owner can get at it.
    pub fn readable_by_others(&self) -> Option<u32> {
        let mode = std::fs::metadata(self.root.as_ref()?).ok()?.permissions().mode() & 0o7777;
        (mode & 0o077 != 0).then_some(mode)
    }

    /// The keyring, where one is configured.
    pub(super) fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_deref()
    }

    /// How many bytes of backups' files were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// As people write it; without credentials.
    pub fn location(&self) -> &str {
        &self.location
    }

    fn folder(&self, name: &Name) -> Path {
        self.prefix.clone().join(name.to_string())
    }

    fn failed(&self, doing: &str) -> impl FnOnce(object_store::Error) -> BackupError {
        let doing = format!("{doing} {}", self.location);
        move |source| BackupError::Store { doing, source }
    }

    /// Names of all folders that are called like a backup, oldest first.
    pub(super) async fn names(&self) -> Result<Vec<Name>, BackupError> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let listed = self
            .objects
            .list_with_delimiter(prefix)
            .await
            .map_err(self.failed("cannot list"))?;
        let mut names: Vec<Name> = listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename()?.parse().ok())
            .filter(|name| self.root.as_ref().is_none_or(|root| local::is_folder(root, name)))
            .collect();
        names.sort();
        Ok(names)
    }

    /// What is opened has to be what it seems, where it is in a directory.
    fn require_real(&self, name: &Name, file: &str) -> Result<(), BackupError> {
        self.root
            .as_ref()
            .map_or(Ok(()), |root| local::require_real(root, name, file))
    }

    /// The files of one backup.
    pub(super) async fn files(&self, name: &Name) -> Result<Vec<Stored>, BackupError> {
        if self
            .root
            .as_ref()
            .is_some_and(|root| !local::is_folder(root, name))
        {
            return Ok(Vec::new());
        }
        let folder = self.folder(name);
        let listed = self.objects.list(Some(&folder)).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(self.failed("cannot list"))?;
        Ok(listed
            .into_iter()
            .filter_map(|object| {
                Some(Stored {
                    name: object.location.filename()?.to_owned(),
                    size: object.size,
                    modified: object.last_modified,
                })
            })
            .filter(|stored| {
                self.root
                    .as_ref()
                    .is_none_or(|root| local::is_file(root, name, &stored.name))
            })
            .collect())
    }

    /// A small file, whole; `None` when it is not there.
    pub(super) async fn read(&self, name: &Name, file: &str) -> Result<Option<Bytes>, BackupError> {
        self.require_real(name, file)?;
        let path = self.folder(name).join(file);
        let got = match self.objects.get(&path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            result => result.map_err(self.failed(&format!("cannot read {name}/{file} from")))?,
        };
        if got.meta.size > SMALL {
            return Err(BackupError::damaged(
                name,
                format!("{file} has {} bytes", got.meta.size),
            ));
        }
        let bytes = got
            .bytes()
            .await
            .map_err(self.failed(&format!("cannot read {name}/{file} from")))?;
        self.count(bytes.len());
        Ok(Some(bytes))
    }

    /// Writes a small file in one go: it is there whole, or not at all.
    pub(super) async fn write(&self, name: &Name, file: &str, content: Vec<u8>) -> Result<(), BackupError> {
        let path = self.folder(name).join(file);
        self.objects
            .put(&path, content.into())
            .await
            .map_err(self.failed(&format!("cannot write {name}/{file} to")))?;
        Ok(())
    }

    /// Begins a large file. It is not there before it is finished.
    pub(super) async fn upload(&self, name: &Name, file: &str) -> Result<WriteMultipart, BackupError> {
        let path = self.folder(name).join(file);
        let upload = self
            .objects
            .put_multipart(&path)
            .await
            .map_err(self.failed(&format!("cannot write {name}/{file} to")))?;
        Ok(WriteMultipart::new_with_chunk_size(upload, PART))
    }

    /// What a failed or finished upload says, in our words.
    pub(super) fn uploaded<T>(
        &self,
        name: &Name,
        file: &str,
        result: object_store::Result<T>,
    ) -> Result<T, BackupError> {
        result.map_err(self.failed(&format!("cannot write {name}/{file} to")))
    }

    /// What broke reading off, in our words.
    pub(super) fn unreadable<T>(
        &self,
        name: &Name,
        file: &str,
        source: object_store::Error,
    ) -> Result<T, BackupError> {
        Err(self.failed(&format!("cannot read {name}/{file} from"))(source))
    }

    /// Size of a file that has to be there.
    pub(super) async fn size(&self, name: &Name, file: &str) -> Result<u64, BackupError> {
        self.require_real(name, file)?;
        let path = self.folder(name).join(file);
        match self.objects.head(&path).await {
            Err(object_store::Error::NotFound { .. }) => {
                Err(BackupError::damaged(name, format!("{file} is missing")))
            }
            result => Ok(result
                .map_err(self.failed(&format!("cannot look at {name}/{file} in")))?
                .size),
        }
    }

    /// Some bytes of a file.
    pub(super) async fn range(
        &self,
        name: &Name,
        file: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, BackupError> {
        self.require_real(name, file)?;
        let path = self.folder(name).join(file);
        match self.objects.get_range(&path, range.clone()).await {
            Err(object_store::Error::NotFound { .. }) => {
                Err(BackupError::damaged(name, format!("{file} is missing")))
            }
            result => {
                let bytes = result.map_err(self.failed(&format!("cannot read {name}/{file} from")))?;
                if bytes.len() as u64 == range.end - range.start {
                    self.count(bytes.len());
                    Ok(bytes)
                } else {
                    Err(BackupError::damaged(name, format!("{file} ends before its end")))
                }
            }
        }
    }

    /// The bytes of a file, as they come.
    pub(super) async fn stream(
        &self,
        name: &Name,
        file: &str,
    ) -> Result<BoxStream<'static, object_store::Result<Bytes>>, BackupError> {
        self.require_real(name, file)?;
        let path = self.folder(name).join(file);
        match self.objects.get(&path).await {
            Err(object_store::Error::NotFound { .. }) => {
                Err(BackupError::damaged(name, format!("{file} is missing")))
            }
            result => Ok(result
                .map_err(self.failed(&format!("cannot read {name}/{file} from")))?
                .into_stream()
                .inspect_ok({
                    let read = Arc::clone(&self.read);
                    move |bytes| {
                        read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    }
                })
                .boxed()),
        }
    }

    /// Deletes a backup, `first` before everything else. Nothing is an error that is gone already.
    pub(super) async fn delete(&self, name: &Name, first: &str) -> Result<(), BackupError> {
        let mut files: Vec<String> = self
            .files(name)
            .await?
            .into_iter()
            .map(|file| file.name)
            .collect();
        files.sort_by_key(|file| file != first);
        for file in files {
            let path = self.folder(name).join(file.as_str());
            match self.objects.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(self.failed(&format!("cannot delete {name}/{file} from"))(source)),
            }
        }
        // What a killed upload leaves in a directory is no object: it stands there under a name that the store does not show.
        if let Some(root) = &self.root {
            if !local::is_folder(root, name) {
                return Ok(());
            }
            let folder = root.join(name.to_string());
            match std::fs::remove_dir_all(&folder) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BackupError::Io {
                        doing: format!("cannot delete {}", folder.display()),
                        source,
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
