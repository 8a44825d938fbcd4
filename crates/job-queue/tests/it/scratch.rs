//! Databases with the queue's tables: the whole of the repository's migrations, and three domains.

use std::path::{Path, PathBuf};
use std::time::Duration;

use job_queue::Connector;
use local_postgres::{Durability, LocalPostgres, Options};
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

/// The domain of the installation.
pub const PLATFORM: Uuid = Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0000);
/// A domain.
pub const ACME: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_000a);
/// Another one.
pub const GLOBEX: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_000b);

const TEMPLATE: &str = "queue_template";

/// A PostgreSQL server: the one of the test run, or one of this process's own.
pub struct Server {
    pub local: Option<LocalPostgres>,
    pub socket_dir: PathBuf,
    pub port: u16,
    pub user: String,
}

impl Server {
    /// Starts one. `None` looks for PostgreSQL's programs.
    pub fn start(
        directory: &Path,
        durability: Durability,
        binaries: Option<PathBuf>,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut options = Options::new(directory, durability);
        options.binaries = binaries;
        options.settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let local = LocalPostgres::start(options).unwrap();
        let address = local.address().clone();
        Self {
            local: Some(local),
            socket_dir: address.socket_dir,
            port: address.port,
            user: address.user,
        }
    }

    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.socket_dir)
            .port(self.port)
            .user(&self.user)
            .dbname(database);
        config
    }

    /// An empty database with the queue's tables.
    pub async fn database(&self) -> Database {
        let admin = connect(&self.config("postgres")).await;
        // Processes side by side make one template.
        admin
            .batch_execute("SELECT pg_advisory_lock(20261120)")
            .await
            .unwrap();
        let known = admin
            .query("SELECT FROM pg_database WHERE datname = $1", &[&TEMPLATE])
            .await
            .unwrap();
        if known.is_empty() {
            admin
                .batch_execute("DROP DATABASE IF EXISTS queue_template_new")
                .await
                .unwrap();
            admin
                .batch_execute("CREATE DATABASE queue_template_new")
                .await
                .unwrap();
            let client = connect(&self.config("queue_template_new")).await;
            for (name, sql) in migrations() {
                if let Err(error) = client.batch_execute(&format!("BEGIN; {sql}; COMMIT;")).await {
                    panic!("{name}: {error:?}");
                }
            }
            for (id, slug) in [(PLATFORM, "platform"), (ACME, "acme"), (GLOBEX, "globex")] {
                client
                    .execute(
                        "INSERT INTO domains (id, slug, name) VALUES ($1, $2, $2)",
                        &[&id, &slug],
                    )
                    .await
                    .unwrap();
            }
            drop(client);
            rename(&admin).await;
        }
        let name = format!("queue_{}", Uuid::new_v4().simple());
        copy(&admin, &name).await;
        admin
            .batch_execute("SELECT pg_advisory_unlock(20261120)")
            .await
            .unwrap();
        Database {
            config: self.config(&name),
        }
    }
}

/// The connection that made the template takes a moment to be gone.
async fn rename(admin: &Client) {
    while let Err(error) = admin
        .batch_execute("ALTER DATABASE queue_template_new RENAME TO queue_template")
        .await
    {
        assert!(
            error.to_string().contains("being accessed") || format!("{error:?}").contains("being accessed"),
            "{error:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn copy(admin: &Client, name: &str) {
    while let Err(error) = admin
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
        .await
    {
        assert!(format!("{error:?}").contains("being accessed"), "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn migrations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut directories: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    directories.sort();
    let sql = directories.into_iter().map(|directory| {
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(directory.join("up.sql")).unwrap())
    });
    let sql: Vec<_> = sql.collect();
    assert!(
        sql.iter().any(|(name, _)| name.ends_with("_queue")),
        "no migration of the queue in {}",
        folder.display()
    );
    sql
}

pub async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of a test's own.
pub struct Database {
    pub config: Config,
}

impl Database {
    /// As the superuser, whom no policy holds.
    pub async fn client(&self) -> Client {
        connect(&self.config).await
    }

    /// As a worker connects: in the role that sees all domains, and does not own the tables.
    pub fn system(&self) -> Config {
        let mut config = self.config.clone();
        config.options("-c role=plinth_system");
        config
    }

    pub fn connector(&self) -> Connector {
        Connector::plain(self.system())
    }
}
