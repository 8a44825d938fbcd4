//! From a stream to files of the store: packed in a thread, uploaded in parts, never whole in memory.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use object_store::WriteMultipart;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::archive::{Recipients, pack, seal};
use super::manifest::{File, Name, Part};
use super::progress::Counter;
use super::store::PART;
use super::{BackupError, Store};

/// Parts that are on their way at once. With those that wait and the one being filled: 30 MiB.
const AT_ONCE: usize = 3;

/// Parts of one file: 24 GiB, so that the parts stay small however large the dump is. A multipart upload has at most 10,000.
const PARTS_OF_A_FILE: usize = 4096;

/// What the packing thread hands over.
enum Piece {
    Bytes(Bytes),
    /// The file is at its end; its checksum.
    End(String),
}

/// Where the packing thread writes to.
pub(super) struct Sink {
    pieces: mpsc::Sender<Piece>,
    buffer: BytesMut,
    hash: Sha256,
    /// Parts of the current file that were handed over.
    parts: usize,
}

impl Sink {
    fn hand_over(&mut self, piece: Piece) -> io::Result<()> {
        self.pieces
            .blocking_send(piece)
            .map_err(|_closed| io::Error::new(io::ErrorKind::BrokenPipe, "the upload has ended"))
    }

    fn part(&mut self) -> io::Result<()> {
        let part = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(PART)).freeze();
        self.hash.update(&part);
        self.parts += 1;
        self.hand_over(Piece::Bytes(part))?;
        if self.parts == PARTS_OF_A_FILE {
            self.end()?;
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.parts = 0;
        let hash = hex::encode(std::mem::take(&mut self.hash).finalize());
        self.hand_over(Piece::End(hash))
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.part()?;
        }
        if self.parts > 0 { self.end() } else { Ok(()) }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART - self.buffer.len());
        self.buffer
            .extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.buffer.len() == PART {
            self.part()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts what is read, and tells of the first byte.
struct Counted<R> {
    inner: R,
    count: Counter,
    first: Option<tokio::sync::oneshot::Sender<()>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count > 0
            && let Some(first) = self.first.take()
        {
            let _ = first.send(());
        }
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Uploads of one backup. What was begun and not finished has to be given up with [`Self::abort`]: a store keeps, and charges
/// for, the parts of an upload that nobody ended.
pub(super) struct Outlet<'a> {
    store: &'a Store,
    backup: &'a Name,
    recipients: Recipients,
    /// The upload under way, and its file.
    current: Option<(WriteMultipart, String)>,
    /// The files that are there.
    pub files: Vec<File>,
}

impl<'a> Outlet<'a> {
    pub fn new(store: &'a Store, backup: &'a Name, recipients: Recipients) -> Self {
        Self {
            store,
            backup,
            recipients,
            current: None,
            files: Vec::new(),
        }
    }

    /// Stores all of a stream. `first` hears when its first byte was read, `count` how many there were.
    pub async fn put(
        &mut self,
        part: Part,
        name: &str,
        input: impl Read + Send + 'static,
        count: Counter,
        first: Option<tokio::sync::oneshot::Sender<()>>,
    ) -> Result<(), BackupError> {
        let (sender, mut pieces) = mpsc::channel(1);
        let recipients = self.recipients.clone();
        let packing = tokio::task::spawn_blocking(move || {
            let sink = Sink {
                pieces: sender,
                buffer: BytesMut::with_capacity(PART),
                hash: Sha256::new(),
                parts: 0,
            };
            let mut input = Counted {
                inner: input,
                count,
                first,
            };
            // Rows are packed frame by frame where they are read.
            match part {
                Part::Rows => seal(&mut input, sink, &recipients)?.finish(),
                _ => pack(&mut input, sink, &recipients)?.finish(),
            }
        });
        let mut number = 0;
        let mut size = 0;
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Bytes(bytes) => {
                    if self.current.is_none() {
                        number += 1;
                        size = 0;
                        let file = file_name(name, number, &self.recipients);
                        let upload = self.store.upload(self.backup, &file).await?;
                        self.current = Some((upload, file));
                    }
                    size += bytes.len() as u64;
                    if let Some((upload, file)) = &mut self.current {
                        let capacity = upload.wait_for_capacity(AT_ONCE).await;
                        self.store.uploaded(self.backup, file, capacity)?;
                        upload.put(bytes);
                    }
                }
                Piece::End(sha256) => {
                    let Some((upload, file)) = self.current.take() else {
                        continue;
                    };
                    // `finish` gives the upload up where it fails.
                    let finished = upload.finish().await;
                    self.store.uploaded(self.backup, &file, finished)?;
                    let stored = self.store.size(self.backup, &file).await?;
                    if stored != size {
                        return Err(BackupError::damaged(
                            self.backup,
                            format!("the store has {stored} bytes of {file}, and {size} were sent"),
                        ));
                    }
                    self.files.push(File {
                        name: file,
                        part,
                        size,
                        sha256,
                    });
                }
            }
        }
        match packing.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(BackupError::Io {
                doing: format!("cannot pack {name}"),
                source,
            }),
            Err(error) => Err(BackupError::Failed(format!("cannot pack {name}: {error}"))),
        }
    }

    /// Gives up what is under way.
    pub async fn abort(mut self) {
        if let Some((upload, file)) = self.current.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(%error, file, backup = %self.backup, "an upload could not be given up: its parts stay in the store");
        }
    }
}

/// `database.0001.dump.zst.age`
fn file_name(name: &str, number: usize, recipients: &Recipients) -> String {
    let (stem, extension) = name.split_once('.').unwrap_or((name, "bin"));
    let sealed = if recipients.names().is_empty() { "" } else { ".age" };
    format!("{stem}.{number:04}.{extension}.zst{sealed}")
}
