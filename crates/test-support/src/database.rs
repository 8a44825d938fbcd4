//! A database of a test's own.

use std::time::Duration;

use app_config::{Config, DatabaseAddress};
use db_core::secrets::keyring::Keyring;
use db_core::{Clock, Db, Owner, Pool};
use pg_connect::ConnectOptions;
use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

use crate::server::{TEMPLATE, libpq, test_server};
use crate::world::KEY;

/// A database that is dropped with its handle.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// A copy of the template: migrated, set up, with the domains acme and globex. A few milliseconds.
    pub async fn new() -> Self {
        Self::create(Some(TEMPLATE)).await
    }

    /// An empty database, for migrations and setup.
    pub async fn empty() -> Self {
        Self::create(None).await
    }

    async fn create(template: Option<&str>) -> Self {
        let name = format!("plinth_test_{}", hex::encode(db_core::random_bytes::<8>()));
        let client = connect(&test_server().database("postgres")).await;
        let how = match template {
            // FILE_COPY does not write the pages into the WAL: a third of the time. PostgreSQL 14 knows no other way.
            Some(template) if major_version(&client).await >= 15 => {
                format!("TEMPLATE {template} STRATEGY FILE_COPY")
            }
            Some(template) => format!("TEMPLATE {template}"),
            None => String::new(),
        };
        // Copies take turns: nobody else may look at the template meanwhile, and another copy does.
        for attempt in 0.. {
            match client
                .batch_execute(&format!("CREATE DATABASE {name} {how}"))
                .await
            {
                Ok(()) => break,
                Err(error) if attempt < 200 && error.to_string().contains("being accessed") => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("no test database: {error:?}"),
            }
        }
        Self { name }
    }

    /// Name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address as the owner, who is the server's superuser.
    pub fn address(&self) -> DatabaseAddress {
        test_server().database(&self.name)
    }

    /// `DATABASE_URL` for a login of the test server.
    pub fn url(&self, user: &str) -> String {
        let address = self.address();
        format!(
            "postgresql://{user}@/{}?host={}&port={}",
            address.database, address.host, address.port
        )
    }

    /// The owner.
    pub fn owner(&self) -> Owner {
        Owner::new(&self.address(), ConnectOptions::default()).unwrap()
    }

    /// A configuration that leads to it, with the template's encryption key.
    pub fn config(&self) -> Config {
        let mut config = Config::default();
        config.database.address = Some(self.address());
        config.database.pool_size = 4;
        // Tests that want jobs to be run say so.
        config.jobs.worker = false;
        config.security.encryption_key = Some(SecretString::from(KEY));
        config
    }

    /// The database as the server sees it.
    pub async fn db(&self) -> Db {
        let config = self.config();
        let keyring = Keyring::parse(&SecretString::from(KEY)).unwrap();
        Db::open(
            &self.owner(),
            &config.database,
            &config.security,
            &keyring,
            Clock::System,
        )
        .await
        .unwrap()
    }

    /// A pool of the app role's connections.
    pub async fn pool(&self) -> Pool {
        self.db().await.pool(1)
    }

    /// SQL as the superuser, whom no policy holds.
    pub async fn superuser(&self) -> Client {
        connect(&self.address()).await
    }

    /// SQL as the app role, which every policy holds. The login exists once the database was opened; this opens it.
    pub async fn app(&self) -> Client {
        drop(self.db().await);
        let mut address = self.address();
        address.user = format!("plinth_app_{}", self.name);
        connect(&address).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let address = libpq(&test_server().database("postgres"));
        // A thread of its own: the test's runtime may be gone or busy, and must not be blocked.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
                tokio::spawn(connection);
                client
                    .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .await?;
                client
                    .batch_execute(&format!("DROP ROLE IF EXISTS plinth_app_{name}"))
                    .await?;
                anyhow::Ok(())
            })
        })
        .join();
        // The cluster goes with the run; a database that stays does no harm.
        drop(dropped);
    }
}

async fn major_version(client: &Client) -> i32 {
    client
        .query_one("SELECT current_setting('server_version_num')::int / 10000", &[])
        .await
        .unwrap()
        .get(0)
}

async fn connect(address: &DatabaseAddress) -> Client {
    let (client, connection) = tokio_postgres::connect(&libpq(address), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
