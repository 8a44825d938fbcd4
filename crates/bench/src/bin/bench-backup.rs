//! `bench-backup`: our backups against what is usually done, `pg_dump | gzip` and `psql < backup.sql`, in one run.
//!
//! How to read the figures: `bench/README.md`.

#[path = "../dataset.rs"]
#[expect(
    dead_code,
    reason = "ids of single rows are of use to the other benchmark alone"
)]
mod dataset;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use db_core::PLATFORM_DOMAIN;
use db_core::rbac::SystemRole;
use local_postgres::{Durability, LocalPostgres, Options, default_state_dir};
use nix::sys::resource::{UsageWho, getrusage};
use tokio_postgres::NoTls;

const KEY: &str = "bench-key-0123456789abcdef0123456789abcdef";
const DATABASE: &str = "plinth_bench_backup";
const RESTORED: &str = "plinth_bench_restored";
/// The domain that is restored alone.
const DOMAIN: &str = "bench-7";

/// Compares our backups with `pg_dump | gzip` and `psql < backup.sql`.
#[derive(Debug, Parser)]
#[command(name = "bench-backup", version)]
struct Cli {
    /// plinth-ops.
    #[arg(long, value_name = "PROGRAM")]
    ops: PathBuf,
    /// Domains, of a thousand cards and two thousand events each; 500 make a database of about 1 GB.
    #[arg(long, default_value_t = 500, value_name = "N")]
    domains: u32,
    /// How often each is measured, in turns; the median counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
    /// Where our backups go, with PLINTH_BACKUP_… in the environment, instead of a directory.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// Appends the result to this file.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// The commit that is measured, for the results file.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench-backup: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a command took.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    wall: f64,
    /// Processor seconds of the command and its children: what the client's machine pays.
    cpu: f64,
    /// The most memory that the command itself had in RAM, in MiB.
    memory: f64,
}

/// One thing that is measured, and all its rounds.
struct Row {
    name: &'static str,
    took: Vec<Took>,
    bytes: u64,
}

impl Row {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            took: Vec::new(),
            bytes: 0,
        }
    }

    fn median(&self) -> Took {
        let middle = |of: fn(&Took) -> f64| {
            let mut all: Vec<f64> = self.took.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or_default()
        };
        Took {
            wall: middle(|took| took.wall),
            cpu: middle(|took| took.cpu),
            memory: self.took.iter().map(|took| took.memory).fold(0.0, f64::max),
        }
    }
}

struct Bench {
    server: LocalPostgres,
    directory: PathBuf,
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let directory = default_state_dir(Path::new("."))?.join("bench-backup");
    let _ = fs::remove_dir_all(&directory);
    let mut options = Options::new(directory.join("pg"), Durability::Durable);
    options.settings = [
        ("shared_buffers", "1GB"),
        ("max_wal_size", "2GB"),
        ("autovacuum", "off"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let bench = Bench {
        server: LocalPostgres::start(options)?,
        directory: directory.clone(),
    };
    let measured = bench.all(cli);
    bench.server.stop()?;
    fs::remove_dir_all(&directory).context("cleaning up")?;
    let text = measured?;
    write!(std::io::stdout().lock(), "\n{text}")?;
    if let Some(file) = &cli.results {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file)?;
        write!(file, "\n{text}")?;
    }
    Ok(())
}

impl Bench {
    fn all(&self, cli: &Cli) -> anyhow::Result<String> {
        let files = self.directory.join("files");
        fs::create_dir_all(&files)?;
        let size = self.load(cli)?;
        let (gzip, plain) = (files.join("backup.sql.gz"), files.join("backup.sql"));
        let pipeline = format!("set -e; pg_dump | gzip > {}", gzip.display());
        let unproven = |bench: &Self| bench.shell(&pipeline);

        let mut dump = Row::new("`pg_dump \\| gzip`");
        let mut ours = Row::new("`backup create --no-drill`: with a manifest");
        let mut proved = Row::new("`backup create`: stored, restored, compared");
        let mut psql = Row::new("`psql < backup.sql`");
        let mut restore = Row::new("`restore`: read twice, restored, compared, analyzed");
        let mut copied = Row::new("a domain out of that: `domain export`, `domain restore`");
        let mut domain = Row::new("`domain restore --from-backup`");
        // What the first one reads from disk, the others would have from memory.
        self.measure(&mut self.shell("set -e; pg_dump > /dev/null"))?;
        let mut last = String::new();
        for round in 1..=cli.rounds {
            say(&format!("backups, round {round} of {}", cli.rounds))?;
            dump.took.push(self.measure(&mut unproven(self))?);
            ours.took
                .push(self.measure(&mut self.ops(cli, &["backup", "create", "--no-drill"]))?);
            proved
                .took
                .push(self.measure(&mut self.ops(cli, &["backup", "create"]))?);
            for backup in self.backups(cli)? {
                ours.bytes = backup.1;
                last = backup.0;
            }
            if round < cli.rounds {
                self.forget(cli)?;
            }
        }
        dump.bytes = fs::metadata(&gzip)?.len();
        proved.bytes = ours.bytes;
        self.measure(&mut self.shell(&format!("gunzip < {} > {}", gzip.display(), plain.display())))?;
        let archive = files.join("domain.tar");
        let file = archive.display().to_string();
        for round in 1..=cli.rounds {
            say(&format!("restores, round {round} of {}", cli.rounds))?;
            self.measure(&mut self.shell(&format!("createdb {RESTORED}")))?;
            psql.took.push(self.measure(&mut self.shell(&format!(
                "psql --quiet --set ON_ERROR_STOP=1 --output /dev/null {RESTORED} < {}",
                plain.display()
            )))?);
            self.measure(&mut self.shell(&format!("dropdb --force {RESTORED}")))?;
            restore
                .took
                .push(self.measure(&mut self.ops(cli, &["restore", &last, "--into", RESTORED]))?);
            let _ = fs::remove_file(&archive);
            let out =
                self.measure(&mut self.ops_on(RESTORED, cli, &["domain", "export", DOMAIN, "--to", &file]))?;
            let back =
                self.measure(&mut self.ops(cli, &["domain", "restore", &file, "--replace", "--yes"]))?;
            copied.took.push(Took {
                wall: out.wall + back.wall,
                cpu: out.cpu + back.cpu,
                memory: out.memory.max(back.memory),
            });
            self.measure(&mut self.shell(&format!("dropdb --force {RESTORED}")))?;
            let alone = [
                "domain",
                "restore",
                DOMAIN,
                "--from-backup",
                &last,
                "--replace",
                "--yes",
            ];
            domain.took.push(self.measure(&mut self.ops(cli, &alone))?);
        }
        domain.bytes = self.read_for_a_domain(cli, &last)?;
        Ok(self.render(cli, size, &[dump, ours, proved, psql, restore, copied, domain]))
    }

    /// Migrates, sets up, and fills the database; its size in bytes.
    fn load(&self, cli: &Cli) -> anyhow::Result<u64> {
        say(&format!("loading {} domains", cli.domains))?;
        self.measure(&mut self.shell(&format!("createdb {DATABASE}")))?;
        self.measure(&mut self.ops(cli, &["setup"]))?;
        let address = self.server.address();
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&address.socket_dir)
            .port(address.port)
            .user(&address.user)
            .dbname(DATABASE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            let sql = dataset::load_sql(cli.domains, PLATFORM_DOMAIN.uuid(), SystemRole::Admin.id().uuid());
            client.batch_execute(&sql).await?;
            client.batch_execute(&events_sql(cli.domains)).await?;
            let row = client.query_one(dataset::CHECK_SQL, &[]).await?;
            let (rows, astray): (i64, i64) = (row.get(0), row.get(1));
            anyhow::ensure!(rows > 0 && astray == 0, "{astray} of {rows} cards lead nowhere");
            client.batch_execute("VACUUM (ANALYZE)").await?;
            client.batch_execute("CHECKPOINT").await?;
            let size: i64 = client
                .query_one("SELECT pg_database_size(current_database())", &[])
                .await?
                .get(0);
            Ok(u64::try_from(size)?)
        })
    }

    /// A command line of bash, with PostgreSQL's programs and the database in its environment.
    fn shell(&self, line: &str) -> Command {
        let address = self.server.address();
        let programs = self.server.binaries().dir().display().to_string();
        let mut command = Command::new("/bin/bash");
        command
            .args(["-c", &format!("set -o pipefail; {line}")])
            .env("PATH", format!("{programs}:/usr/bin:/bin"))
            .env("PGHOST", &address.socket_dir)
            .env("PGPORT", address.port.to_string())
            .env("PGUSER", &address.user)
            .env(
                "PGDATABASE",
                if line.contains("createdb") {
                    "postgres"
                } else {
                    DATABASE
                },
            );
        command
    }

    /// How many bytes of a backup are read for one domain, as the program counts them.
    fn read_for_a_domain(&self, cli: &Cli, backup: &str) -> anyhow::Result<u64> {
        let file = self.directory.join("files/read.tar").display().to_string();
        let arguments = [
            "domain",
            "export",
            DOMAIN,
            "--from-backup",
            backup,
            "--to",
            &file,
            "--json",
        ];
        let output = self.ops(cli, &arguments).output()?;
        let exported: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let read = exported
            .pointer("/exported/read/0")
            .and_then(serde_json::Value::as_u64);
        read.context("it does not say how much it has read")
    }

    fn ops(&self, cli: &Cli, arguments: &[&str]) -> Command {
        self.ops_on(DATABASE, cli, arguments)
    }

    fn ops_on(&self, database: &str, cli: &Cli, arguments: &[&str]) -> Command {
        let address = self.server.address();
        let url = format!(
            "postgresql:///{database}?host={}&port={}&user={}",
            address.socket_dir.display(),
            address.port,
            address.user
        );
        let at = cli
            .at
            .clone()
            .unwrap_or_else(|| self.directory.join("backups").display().to_string());
        let mut command = Command::new(&cli.ops);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("DATABASE_URL", url)
            .env("POSTGRES_ENCRYPTION_KEY", KEY)
            .env("PLINTH_BACKUP_URL", at);
        command
    }

    /// Runs it to its end, which has to be a good one.
    fn measure(&self, command: &mut Command) -> anyhow::Result<Took> {
        let log = self.directory.join("last.log");
        let before = cpu()?;
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("running {:?}", command.get_program()))?;
        let mut memory = 0.0_f64;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            memory = memory.max(peak_mib(child.id()));
            std::thread::sleep(Duration::from_millis(10));
        };
        let wall = started.elapsed().as_secs_f64();
        anyhow::ensure!(
            status.success(),
            "{command:?} failed ({status}): {}",
            fs::read_to_string(&log).unwrap_or_default()
        );
        Ok(Took {
            wall,
            cpu: cpu()? - before,
            memory,
        })
    }

    /// Names and sizes of our backups, oldest first.
    fn backups(&self, cli: &Cli) -> anyhow::Result<Vec<(String, u64)>> {
        let output = self.ops(cli, &["backup", "list", "--json"]).output()?;
        let listed: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let listed = listed.pointer("/backups").and_then(|all| all.as_array());
        let named = listed.context("no list of backups")?.iter().filter_map(|one| {
            let name = one.pointer("/backup")?.as_str()?;
            Some((name.to_owned(), one.pointer("/size_bytes")?.as_u64()?))
        });
        Ok(named.collect())
    }

    /// Deletes all but the newest: the disk is small.
    fn forget(&self, cli: &Cli) -> anyhow::Result<()> {
        let none = [
            "backup",
            "prune",
            "--keep-daily",
            "0",
            "--keep-weekly",
            "0",
            "--keep-monthly",
            "0",
        ];
        self.measure(&mut self.ops(cli, &none)).map(drop)
    }

    fn render(&self, cli: &Cli, size: u64, rows: &[Row; 7]) -> String {
        let [dump, ours, proved, psql, restore, copied, domain] = rows;
        let mut text = format!(
            "## {}\n\nPostgreSQL {}, a database of {:.0} MB ({} domains), {} rounds, backups in {}.\n\n| | s | CPU s | MB | memory of the program, MiB |\n|---|--:|--:|--:|--:|\n",
            cli.commit,
            self.server.version(),
            megabytes(size),
            cli.domains,
            cli.rounds,
            cli.at.as_deref().unwrap_or("a directory"),
        );
        for row in rows {
            let took = row.median();
            let bytes = if row.bytes > 0 {
                format!("{:.1}", megabytes(row.bytes))
            } else {
                String::new()
            };
            let ours = !row.name.contains("pg_dump") && !row.name.contains("psql");
            let memory = if ours {
                format!("{:.0}", took.memory)
            } else {
                String::new()
            };
            text.push_str(&format!(
                "| {} | {:.1} | {:.1} | {bytes} | {memory} |\n",
                row.name, took.wall, took.cpu
            ));
        }
        let (dump_took, ours_took) = (dump.median(), ours.median());
        let most = [ours, proved, restore, copied, domain]
            .iter()
            .map(|row| row.median().memory)
            .fold(0.0, f64::max);
        text.push_str("\n| goal | | measured |\n|---|--:|--:|\n");
        for (goal, limit, is) in [
            (
                "time of a backup with its manifest : `pg_dump \\| gzip`",
                0.25,
                ours_took.wall / dump_took.wall,
            ),
            ("the client's CPU", 0.2, ours_took.cpu / dump_took.cpu),
            ("size", 1.0, megabytes(ours.bytes) / megabytes(dump.bytes)),
            (
                "time of a backup, stored, restored and compared : `pg_dump \\| gzip`",
                1.0,
                proved.median().wall / dump_took.wall,
            ),
            (
                "time of a restore : `psql < backup.sql`",
                2.0 / 3.0,
                restore.median().wall / psql.median().wall,
            ),
            (
                "time of one domain's restore out of the backup : full restore and copy",
                0.1,
                domain.median().wall / (restore.median().wall + copied.median().wall),
            ),
            (
                "bytes read for it : bytes of the backup",
                0.02,
                megabytes(domain.bytes) / megabytes(ours.bytes),
            ),
            ("memory, MiB", 100.0, most),
        ] {
            let kept = if is <= limit { "" } else { " **missed**" };
            text.push_str(&format!("| {goal} | {limit:.2} | {is:.3}{kept} |\n"));
        }
        text
    }
}

/// Two thousand events of each domain: random ids, and texts out of 4,000 words. The cards' own ids and texts are computed and
/// repeat themselves, which no real data does.
fn events_sql(domains: u32) -> String {
    let words = |count: usize| {
        let word = |n: usize| {
            format!(
                "substr(translate(md5((random() * 4000)::integer::text), '0123456789', 'aeioulnrst'), 1, {})",
                3 + n * 5 % 8
            )
        };
        (0..count).map(word).collect::<Vec<_>>().join(", ")
    };
    format!(
        "SELECT setseed(0.5);
         INSERT INTO activity_stream (domain_id, id, occurred_at, user_id, action, target_type, target_id, after, request_id, ip)
         SELECT d.id, gen_random_uuid(), timestamptz '2026-01-01' + n * interval '11 seconds', gen_random_uuid(),
                (ARRAY['card.create', 'card.update', 'card.move', 'card.delete', 'tag.create', 'session.create'])[1 + n % 6], 'card',
                gen_random_uuid(),
                jsonb_build_object('title', concat_ws(' ', {}), 'description', concat_ws(' ', {}), 'rank', substr(md5(n::text), 1, 6),
                                   'number', n % 500),
                gen_random_uuid()::text, ('10.' || n % 256 || '.' || n / 256 % 256 || '.7')::inet
           FROM generate_series(1, {domains} * 2000) n
           JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM domains WHERE slug LIKE 'bench-%') d
             ON d.number = n % {domains}",
        words(5),
        words(12)
    )
}

/// Processor seconds of all children that have ended, and theirs.
fn cpu() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "seconds of processor time")]
        let whole = time.tv_sec() as f64;
        #[expect(clippy::cast_precision_loss, reason = "below a million")]
        let part = time.tv_usec() as f64;
        whole + part / 1e6
    };
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The most memory that a process had in RAM; 0 when it is gone.
fn peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "shown without a fraction")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Tells whoever waits what is going on.
fn say(what: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "bench-backup: {what}")
}
