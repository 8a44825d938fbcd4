//! A durable PostgreSQL of the benchmark's own: loaded once, then every run works on a copy.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use app_config::{DatabaseAddress, Ssl, SslMode};
use db_core::rbac::SystemRole;
use db_core::setup::{self, KeySource, SetupRequest};
use db_core::{Clock, Owner, PLATFORM_DOMAIN};
use db_migrate::MIGRATIONS;
use local_postgres::{Durability, LocalPostgres, Options, default_state_dir};
use pg_connect::ConnectOptions;
use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use crate::requests::Plan;
use crate::{dataset, say};

/// Encryption key of the installation, which holds nothing worth keeping.
pub(crate) const KEY: &str = "bench-key-0123456789abcdef0123456789abcdef";
/// Role of the bare floor, which no policy holds.
pub(crate) const BARE_ROLE: &str = "plinth_bench_bare";
/// The copy that a run works on.
const COPY: &str = "plinth_bench";

/// All that a request touches stays in memory, and nothing but the requests writes; fsync and synchronous_commit are
/// PostgreSQL's defaults: on.
const SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
];

/// The cluster with a fresh copy of the data.
pub(crate) struct Database {
    server: LocalPostgres,
    runtime: Runtime,
    state_dir: PathBuf,
    version: String,
}

impl Database {
    /// Starts the cluster, loads it when that has not been done for this schema, and makes the copy.
    pub(crate) fn prepare(plan: Plan) -> anyhow::Result<Self> {
        let state_dir = default_state_dir(Path::new("."))?.join("bench");
        let mut options = Options::new(&state_dir, Durability::Durable);
        options.settings = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        // Another run may just be stopping it.
        options.start_timeout = Duration::from_secs(120);
        let server = LocalPostgres::start(options)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let mut database = Self {
            server,
            runtime,
            state_dir,
            version: String::new(),
        };
        let loaded = format!("plinth_bench_loaded_{}", plan.domains);
        database.runtime.block_on(async {
            let admin = database.connect("postgres").await?;
            let durable: bool = admin
                .query_one(
                    "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on'",
                    &[],
                )
                .await?
                .get(0);
            anyhow::ensure!(
                durable,
                "fsync or synchronous_commit is off in the benchmark's cluster"
            );
            let stamp = stamp(plan);
            let found = admin
                .query_opt(
                    "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1",
                    &[&loaded],
                )
                .await?;
            let found: Option<String> = found.and_then(|row| row.get(0));
            admin
                .batch_execute(&format!("DROP DATABASE IF EXISTS {COPY} WITH (FORCE)"))
                .await?;
            // Logins belong to the whole cluster; this one's rights went with the copy.
            admin
                .batch_execute(&format!("DROP ROLE IF EXISTS {}", Self::app_login()))
                .await?;
            if found.as_deref() != Some(&stamp) {
                admin
                    .batch_execute(&format!("DROP DATABASE IF EXISTS {loaded} WITH (FORCE)"))
                    .await?;
                admin.batch_execute(&format!("CREATE DATABASE {loaded}")).await?;
                database.load(&loaded, plan).await?;
                // Written last: a load that was cut short is not taken for one.
                admin
                    .batch_execute(&format!("COMMENT ON DATABASE {loaded} IS '{stamp}'"))
                    .await?;
            }
            // FILE_COPY came with PostgreSQL 15; before, it was the only way.
            let how = if database.server.version().major >= 15 {
                "STRATEGY FILE_COPY"
            } else {
                ""
            };
            copy(&admin, &format!("CREATE DATABASE {COPY} TEMPLATE {loaded} {how}")).await
        })?;
        let version = database.sql("SHOW server_version")?;
        database.version = version.split(' ').next().unwrap_or_default().to_owned();
        // Reads the copy into memory: PostgreSQL's buffers and indexes, heap included.
        database.execute(&format!(
            "DO $do$ BEGIN CREATE ROLE {BARE_ROLE} LOGIN BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $do$;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {BARE_ROLE};
             GRANT CONNECT ON DATABASE {COPY} TO {BARE_ROLE};
             CREATE EXTENSION IF NOT EXISTS pg_prewarm;
             SELECT pg_prewarm(oid) FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace"
        ))?;
        Ok(database)
    }

    async fn load(&self, name: &str, plan: Plan) -> anyhow::Result<()> {
        say(&format!(
            "loading {} domains, {} cards",
            plan.domains,
            plan.domains * dataset::BOARDS * dataset::CARDS
        ))?;
        let started = Instant::now();
        let owner = Owner::new(&self.address(name), ConnectOptions::default())?;
        let keys = KeySource::new(Some(SecretString::from(KEY)), &self.state_dir);
        let request = SetupRequest {
            operator_password: Some(SecretString::from("plinth-bench-password")),
            via: "bench",
            ..SetupRequest::default()
        };
        setup::run(&owner, &keys, &Clock::System, 10, None, &request).await?;
        let client = self.connect(name).await?;
        client
            .batch_execute(&dataset::load_sql(
                plan.domains,
                PLATFORM_DOMAIN.uuid(),
                SystemRole::Admin.id().uuid(),
            ))
            .await?;
        let row = client.query_one(dataset::CHECK_SQL, &[]).await?;
        let (rows, astray): (i64, i64) = (row.get(0), row.get(1));
        anyhow::ensure!(
            rows > 0 && astray == 0,
            "{astray} of {rows} cards that were looked at lead nowhere"
        );
        client.batch_execute("VACUUM (ANALYZE)").await?;
        client.batch_execute("CHECKPOINT").await?;
        say(&format!("loaded in {} s", started.elapsed().as_secs()))?;
        Ok(())
    }

    /// One value as text, asked as the superuser in the copy.
    pub(crate) fn sql(&self, query: &str) -> anyhow::Result<String> {
        self.runtime.block_on(async {
            let client = self.connect(COPY).await?;
            let row = client.query_one(query, &[]).await?;
            Ok(row.try_get::<_, Option<String>>(0)?.unwrap_or_default())
        })
    }

    /// Statements as the superuser in the copy.
    pub(crate) fn execute(&self, statements: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(async { Ok(self.connect(COPY).await?.batch_execute(statements).await?) })
    }

    /// Every measurement begins right after a checkpoint: the first change of a page costs each of them the same.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        self.execute("CHECKPOINT")
    }

    /// Where the copy is, as the owner.
    pub(crate) fn url(&self) -> String {
        self.url_by(&self.server.address().socket_dir)
    }

    /// The same behind another socket directory.
    pub(crate) fn url_by(&self, socket_dir: &Path) -> String {
        let address = self.server.address();
        format!(
            "postgresql:///{COPY}?host={}&port={}&user={}",
            socket_dir.display(),
            address.port,
            address.user
        )
    }

    /// The login that the server makes for itself.
    pub(crate) fn app_login() -> String {
        format!("plinth_app_{COPY}")
    }

    /// Path of the socket.
    pub(crate) fn socket(&self) -> PathBuf {
        let address = self.server.address();
        address.socket_dir.join(format!(".s.PGSQL.{}", address.port))
    }

    /// The benchmark's own directory.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// PostgreSQL's version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A pgbench that works on the copy as that role.
    pub(crate) fn pgbench(&self, role: &str) -> anyhow::Result<std::process::Command> {
        let binaries = self.server.binaries();
        anyhow::ensure!(
            binaries.program("pgbench").is_some(),
            "no pgbench in {}: install PostgreSQL's contrib programs",
            binaries.dir().display()
        );
        let address = self.server.address();
        let mut command = binaries.command("pgbench");
        command
            .arg("-h")
            .arg(&address.socket_dir)
            .args(["-p", &address.port.to_string(), "-U", role]);
        command.env("PGDATABASE", COPY);
        Ok(command)
    }

    /// The server's first process; all others are its children.
    pub(crate) fn postmaster(&self) -> anyhow::Result<u32> {
        self.server
            .postmaster_pid()
            .context("the benchmark's PostgreSQL is gone")
    }

    /// Drops the copy and leaves the cluster.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            let admin = self.connect("postgres").await?;
            admin
                .batch_execute(&format!("DROP DATABASE {COPY} WITH (FORCE)"))
                .await?;
            anyhow::Ok(())
        })?;
        drop(self.runtime);
        self.server.stop()?;
        Ok(())
    }

    fn address(&self, name: &str) -> DatabaseAddress {
        let address = self.server.address();
        DatabaseAddress {
            host: address.socket_dir.to_string_lossy().into_owned(),
            port: address.port,
            database: name.to_owned(),
            user: address.user.clone(),
            password: None,
            ssl: Ssl {
                mode: SslMode::Disable,
                ..Ssl::default()
            },
        }
    }

    async fn connect(&self, name: &str) -> anyhow::Result<Client> {
        let address = self.server.address();
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&address.socket_dir)
            .port(address.port)
            .user(&address.user)
            .dbname(name)
            .connect(NoTls)
            .await
            .with_context(|| format!("connecting to the benchmark's database {name}"))?;
        tokio::spawn(connection);
        Ok(client)
    }
}

/// A database cannot be copied while somebody is connected to it, and who has just left may still be going.
async fn copy(admin: &Client, statement: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match admin.batch_execute(statement).await {
            Err(error)
                if error.code() == Some(&SqlState::OBJECT_IN_USE)
                    && started.elapsed() < Duration::from_secs(10) =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            result => return Ok(result?),
        }
    }
}

/// Says which schema and which data a loaded database has.
fn stamp(plan: Plan) -> String {
    let schema: Vec<String> = MIGRATIONS
        .iter()
        .map(|migration| migration.checksum().chars().take(12).collect())
        .collect();
    format!(
        "edition {}, {} domains, migrations {}",
        dataset::EDITION,
        plan.domains,
        schema.join(" ")
    )
}
