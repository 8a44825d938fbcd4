//! The file that an archive is: a tar of one packed file for each table, the manifest last, and behind its end a line with the
//! SHA-256 of everything before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::DomainError;
use super::manifest::{self, Manifest};
use crate::backup::BackupError;
use crate::backup::archive::{Identities, Recipients, pack, unpack};
use crate::backup::progress::Counter;
use crate::backup::unlinked::Nameless;

/// In front of the checksum's 64 digits, and behind them.
const SEAL: &[u8] = b"sha256 ";
const SEAL_END: &[u8] = b"\n";
const SEAL_LENGTH: usize = 72;

/// A manifest larger than this is none.
const SMALL: u64 = 64 * 1024 * 1024;

const CHUNK: usize = 256 * 1024;

/// An archive that is being written. It has its name only when it is whole.
pub(super) struct Writer {
    tar: tar::Builder<File>,
    unnamed: Nameless,
    path: PathBuf,
}

impl Writer {
    /// Begins one, beside the name that it is to have.
    pub fn begin(path: &Path) -> Result<Self, DomainError> {
        if path.exists() {
            return Err(there(path));
        }
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        // Only its owner can read it.
        let failed = |source| cannot_write(path, source);
        let unnamed = Nameless::new(directory, ".plinth-domain-").map_err(failed)?;
        Ok(Self {
            tar: tar::Builder::new(unnamed.file.try_clone().map_err(failed)?),
            unnamed,
            path: path.to_owned(),
        })
    }

    /// Packs a stream.
    pub fn put(&mut self, name: &str, input: &mut dyn Read, recipients: &Recipients) -> io::Result<()> {
        let mut header = header();
        let mut entry = self.tar.append_writer(&mut header, name)?;
        pack(&mut { input }, &mut entry, recipients)?;
        entry.finish()
    }

    /// Writes the manifest and gives the archive its name; its SHA-256 and its size.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(String, u64), DomainError> {
        let path = self.path;
        let failed = |source| cannot_write(&path, source);
        let text =
            serde_json::to_string_pretty(manifest).map_err(|error| DomainError::failed(error.to_string()))?;
        let mut header = header();
        header.set_size(text.len() as u64);
        self.tar
            .append_data(&mut header, manifest::FILE, text.as_bytes())
            .map_err(failed)?;
        let mut file = self.tar.into_inner().map_err(failed)?;
        file.flush().map_err(failed)?;
        // Sizes are known, and written into the headers, only behind the rows: so it is read once more.
        let digest = digest(&mut file, u64::MAX, &Counter::default()).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        for part in [SEAL, digest.as_bytes(), SEAL_END] {
            file.write_all(part).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        self.unnamed.persist(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => there(&path),
            _ => cannot_write(&path, error),
        })?;
        Ok((digest, size))
    }
}

/// The same for all: when, and by whom, the manifest says.
fn header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header
}

fn there(path: &Path) -> DomainError {
    DomainError::There(format!(
        "{} is there already: name another file, or move it away",
        path.display()
    ))
}

fn cannot_write(path: &Path, source: io::Error) -> DomainError {
    BackupError::Io {
        doing: format!("cannot write {}", path.display()),
        source,
    }
    .into()
}

/// SHA-256 of the first `length` bytes of a file, in hex.
fn digest(file: &mut File, length: u64, done: &Counter) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut input = file.take(length);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = input.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        done.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// An archive whose bytes are those that were written.
#[derive(Clone, Debug)]
pub struct Archive {
    path: PathBuf,
    /// As it was given, for messages.
    name: String,
    pub(super) manifest: Manifest,
    /// SHA-256 of everything but the last line.
    pub sha256: String,
    /// Where the files begin, and how long they are.
    files: BTreeMap<String, (u64, u64)>,
}

impl Archive {
    /// Reads every byte, compares the checksum, and reads the manifest.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or its format is newer than this program.
    pub fn open(path: &Path) -> Result<Self, DomainError> {
        let name = path.display().to_string();
        let failed = |source| {
            DomainError::from(BackupError::Io {
                doing: format!("cannot read {}", path.display()),
                source,
            })
        };
        let damaged = |problem: String| DomainError::damaged(&name, problem);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let body = length
            .checked_sub(SEAL_LENGTH as u64)
            .ok_or_else(|| damaged(format!("it has {length} bytes")))?;
        let sha256 = digest(&mut file, body, &Counter::default()).map_err(failed)?;
        let mut seal = Vec::new();
        file.seek(SeekFrom::Start(body)).map_err(failed)?;
        file.read_to_end(&mut seal).map_err(failed)?;
        if seal != [SEAL, sha256.as_bytes(), SEAL_END].concat() {
            return Err(damaged(
                "it does not end with its checksum: it was cut off, or is not what was written".to_owned(),
            ));
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (files, text) = entries(file).map_err(|error| damaged(error.to_string()))?;
        let text = text.ok_or_else(|| damaged(format!("it has no {}", manifest::FILE)))?;
        let wrong = |error: serde_json::Error| damaged(format!("{}: {error}", manifest::FILE));
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(wrong)?;
        let format = value
            .get("format")
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0);
        if format > u64::from(Manifest::FORMAT) {
            return Err(DomainError::OtherSchema(format!(
                "the archive {name} has the format {format}, which this version of Plinth does not know; use the newer one"
            )));
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(wrong)?;
        let listed = manifest.tables.iter().filter_map(|table| table.file.as_ref());
        if let Some(missing) = listed.clone().find(|file| !files.contains_key(*file)) {
            return Err(damaged(format!("{missing} is missing")));
        }
        if listed.count() != files.len() {
            return Err(damaged("it has files that its manifest does not list".to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            name,
            manifest,
            sha256,
            files,
        })
    }

    /// Slug of the domain.
    pub fn slug(&self) -> &str {
        &self.manifest.domain.slug
    }

    /// The moment that it shows.
    pub fn snapshot_at(&self) -> chrono::DateTime<chrono::Utc> {
        self.manifest.snapshot_at
    }

    /// As it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What hands one file's rows over, chunk by chunk, until the other side has had enough.
    pub(super) fn rows(
        &self,
        file: &str,
        identities: &Identities,
    ) -> impl FnOnce(&mut dyn FnMut(Bytes) -> bool) -> io::Result<()> + Send + 'static {
        let (path, place) = (self.path.clone(), self.files.get(file).copied());
        let (encrypted, identities) = (!self.manifest.recipients.is_empty(), identities.clone());
        move |give| {
            let (at, length) = place.ok_or(io::ErrorKind::NotFound)?;
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            let mut stream = unpack(file.take(length), encrypted, &identities)?;
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = stream.read(&mut chunk)?;
                chunk.truncate(read);
                if read == 0 || !give(Bytes::from(chunk)) {
                    return Ok(());
                }
            }
        }
    }
}

/// Places of the files, and the manifest.
type Entries = (BTreeMap<String, (u64, u64)>, Option<Vec<u8>>);

fn entries(file: File) -> io::Result<Entries> {
    let mut tar = tar::Archive::new(file);
    let (mut files, mut manifest) = (BTreeMap::new(), None);
    for entry in tar.entries_with_seek()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if name == manifest::FILE {
            let mut text = Vec::new();
            (&mut entry).take(SMALL).read_to_end(&mut text)?;
            manifest = Some(text);
        } else {
            files.insert(name, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok((files, manifest))
}
