//! For how long readers stand still while an `ALTER TABLE` waits behind a long one.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::cluster::{Cluster, run, write_migration};

/// For how long the long reader's transaction is open.
pub(super) const LONG_READER: Duration = Duration::from_secs(4);
/// Connections that read meanwhile.
pub(super) const READERS: u32 = 4;
/// One read of each connection falls due so often.
const EVERY: Duration = Duration::from_millis(5);

const TABLE: &str = "CREATE TABLE things (id integer PRIMARY KEY, name text NOT NULL);
    INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 1000) n;";
const UP: &str = "ALTER TABLE things ADD COLUMN color text;\n";
const DOWN: &str = "ALTER TABLE things DROP COLUMN color;\n";

/// Who alters the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Nobody,
    Plinth,
    Psql,
}

impl By {
    pub(super) const ALL: [Self; 3] = [Self::Nobody, Self::Plinth, Self::Psql];

    /// As the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody alters the table",
            Self::Plinth => "`plinth-ops migrate run`",
            Self::Psql => "`psql -f up.sql`",
        }
    }
}

/// What readers and migration saw, over all rounds.
#[derive(Clone, Debug)]
pub(super) struct Stall {
    pub(super) by: By,
    /// How long each read took from the moment it fell due, in ascending order.
    reads: Vec<Duration>,
    /// How long the slowest of the migrations took.
    pub(super) altered_after: Duration,
}

impl Stall {
    pub(super) fn count(&self) -> usize {
        self.reads.len()
    }

    /// The read that so many hundredths of the reads are not slower than.
    pub(super) fn percentile(&self, hundredths: usize) -> Duration {
        let rank = (self.reads.len() * hundredths).div_ceil(100).max(1);
        self.reads.get(rank - 1).copied().unwrap_or_default()
    }

    pub(super) fn max(&self) -> Duration {
        self.reads.last().copied().unwrap_or_default()
    }
}

/// A few rounds of the same.
pub(super) async fn measure(
    cluster: &Cluster,
    directory: &Path,
    by: By,
    rounds: u32,
) -> anyhow::Result<Stall> {
    let migrations = directory.join("stall");
    let file = write_migration(&migrations, "2026-01-01-000001_add_color", UP, DOWN)?;
    let mut stall = Stall {
        by,
        reads: Vec::new(),
        altered_after: Duration::ZERO,
    };
    for _ in 0..rounds {
        cluster.fresh().await?;
        let command = match by {
            By::Nobody => None,
            By::Plinth => Some(cluster.migrate_run(&migrations)),
            By::Psql => {
                let mut command = cluster.psql();
                command.arg("--single-transaction").arg("-f").arg(&file);
                Some(command)
            }
        };
        let (reads, altered_after) = round(cluster, command).await?;
        stall.reads.extend(reads);
        stall.altered_after = stall.altered_after.max(altered_after);
    }
    stall.reads.sort_unstable();
    Ok(stall)
}

/// All reads that fell due between the start and the end of the command; and how long that was. Without a command, as long as
/// the long reader reads.
async fn round(cluster: &Cluster, command: Option<Command>) -> anyhow::Result<(Vec<Duration>, Duration)> {
    let owner = cluster.connect().await?;
    owner.batch_execute(TABLE).await?;
    let over: Arc<OnceLock<Instant>> = Arc::default();
    // Each holds its statement ready, so that a read is one message there and one back.
    let mut readers = Vec::new();
    for number in 0..READERS {
        let client = cluster.connect().await?;
        let statement = client.prepare("SELECT name FROM things WHERE id = $1").await?;
        client.query_one(&statement, &[&1]).await?;
        readers.push((number, client, statement));
    }
    let long = cluster.connect().await?;
    long.batch_execute("BEGIN; SELECT count(*) FROM things").await?;
    let begun = Instant::now();
    let readers: Vec<_> = readers
        .into_iter()
        .map(|(number, client, statement)| {
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut took = Vec::new();
                // The connections take turns.
                let mut due = begun + EVERY * number / READERS;
                // By schedule, not one after the other: who stands still for 300 ms would else count for one slow read, and
                // not for all that fell due meanwhile.
                while over.get().is_none_or(|over| due <= *over) {
                    tokio::time::sleep_until(due.into()).await;
                    client.query_one(&statement, &[&7]).await?;
                    took.push((due, due.elapsed()));
                    due += EVERY;
                }
                Ok::<_, tokio_postgres::Error>(took)
            })
        })
        .collect();
    let long_reader = tokio::spawn(async move {
        tokio::time::sleep_until((begun + LONG_READER).into()).await;
        long.batch_execute("COMMIT").await
    });
    // The readers have come into step.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let from = Instant::now();
    if let Some(mut command) = command {
        tokio::task::spawn_blocking(move || run(&mut command)).await??;
    } else {
        tokio::time::sleep_until((begun + LONG_READER).into()).await;
    }
    let until = *over.get_or_init(Instant::now);
    long_reader.await??;
    let mut reads = Vec::new();
    for reader in readers {
        let took = reader.await?.context("a reader's connection failed")?;
        reads.extend(
            took.into_iter()
                .filter(|(due, _)| (from..=until).contains(due))
                .map(|(_, took)| took),
        );
    }
    anyhow::ensure!(!reads.is_empty(), "no read fell due while the table was altered");
    Ok((reads, until - from))
}
