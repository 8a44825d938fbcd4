//! Puts rows back: all of them, over several connections, or those of one domain, of which little more is read.

use std::io::{self, Read, Seek, SeekFrom};
use std::pin::pin;
use std::sync::Arc;

use app_config::DatabaseAddress;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use super::archive::{Identities, decrypt_from_anywhere};
use super::chunk::{Frame, directory};
use super::index::{self, Chunk};
use super::intake::{self, Packing};
use super::manifest::{Manifest, Part};
use super::progress::Counter;
use super::ranges::Ranges;
use super::scan::connections;
use super::shape::{Format, Shape, copy_in};
use super::{BackupError, Context, row, server};

/// What one `COPY` is sent at a time.
const MESSAGE: usize = 256 * 1024;

/// Frames of a chunk, packed, on their way to a connection.
struct Load {
    table: String,
    shape: Shape,
    frames: Vec<(Frame, Bytes)>,
    /// Of which domain, and of none, rows are wanted; `None` for all.
    only: Option<Uuid>,
}

impl Load {
    fn new(manifest: &Manifest, chunk: &Chunk, only: Option<Uuid>) -> io::Result<Self> {
        let table = manifest.tables.iter().find(|table| table.name == chunk.table);
        let table = table.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self {
            table: table.name.clone(),
            shape: table.shape.clone(),
            frames: Vec::new(),
            only,
        })
    }

    /// The rows of a frame that are wanted.
    fn rows(&self, frame: &Frame, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let rows = frame.unpack(bytes)?;
        let Some(only) = self.only.filter(|_| self.shape.by_domain) else {
            return Ok(rows);
        };
        let damaged = |problem: String| io::Error::new(io::ErrorKind::InvalidData, problem);
        let mut wanted = Vec::new();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let length = row::length(self.shape.format, rest);
            let (row, others) = length
                .and_then(|length| rest.split_at_checked(length))
                .ok_or_else(|| damaged("half a row".to_owned()))?;
            let domain = row::domain(self.shape.format, row).map_err(damaged)?;
            if is_wanted(domain, only) {
                wanted.extend_from_slice(row);
            }
            rest = others;
        }
        Ok(wanted)
    }

    async fn put(self, client: &Client) -> Result<(), BackupError> {
        let mut sink = pin!(
            client
                .copy_in::<_, Bytes>(&copy_in(&self.table, &self.shape))
                .await?
        );
        let binary = self.shape.format == Format::Binary;
        if binary {
            sink.send(Bytes::from_static(row::HEADER)).await?;
        }
        for (frame, bytes) in &self.frames {
            let mut rows = Bytes::from(
                self.rows(frame, bytes)
                    .map_err(|error| unreadable(&self.table, error))?,
            );
            while !rows.is_empty() {
                sink.send(rows.split_to(rows.len().min(MESSAGE))).await?;
            }
        }
        if binary {
            sink.send(Bytes::from_static(row::TRAILER)).await?;
        }
        sink.finish().await?;
        Ok(())
    }
}

fn unreadable(table: &str, source: io::Error) -> BackupError {
    BackupError::Io {
        doing: format!("the rows of {table}"),
        source,
    }
}

/// Whether a row goes with a domain: its own, the platform's, or nobody's.
pub(super) fn is_wanted(domain: Option<Uuid>, only: Uuid) -> bool {
    domain.is_none_or(|domain| domain == only || domain == db_core::PLATFORM_DOMAIN.uuid())
}

/// The index, which has to be that of the manifest.
pub(super) async fn index(
    context: &Context<'_>,
    manifest: &Manifest,
    identities: &Identities,
) -> Result<Vec<Chunk>, BackupError> {
    let chunks = intake::fetch(
        &context.store,
        manifest,
        manifest.part(Part::Index),
        (identities, Packing::Zstd),
        Counter::default(),
        |stream| index::read(stream),
    )
    .await?;
    index::agrees(manifest, &chunks)?;
    Ok(chunks)
}

/// Writes what is handed over into the database, over as many connections. The first error ends all.
struct Writers(JoinSet<Result<(), BackupError>>);

impl Writers {
    async fn start(
        context: &Context<'_>,
        address: &DatabaseAddress,
        loads: mpsc::Receiver<Load>,
        count: usize,
    ) -> Result<Self, BackupError> {
        let loads = Arc::new(Mutex::new(loads));
        let mut writers = JoinSet::new();
        for _ in 0..count {
            let client = server::connect(context.program, address).await?;
            // Nothing here has to survive a crash: what is half restored is dropped.
            client.batch_execute("SET synchronous_commit = off").await?;
            let loads = Arc::clone(&loads);
            writers.spawn(async move {
                loop {
                    let load = loads.lock().await.recv().await;
                    match load {
                        Some(load) => load.put(&client).await?,
                        None => return Ok(()),
                    }
                }
            });
        }
        Ok(Self(writers))
    }

    async fn end(mut self) -> Result<(), BackupError> {
        while let Some(ended) = self.0.join_next().await {
            ended.map_err(|error| BackupError::Failed(error.to_string()))??;
        }
        Ok(())
    }
}

/// Fills all tables.
pub(super) async fn all(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
    identities: &Identities,
    count: &Counter,
) -> Result<(), BackupError> {
    let chunks = index(context, manifest, identities).await?;
    let files = manifest.part(Part::Rows);
    if files.is_empty() {
        return Ok(());
    }
    let (sender, receiver) = mpsc::channel(1);
    let writers = Writers::start(context, address, receiver, connections()).await?;
    let listed = manifest.clone();
    let reading = intake::fetch(
        &context.store,
        manifest,
        files,
        (identities, Packing::Plain),
        Counter::clone(count),
        move |stream| read_all(stream, &listed, &chunks, &sender),
    );
    let (read, written) = futures_util::join!(reading, writers.end());
    // Bytes that are not what they were are the cause of whatever else fails.
    match (read, written) {
        (
            Err(error @ (BackupError::Damaged { .. } | BackupError::Config(_) | BackupError::Store { .. })),
            _,
        )
        | (_, Err(error))
        | (Err(error), _) => Err(named(manifest, error)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Rows that cannot be unpacked are damage, wherever it is noticed.
fn named(manifest: &Manifest, error: BackupError) -> BackupError {
    match error {
        BackupError::Io { doing, source } if source.kind() == io::ErrorKind::InvalidData => {
            BackupError::damaged(&manifest.backup, format!("{doing}: {source}"))
        }
        error => error,
    }
}

fn read_all(
    stream: &mut dyn Read,
    manifest: &Manifest,
    chunks: &[Chunk],
    sender: &mpsc::Sender<Load>,
) -> io::Result<()> {
    let given_up = || io::Error::other("the rows could not be written");
    for chunk in chunks {
        let mut bytes = vec![0; usize::try_from(chunk.length).map_err(io::Error::other)?];
        stream.read_exact(&mut bytes)?;
        let mut bytes = Bytes::from(bytes);
        let mut load = Load::new(manifest, chunk, None)?;
        let frames = bytes.split_to(usize::try_from(chunk.directory).map_err(io::Error::other)?);
        for frame in directory(&frames, &chunk.sha256)? {
            if bytes.len() < frame.length() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let rows = bytes.split_to(frame.length());
            if frame.has_rows() {
                load.frames.push((frame, rows));
            }
        }
        sender.blocking_send(load).map_err(|_closed| given_up())?;
    }
    // Only at the end of the stream has every byte been held against the checksums.
    if io::copy(stream, &mut io::sink())? > 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there are more rows than the index has",
        ));
    }
    Ok(())
}

/// Fills the tables of these chunks with the rows of one domain, of the platform's, and of none. Reads the directories, and what
/// they say is wanted.
pub(super) async fn of_domain(
    context: &Context<'_>,
    address: &DatabaseAddress,
    manifest: &Manifest,
    identities: &Identities,
    chunks: Vec<Chunk>,
    only: Uuid,
) -> Result<(), BackupError> {
    let (sender, receiver) = mpsc::channel(1);
    let writers = Writers::start(context, address, receiver, 2).await?;
    let rows = Ranges::new(&context.store, &manifest.backup, manifest.part(Part::Rows));
    let (listed, identities) = (manifest.clone(), identities.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let encrypted = !listed.recipients.is_empty();
        let mut rows = decrypt_from_anywhere(rows, encrypted, &identities)?;
        for chunk in &chunks {
            let load = read_some(&mut *rows, &listed, chunk, only)?;
            if !load.frames.is_empty() && sender.blocking_send(load).is_err() {
                return Err(io::Error::other("the rows could not be written"));
            }
        }
        Ok(())
    });
    let (read, written) = futures_util::join!(reading, writers.end());
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    match (intake::told(&manifest.backup, read), written) {
        (Err(error @ (BackupError::Damaged { .. } | BackupError::Config(_))), _)
        | (_, Err(error))
        | (Err(error), _) => Err(named(manifest, error)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn read_some(
    rows: &mut dyn ReadAnywhere,
    manifest: &Manifest,
    chunk: &Chunk,
    only: Uuid,
) -> io::Result<Load> {
    let mut read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        rows.seek(SeekFrom::Start(chunk.offset + at))?;
        rows.read_exact(&mut bytes)?;
        Ok::<_, io::Error>(Bytes::from(bytes))
    };
    let length = usize::try_from(chunk.directory).map_err(io::Error::other)?;
    let frames = directory(&read(0, length)?, &chunk.sha256)?;
    let mut load = Load::new(manifest, chunk, Some(only))?;
    for frame in frames {
        if frame.has_rows() && frame.is_of(Some(only)) {
            load.frames.push((frame, read(frame.at, frame.length())?));
        }
    }
    Ok(load)
}

/// What can be read from anywhere.
pub(super) trait ReadAnywhere: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadAnywhere for T {}
