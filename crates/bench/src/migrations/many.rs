//! How long two hundred migrations take that do nothing, beside `psql` with the same files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cluster::{Cluster, run, write_migration};

/// What stands in each file.
const NOTHING: &str = "SELECT 1;\n";

/// Tables as a runner needs them, for the psql that keeps a history too.
const HISTORY: &str = "CREATE TABLE history (version varchar(50) PRIMARY KEY NOT NULL, run_on timestamp NOT NULL DEFAULT current_timestamp);
    CREATE TABLE ledger (version text PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Who runs the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Plinth,
    /// One process, one transaction for each file.
    Psql,
    /// The same, with a row in two tables in each transaction: what a runner has to write at least.
    PsqlWithHistory,
    /// A process for each file, in one transaction.
    PsqlEach,
}

impl By {
    pub(super) const ALL: [Self; 4] = [Self::Plinth, Self::Psql, Self::PsqlWithHistory, Self::PsqlEach];

    /// As the report calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plinth => "`plinth-ops migrate run`",
            Self::Psql => "one `psql`, a transaction for each file",
            Self::PsqlWithHistory => "the same, each writing two rows of history",
            Self::PsqlEach => "a `psql -1 -f` for each file",
        }
    }
}

/// How long it took, over all rounds.
#[derive(Clone, Debug)]
pub(super) struct Took {
    pub(super) by: By,
    /// In ascending order.
    times: Vec<Duration>,
}

impl Took {
    pub(super) fn median(&self) -> Duration {
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }

    pub(super) fn fastest(&self) -> Duration {
        self.times.first().copied().unwrap_or_default()
    }
}

/// Rounds in which each of them runs `count` files on an empty database.
pub(super) async fn measure(
    cluster: &Cluster,
    directory: &Path,
    count: u32,
    rounds: u32,
) -> anyhow::Result<Vec<Took>> {
    let migrations = directory.join("many");
    let files = (1..=count)
        .map(|number| {
            let name = format!("2026-01-01-{number:06}_nothing_{number}");
            write_migration(&migrations, &name, NOTHING, NOTHING)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut all = By::ALL.map(|by| Took {
        by,
        times: Vec::new(),
    });
    for _ in 0..rounds {
        for took in &mut all {
            cluster.fresh().await?;
            took.times.push(once(cluster, took.by, &migrations, &files)?);
            if took.by == By::Plinth {
                ensure_applied(cluster, count).await?;
            }
        }
    }
    for took in &mut all {
        took.times.sort_unstable();
    }
    Ok(all.into())
}

/// From the start of the first process to the end of the last one.
fn once(cluster: &Cluster, by: By, migrations: &Path, files: &[PathBuf]) -> anyhow::Result<Duration> {
    let started = Instant::now();
    match by {
        By::Plinth => run(&mut cluster.migrate_run(migrations))?,
        By::Psql | By::PsqlWithHistory => {
            let history = by == By::PsqlWithHistory;
            let mut command = cluster.psql();
            if history {
                command.arg("-c").arg(HISTORY);
            }
            // Not --single-transaction, which would be one for all of them.
            for (number, file) in files.iter().enumerate() {
                command.args(["-c", "BEGIN", "-f"]).arg(file);
                if history {
                    command.arg("-c").arg(format!(
                        "INSERT INTO history (version) VALUES ('{number}'); INSERT INTO ledger VALUES ('{number}', 'nothing', 'checksum')"
                    ));
                }
                command.args(["-c", "COMMIT"]);
            }
            run(&mut command)?;
        }
        By::PsqlEach => {
            for file in files {
                run(cluster.psql().arg("--single-transaction").arg("-f").arg(file))?;
            }
        }
    }
    Ok(started.elapsed())
}

async fn ensure_applied(cluster: &Cluster, count: u32) -> anyhow::Result<()> {
    let client = cluster.connect().await?;
    let sql = "SELECT count(*) FROM plinth_migrations WHERE name LIKE 'nothing%'";
    let applied: i64 = client.query_one(sql, &[]).await?.get(0);
    anyhow::ensure!(
        applied == i64::from(count),
        "{applied} of {count} migrations were applied"
    );
    Ok(())
}
