//! Rows of partitioned tables whose partitions show nothing by their own names.
//!
//! pg_dump reads partitions one by one. Ours have no policies, because they are reached through their parent alone: an owner
//! who is held by row level security sees none of their rows there. Such tables are copied through the parent.

use std::io::{self, Read};
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt as _;
use futures_util::stream::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::Client;

use super::archive::Identities;
use super::manifest::{File, Manifest, Part};
use super::outlet::Outlet;
use super::progress::Counter;
use super::{BackupError, Store, intake};

/// The partitions whose rows pg_dump leaves out.
pub(super) async fn leaves(client: &Client, roots: &[String]) -> Result<Vec<String>, BackupError> {
    let rows = client
        .query(
            "SELECT t.relid::regclass::text FROM unnest($1::text[]) r CROSS JOIN LATERAL pg_partition_tree(r::regclass) t WHERE t.isleaf",
            &[&roots],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Columns that are written, in their order: the same in the snapshot and in what is restored from it.
async fn columns(client: &Client, table: &str) -> Result<String, BackupError> {
    let row = client
        .query_one(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
              WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            &[&table],
        )
        .await?;
    Ok(row.get(0))
}

fn file_stem(index: usize) -> String {
    format!("rooted{index}")
}

/// Stores the rows of each table, as the client's snapshot has them.
pub(super) async fn store(
    client: &Client,
    roots: &[String],
    outlet: &mut Outlet<'_>,
    count: &Counter,
) -> Result<(), BackupError> {
    for (index, table) in roots.iter().enumerate() {
        let columns = columns(client, table).await?;
        let rows = client
            .copy_out(&format!("COPY (SELECT {columns} FROM {table}) TO STDOUT"))
            .await?;
        let (sender, receiver) = mpsc::channel(8);
        let copying = async {
            let mut rows = pin!(rows);
            while let Some(chunk) = rows.next().await {
                if sender.send(chunk?).await.is_err() {
                    break;
                }
            }
            // The end of the channel is the end of the stream only when the last row has come.
            drop(sender);
            Ok::<(), BackupError>(())
        };
        let name = format!("{}.copy", file_stem(index));
        let input = Chunks::new(receiver);
        let (copied, stored) = futures_util::join!(
            copying,
            outlet.put(Part::Rooted, &name, input, Counter::clone(count), None)
        );
        copied?;
        stored?;
    }
    Ok(())
}

/// Puts the rows of each table back.
pub(super) async fn load(
    client: &Client,
    store: &Store,
    manifest: &Manifest,
    identities: &Identities,
    count: &Counter,
) -> Result<(), BackupError> {
    for (index, table) in manifest.rooted.iter().enumerate() {
        let stem = format!("{}.", file_stem(index));
        let files: Vec<File> = manifest
            .part(Part::Rooted)
            .into_iter()
            .filter(|file| file.name.starts_with(&stem))
            .collect();
        let columns = columns(client, table).await?;
        let mut sink = pin!(
            client
                .copy_in::<_, Bytes>(&format!("COPY {table} ({columns}) FROM STDIN"))
                .await?
        );
        let (sender, mut receiver) = mpsc::channel(8);
        let fetching = intake::fetch(
            store,
            manifest,
            files,
            identities,
            Counter::clone(count),
            move |stream| {
                loop {
                    let mut chunk = vec![0; 256 * 1024];
                    let read = stream.read(&mut chunk)?;
                    if read == 0 {
                        return Ok(());
                    }
                    chunk.truncate(read);
                    if sender.blocking_send(Bytes::from(chunk)).is_err() {
                        return Ok(());
                    }
                }
            },
        );
        let copying = async {
            while let Some(chunk) = receiver.recv().await {
                sink.send(chunk).await?;
            }
            Ok::<(), BackupError>(())
        };
        let (fetched, copied) = futures_util::join!(fetching, copying);
        fetched?;
        copied?;
        sink.finish().await?;
    }
    Ok(())
}

/// Chunks of a channel as a stream of bytes.
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            receiver,
            current: Bytes::new(),
        }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
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
