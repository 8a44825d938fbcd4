//! Reads every row of a snapshot, several tables at once: counts and hashes them, and packs them where that is wanted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::TryStreamExt as _;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use uuid::Uuid;

use super::census::{Cell, Census};
use super::chunk::Packer;
use super::index::Chunks;
use super::progress::Counter;
use super::shape::{self, Range, Table};
use super::{BackupError, Context, row, server};
use app_config::DatabaseAddress;

/// At most so many connections, each of which has a chunk in memory.
const MOST: usize = 4;

/// Connections that read or write rows side by side.
pub(super) fn connections() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, MOST))
}

/// The cells of one table, while they are counted.
type Counted = HashMap<Option<Uuid>, Cell>;

/// Connections that see one snapshot, with every table locked against those who would change or empty it.
pub(super) struct Readers(Vec<Client>);

impl Readers {
    /// Connects to the database at `address`, into the snapshot that `client`'s transaction has exported.
    pub async fn connect(
        context: &Context<'_>,
        address: &DatabaseAddress,
        snapshot: &str,
        tables: &[Table],
    ) -> Result<Self, BackupError> {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let lock = if names.is_empty() {
            String::new()
        } else {
            // All at once, and now: whoever waits for one of them later would be waited for by us.
            format!("LOCK TABLE {} IN ACCESS SHARE MODE;", names.join(", "))
        };
        let mut readers = Vec::new();
        for _ in 0..connections() {
            let client = server::connect(context.program, address).await?;
            client
                .batch_execute(&format!(
                    "SET lock_timeout = '60s'; SET max_parallel_workers_per_gather = 0;
                     BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET TRANSACTION SNAPSHOT '{snapshot}'; {lock}"
                ))
                .await?;
            readers.push(client);
        }
        Ok(Self(readers))
    }

    /// Reads all rows of all tables. The counter counts their bytes.
    pub async fn read(
        self,
        tables: &Arc<Vec<Table>>,
        chunks: Option<&Arc<Chunks>>,
        bytes: &Counter,
    ) -> Result<Census, BackupError> {
        let ranges = Arc::new(Mutex::new(VecDeque::from(shape::ranges(tables))));
        let mut reading = JoinSet::new();
        for client in self.0 {
            let reader = Reader {
                client,
                tables: Arc::clone(tables),
                chunks: chunks.map(Arc::clone),
                bytes: Counter::clone(bytes),
            };
            reading.spawn(reader.work(Arc::clone(&ranges)));
        }
        let mut census = Census::default();
        for table in tables.iter() {
            let cells = census.tables.entry(table.name.clone()).or_default();
            // An empty table without domains has a cell all the same: it is one that was looked at.
            if !table.shape.by_domain {
                cells.entry(None).or_default();
            }
        }
        // The first that fails ends all: the others are aborted when the set is dropped.
        while let Some(ended) = reading.join_next().await {
            let counted = ended.map_err(|error| BackupError::Failed(error.to_string()))??;
            for (table, counted) in counted {
                let Some(table) = tables.get(table) else { continue };
                let cells = census.tables.entry(table.name.clone()).or_default();
                for (domain, cell) in counted {
                    cells.entry(domain).or_default().add(cell);
                }
            }
        }
        Ok(census)
    }
}

struct Reader {
    client: Client,
    tables: Arc<Vec<Table>>,
    chunks: Option<Arc<Chunks>>,
    bytes: Counter,
}

impl Reader {
    async fn work(
        self,
        ranges: Arc<Mutex<VecDeque<Range>>>,
    ) -> Result<BTreeMap<usize, Counted>, BackupError> {
        let mut counted: BTreeMap<usize, Counted> = BTreeMap::new();
        loop {
            let next = ranges.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(range) = next else {
                self.client.batch_execute("COMMIT").await?;
                return Ok(counted);
            };
            self.range(range, counted.entry(range.table).or_default()).await?;
        }
    }

    async fn range(&self, range: Range, cells: &mut Counted) -> Result<(), BackupError> {
        let Some(table) = self.tables.get(range.table) else {
            return Ok(());
        };
        let shape = &table.shape;
        let unpacked =
            |problem: String| BackupError::Failed(format!("the rows of {}: {problem}", table.name));
        let cannot_pack = |source| BackupError::Io {
            doing: format!("cannot pack the rows of {}", table.name),
            source,
        };
        let mut packer = match &self.chunks {
            Some(chunks) => Some((chunks, Packer::new(shape.format).map_err(cannot_pack)?)),
            None => None,
        };
        let mut first = true;
        let mut messages = pin!(self.client.copy_out(&table.copy_out(range)).await?);
        while let Some(message) = messages.try_next().await? {
            let row = row::of_message(shape.format, first, &message).map_err(unpacked)?;
            first = false;
            let Some(row) = row else { continue };
            let domain = if shape.by_domain {
                row::domain(shape.format, row).map_err(unpacked)?
            } else {
                None
            };
            cells.entry(domain).or_default().count(row::hash(row));
            self.bytes.fetch_add(row.len() as u64, Ordering::Relaxed);
            if let Some((chunks, packer)) = &mut packer
                && packer.add(domain, row).map_err(cannot_pack)?
                && let Some(packed) = packer.take().map_err(cannot_pack)?
            {
                chunks.write(range.table, &table.name, packed).await?;
            }
        }
        if let Some((chunks, mut packer)) = packer
            && let Some(packed) = packer.take().map_err(cannot_pack)?
        {
            chunks.write(range.table, &table.name, packed).await?;
        }
        Ok(())
    }
}
