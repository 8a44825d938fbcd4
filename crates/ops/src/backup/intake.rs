//! From files of the store back to a stream, every byte of it held against the checksums.

use std::io::{self, Read};

use bytes::Bytes;
use futures_util::stream::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::archive::{Identities, unpack, unseal};
use super::bounds::Bounded;
use super::manifest::{File, Manifest, Name};
use super::progress::Counter;
use super::{BackupError, Store};

/// Chunks that wait to be unpacked.
const AHEAD: usize = 8;

/// Where the unpacking thread reads from: the files one after the other. At the end of each its size and checksum are held
/// against the manifest.
struct Source {
    chunks: mpsc::Receiver<Result<Bytes, String>>,
    current: Bytes,
    files: std::vec::IntoIter<File>,
    /// The file that is being read, and what has been read of it.
    open: Option<(File, u64, Sha256)>,
    count: Counter,
}

impl Source {
    fn damaged<T>(problem: String) -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::InvalidData, problem))
    }

    /// Checks a file that has been read to its end.
    fn close(&mut self) -> io::Result<()> {
        if let Some((file, size, hash)) = self.open.take() {
            check(&file, size, hash).or_else(Self::damaged)?;
        }
        Ok(())
    }
}

/// Holds what was read of a file against the manifest.
fn check(file: &File, size: u64, hash: Sha256) -> Result<(), String> {
    if size != file.size {
        return Err(format!("{} has {size} bytes instead of {}", file.name, file.size));
    }
    if hex::encode(hash.finalize()) != file.sha256 {
        return Err(format!(
            "{} is not what was stored: its SHA-256 is another",
            file.name
        ));
    }
    Ok(())
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match &self.open {
                Some((file, size, _)) if *size < file.size => {}
                _ => {
                    self.close()?;
                    match self.files.next() {
                        Some(file) => self.open = Some((file, 0, Sha256::new())),
                        None => return Ok(0),
                    }
                }
            }
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => {
                    if let Some((file, size, hash)) = &mut self.open {
                        *size += chunk.len() as u64;
                        hash.update(&chunk);
                        if *size > file.size {
                            return Self::damaged(format!("{} has more than {} bytes", file.name, file.size));
                        }
                    }
                    self.count
                        .fetch_add(chunk.len() as u64, std::sync::atomic::Ordering::Relaxed);
                    self.current = chunk;
                }
                Some(Err(problem)) => return Err(io::Error::other(problem)),
                // The other side says at the end of each file how it ended.
                None => {
                    self.close()?;
                    return Self::damaged("the store stopped sending".to_owned());
                }
            }
        }
        let taken = buffer.len().min(self.current.len());
        let chunk = self.current.split_to(taken);
        if let Some(room) = buffer.get_mut(..taken) {
            room.copy_from_slice(&chunk);
        }
        Ok(taken)
    }
}

/// Whether the stream is unpacked, or handed over as it is packed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packing {
    Zstd,
    Plain,
}

/// Fetches files in their order, unpacks them in a thread, and lets `take` have the stream there. `take` need not read it to
/// its end; when it does, everything it read was as the manifest has it, or it failed.
pub(super) async fn fetch<T: Send + 'static>(
    store: &Store,
    manifest: &Manifest,
    files: Vec<File>,
    (identities, packing): (&Identities, Packing),
    count: Counter,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T> + Send + 'static,
) -> Result<T, BackupError> {
    let name = &manifest.backup;
    let (sender, chunks) = mpsc::channel(AHEAD);
    let source = Source {
        chunks,
        current: Bytes::new(),
        files: files.clone().into_iter(),
        open: None,
        count,
    };
    let (encrypted, identities) = (!manifest.recipients.is_empty(), identities.clone());
    let bound = manifest.unpacked.of(&files);
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut stream = match packing {
            Packing::Zstd => Box::new(Bounded::new(unpack(source, encrypted, &identities)?, bound)),
            Packing::Plain => unseal(source, encrypted, &identities)?,
        };
        take(&mut *stream)
    });
    let sent = send(store, name, &files, &sender).await;
    drop(sender);
    let taken = match unpacking.await {
        Ok(taken) => told(name, taken),
        Err(error) => Err(BackupError::Failed(format!(
            "cannot read the backup {name}: {error}"
        ))),
    };
    // Where the store failed, that says more than the end of the stream does.
    sent.and(taken)
}

/// What ended the reading of a backup, in our words.
pub(super) fn told<T>(name: &Name, taken: io::Result<T>) -> Result<T, BackupError> {
    taken.map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput => {
            BackupError::Config(format!("the backup {name} cannot be read: {source}"))
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            BackupError::damaged(name, source.to_string())
        }
        _ => BackupError::Io {
            doing: format!("cannot read the backup {name}"),
            source,
        },
    })
}

async fn send(
    store: &Store,
    name: &Name,
    files: &[File],
    sender: &mpsc::Sender<Result<Bytes, String>>,
) -> Result<(), BackupError> {
    for file in files {
        let mut chunks = store.stream(name, &file.name).await?;
        while let Some(chunk) = chunks.next().await {
            match chunk {
                Ok(chunk) if chunk.is_empty() => {}
                // Whoever reads may have had enough.
                Ok(chunk) => {
                    if sender.send(Ok(chunk)).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(error.to_string())).await;
                    return store.unreadable(name, &file.name, error);
                }
            }
        }
    }
    Ok(())
}

/// Reads a whole file and holds it against the manifest, without unpacking it.
pub(super) async fn verify(
    store: &Store,
    name: &Name,
    file: &File,
    count: &Counter,
) -> Result<(), BackupError> {
    let mut chunks = store.stream(name, &file.name).await?;
    let (mut size, mut hash) = (0, Sha256::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return store.unreadable(name, &file.name, error),
        };
        size += chunk.len() as u64;
        hash.update(&chunk);
        count.fetch_add(chunk.len() as u64, std::sync::atomic::Ordering::Relaxed);
    }
    check(file, size, hash).map_err(|problem| BackupError::damaged(name, problem))
}
