//! Databases to look at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use local_postgres::{Durability, LocalPostgres, Options as ServerOptions};
use pg_catalog::{Catalog, Difference, ObjectId, Options, QualifiedName};
use tokio_postgres::{Client, NoTls};

/// Where the tests' server is: `with-postgres` says so in this variable, as socket|port|user.
const VARIABLE: &str = "PLINTH_TEST_SERVER";

#[derive(Debug)]
pub struct Server {
    pub socket_dir: String,
    pub port: String,
    user: String,
    /// Goes with this process, where it has a server of its own.
    _own: Option<(LocalPostgres, tempfile::TempDir)>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how with-postgres and its tests speak to one another"
)]
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        if let Ok(text) = std::env::var(VARIABLE) {
            let words: Vec<_> = text.split('|').map(str::to_owned).collect();
            let [socket_dir, port, user] = words.try_into().expect("socket|port|user");
            return Server {
                socket_dir,
                port,
                user,
                _own: None,
            };
        }
        let directory = tempfile::tempdir().unwrap();
        let options = ServerOptions::new(directory.path(), Durability::Disposable);
        let own = LocalPostgres::start(options).unwrap();
        let address = own.address();
        Server {
            socket_dir: address.socket_dir.display().to_string(),
            port: address.port.to_string(),
            user: address.user.clone(),
            _own: Some((own, directory)),
        }
    })
}

impl Server {
    pub fn address(&self, database: &str) -> String {
        let Self {
            socket_dir,
            port,
            user,
            ..
        } = self;
        format!("host={socket_dir} port={port} user={user} dbname={database}")
    }
}

pub async fn connect(database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&server().address(database), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// A database that is dropped with its handle.
pub struct Database {
    pub name: String,
}

impl Database {
    /// One in which this was run.
    pub async fn with(sql: &str) -> Self {
        let database = Self::empty().await;
        database.run(sql).await;
        database
    }

    pub async fn empty() -> Self {
        Self::make("").await
    }

    async fn make(template: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pg_catalog_test_{}_{count}", std::process::id());
        let client = connect("postgres").await;
        client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .unwrap();
        for attempt in 0.. {
            let create = format!("CREATE DATABASE {name}{template}");
            match client.batch_execute(&create).await {
                Ok(()) => break,
                // Another copy of template1.
                Err(error) if attempt < 100 && is_busy(&error) => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Err(error) => panic!("no test database: {error:?}"),
            }
        }
        Self { name }
    }

    /// A copy of another, to which nobody may be connected.
    pub async fn copy(of: &Self) -> Self {
        Self::make(&format!(" TEMPLATE {}", of.name)).await
    }

    pub async fn client(&self) -> Client {
        connect(&self.name).await
    }

    pub async fn run(&self, sql: &str) {
        let client = self.client().await;
        if let Err(error) = client.batch_execute(sql).await {
            panic!("{error:?} in {sql}");
        }
    }

    /// The schema, with the owner's name as it is.
    pub async fn read(&self) -> Catalog {
        let client = self.client().await;
        Catalog::read(&client, &Options::default()).await.unwrap()
    }
}

fn is_busy(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|error| error.message().contains("being accessed"))
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread of its own: the test's runtime must not be blocked.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connect("postgres").await.batch_execute(&sql).await.unwrap();
            });
        })
        .join();
        // A database that stays does no harm.
        drop(dropped);
    }
}

/// Makes roles, which all databases of the server share; another test may be making them.
pub async fn make_roles(names: &[&str]) {
    let client = connect("postgres").await;
    for name in names {
        let sql = format!(
            "DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

/// A difference as short lines: `+ table public.a`, `~ column public.a.b: default, not_null`.
pub fn lines(difference: &Difference) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(difference.added.iter().map(|object| format!("+ {object}")));
    lines.extend(difference.removed.iter().map(|object| format!("- {object}")));
    for change in &difference.changed {
        let names: Vec<_> = change.attributes.iter().map(|attribute| attribute.name).collect();
        lines.push(format!("~ {}: {}", change.object, names.join(", ")));
    }
    lines
}

pub fn table(name: &str) -> ObjectId {
    ObjectId::Table { name: public(name) }
}

pub fn public(name: &str) -> QualifiedName {
    QualifiedName::new("public", name)
}
