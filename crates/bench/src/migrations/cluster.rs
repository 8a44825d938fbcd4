//! A durable PostgreSQL of the benchmark's own, and the two programs that migrate its databases.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use local_postgres::{Durability, LocalPostgres, Options, default_state_dir};
use tokio_postgres::{Client, NoTls};

/// The database that is worked on; made anew for each measurement.
const DATABASE: &str = "plinth_bench_migrations";

/// PostgreSQL's defaults, fsync and synchronous_commit among them, but that nothing else works meanwhile.
const SETTINGS: [(&str, &str); 2] = [("autovacuum", "off"), ("checkpoint_timeout", "1h")];

/// The cluster and the program that is measured.
pub(super) struct Cluster {
    server: LocalPostgres,
    ops: PathBuf,
}

impl Cluster {
    /// Starts it. `ops` is the program of `plinth-ops`.
    pub(super) fn start(ops: &Path) -> anyhow::Result<Self> {
        let ops = ops
            .canonicalize()
            .with_context(|| format!("no program {}", ops.display()))?;
        let state_dir = default_state_dir(Path::new("."))?.join("bench-migrations");
        let mut options = Options::new(&state_dir, Durability::Durable);
        options.settings = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let server = LocalPostgres::start(options)?;
        anyhow::ensure!(
            server.binaries().program("psql").is_some(),
            "no psql in {}: install PostgreSQL's client programs",
            server.binaries().dir().display()
        );
        Ok(Self { server, ops })
    }

    /// An empty database in place of the one before, right after a checkpoint.
    pub(super) async fn fresh(&self) -> anyhow::Result<()> {
        let admin = self.connect_to("postgres").await?;
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
            .await?;
        admin
            .batch_execute(&format!("CREATE DATABASE {DATABASE} TEMPLATE template0"))
            .await?;
        admin.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// A connection to the database as its owner.
    pub(super) async fn connect(&self) -> anyhow::Result<Client> {
        self.connect_to(DATABASE).await
    }

    /// `plinth-ops migrate run` with the migrations of the directory.
    pub(super) fn migrate_run(&self, migrations: &Path) -> Command {
        let address = self.server.address();
        let mut command = Command::new(&self.ops);
        command
            // Nothing of the caller's: no PLINTH_ or DATABASE_ variable, no plinth.toml, no .env.
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.server.data_dir())
            .env(
                "DATABASE_URL",
                format!(
                    "postgresql:///{DATABASE}?host={}&port={}&user={}",
                    address.socket_dir.display(),
                    address.port,
                    address.user
                ),
            )
            .args(["migrate", "run", "--migrations"])
            .arg(migrations)
            .stdin(Stdio::null());
        command
    }

    /// A `psql` that ends at the first error.
    pub(super) fn psql(&self) -> Command {
        let address = self.server.address();
        let mut command = self.server.binaries().command("psql");
        command
            .arg("-h")
            .arg(&address.socket_dir)
            .args([
                "-p",
                &address.port.to_string(),
                "-U",
                &address.user,
                "-d",
                DATABASE,
            ])
            .args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::null());
        command
    }

    /// PostgreSQL's version.
    pub(super) async fn version(&self) -> anyhow::Result<String> {
        let client = self.connect_to("postgres").await?;
        let row = client.query_one("SHOW server_version", &[]).await?;
        let version: &str = row.get(0);
        Ok(version.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Drops the database and leaves the cluster.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        let admin = self.connect_to("postgres").await?;
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
            .await?;
        drop(admin);
        self.server.stop()?;
        Ok(())
    }

    async fn connect_to(&self, database: &str) -> anyhow::Result<Client> {
        let address = self.server.address();
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&address.socket_dir)
            .port(address.port)
            .user(&address.user)
            .dbname(database)
            .connect(NoTls)
            .await
            .with_context(|| format!("connecting to the benchmark's database {database}"))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// Runs a program to its end; its output only counts when it fails.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{:?} ended with {}: {}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Writes a migration in Diesel's layout.
pub(super) fn write_migration(directory: &Path, name: &str, up: &str, down: &str) -> anyhow::Result<PathBuf> {
    let migration = directory.join(name);
    std::fs::create_dir_all(&migration)?;
    let file = migration.join("up.sql");
    std::fs::write(&file, up)?;
    std::fs::write(migration.join("down.sql"), down)?;
    Ok(file)
}
