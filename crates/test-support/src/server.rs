//! The disposable PostgreSQL of a test run, and the template that every test's database is a copy of.

use std::fmt;
use std::path::PathBuf;
use std::sync::OnceLock;

use app_config::{DatabaseAddress, Ssl, SslMode};
use db_core::setup::{self, FirstDomain, KeySource, SetupRequest};
use db_core::{Clock, Owner};
use db_migrate::{MIGRATIONS, Migrator};
use local_postgres::{Durability, LocalPostgres, Options};
use pg_connect::ConnectOptions;
use secrecy::SecretString;

use crate::world::{ACME, GLOBEX, KEY, PASSWORD};

/// Name of the template database. A run has a cluster of its own, so that one name does.
pub const TEMPLATE: &str = "plinth_template";

/// Where the tests' server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Directory of its Unix socket.
    pub socket_dir: PathBuf,
    /// Number in the socket's name.
    pub port: u16,
    /// Its superuser.
    pub user: String,
}

impl ServerAddress {
    /// Environment variable that carries the address from `with-postgres` to the tests.
    pub const VARIABLE: &str = "PLINTH_TEST_SERVER";

    /// Address of a running server.
    pub fn of(server: &LocalPostgres) -> Self {
        let address = server.address();
        Self {
            socket_dir: address.socket_dir.clone(),
            port: address.port,
            user: address.user.clone(),
        }
    }

    /// Address of one of its databases, as the superuser.
    pub fn database(&self, name: &str) -> DatabaseAddress {
        DatabaseAddress {
            host: self.socket_dir.to_string_lossy().into_owned(),
            port: self.port,
            database: name.to_owned(),
            user: self.user.clone(),
            password: None,
            ssl: Ssl {
                mode: SslMode::Disable,
                ..Ssl::default()
            },
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.socket_dir.display(), self.port, self.user)
    }
}

impl std::str::FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('|');
        match (parts.next(), parts.next().map(str::parse), parts.next()) {
            (Some(socket_dir), Some(Ok(port)), Some(user)) => Ok(Self {
                socket_dir: socket_dir.into(),
                port,
                user: user.to_owned(),
            }),
            _ => Err(format!("{} is {text:?}, not socket|port|user", Self::VARIABLE)),
        }
    }
}

/// The server of this run: the one of `with-postgres`, else one that this process starts and takes with it.
#[expect(
    clippy::disallowed_methods,
    reason = "how with-postgres and its tests speak to one another"
)]
pub fn test_server() -> &'static ServerAddress {
    static SERVER: OnceLock<(ServerAddress, Option<LocalPostgres>)> = OnceLock::new();
    let (address, _) = SERVER.get_or_init(|| {
        if let Ok(text) = std::env::var(ServerAddress::VARIABLE) {
            return (text.parse().expect("address of the test server"), None);
        }
        // A thread of its own: this may be called inside of a runtime, and both of these block.
        std::thread::spawn(|| {
            let directory = std::env::temp_dir().join(format!("plinth-tests-{}", std::process::id()));
            let server = LocalPostgres::start(disposable(directory)).unwrap();
            let address = ServerAddress::of(&server);
            build_template(&address).unwrap();
            (address, Some(server))
        })
        .join()
        .unwrap()
    });
    address
}

/// How to run a server for tests in `state_dir`: disposable, with the programs that `PLINTH_POSTGRES_BIN` names, else those
/// that are found. `make test-versions` names one version after the other.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration to be read")]
pub fn disposable(state_dir: impl Into<PathBuf>) -> Options {
    let mut options = Options::new(state_dir, Durability::Disposable);
    options.binaries = std::env::var_os("PLINTH_POSTGRES_BIN")
        .filter(|directory| !directory.is_empty())
        .map(PathBuf::from);
    options
}

/// Makes the template: migrated, seeded, set up with the domains acme and globex.
///
/// # Errors
/// Anything on the way.
pub fn build_template(address: &ServerAddress) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&libpq(&address.database("postgres")), tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            client
                .batch_execute(&format!("CREATE DATABASE {TEMPLATE}"))
                .await?;

            let owner = Owner::new(&address.database(TEMPLATE), ConnectOptions::default())?;
            anyhow::ensure!(!MIGRATIONS.is_empty(), "the binary carries no migrations");
            Migrator::new(owner.connector(), std::time::Duration::from_secs(60))
                .run()
                .await?;
            let keys = KeySource::new(Some(SecretString::from(KEY)), &std::env::temp_dir());
            let domain = |slug: &str| FirstDomain {
                slug: slug.to_owned(),
                name: slug.to_owned(),
            };
            let request = SetupRequest {
                domain: domain(ACME),
                more_domains: vec![domain(GLOBEX)],
                operator_email: "operator@plinth.test".to_owned(),
                operator_password: Some(SecretString::from(PASSWORD)),
                via: "tests",
            };
            setup::run(&owner, &keys, &Clock::System, 10, None, &request).await?;
            // Nobody may be connected to a template while it is copied.
            client
                .batch_execute(&format!("ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false"))
                .await?;
            Ok(())
        })
}

/// The address in the form that `tokio_postgres::connect` takes.
pub(crate) fn libpq(address: &DatabaseAddress) -> String {
    format!(
        "host={} port={} dbname={} user={}",
        address.host, address.port, address.database, address.user
    )
}
