//! Section `database`: where PostgreSQL is, and how the pool treats it.

use std::str::FromStr;
use std::time::Duration;

use crate::address::DatabaseAddress;
use crate::address_parts;
use crate::reader::Reader;
use crate::settings;

/// The database, its pool and its timeouts.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// The configured database: `DATABASE_URL` or its parts in any accepted spelling. `None` where nothing is
    /// configured, and a private PostgreSQL may serve instead (see [`Self::local`]).
    pub address: Option<DatabaseAddress>,
    /// The owner's address past a pooler, for migrations and provisioning: `DATABASE_DIRECT_URL`. Where it is
    /// given, [`Self::address`] may be a PgBouncer and is the app login's; where not, `address` is the owner's.
    pub direct: Option<DatabaseAddress>,
    /// Connections of the whole process, split across workers: `DATABASE_POOL_SIZE`, default 8.
    pub pool_size: u32,
    /// Largest share of a worker's connections that one domain holds at once, 0 to 1, rounded down to at least one
    /// connection: `PLINTH_DATABASE_DOMAIN_SHARE`, default 0.75.
    pub domain_share: f64,
    /// How long a request waits for a connection: `PLINTH_DATABASE_ACQUIRE_TIMEOUT`, default 3 s.
    pub acquire_timeout: Duration,
    /// How long opening a connection may take: `PLINTH_DATABASE_CONNECT_TIMEOUT`, default 3 s.
    pub connect_timeout: Duration,
    /// How long one statement may run: `PLINTH_DATABASE_STATEMENT_TIMEOUT`, default 10 s.
    pub statement_timeout: Duration,
    /// How long a transaction may sit idle: `PLINTH_DATABASE_IDLE_IN_TRANSACTION_TIMEOUT`, default 15 s.
    pub idle_in_transaction_timeout: Duration,
    /// A connection is replaced at this age: `PLINTH_DATABASE_CONNECTION_LIFETIME`, default 30 min.
    pub connection_lifetime: Duration,
    /// Refuse a server on another machine whose certificate is not verified: `PLINTH_REQUIRE_TLS`, default false.
    pub require_tls: bool,
    /// Apply pending migrations at server start: `PLINTH_MIGRATE_ON_START`, default true.
    pub migrate_on_start: bool,
    /// Whether to run a private PostgreSQL when no database is configured: `PLINTH_DATABASE_LOCAL`, default `auto`.
    pub local: LocalPostgres,
}

impl DatabaseConfig {
    /// The address that the owner connects to: the direct one where there is one.
    pub fn owner_address(&self) -> Option<&DatabaseAddress> {
        self.direct.as_ref().or(self.address.as_ref())
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (address, direct) = address_parts::read(reader);
        let section = Self {
            address,
            direct,
            pool_size: reader.required("database.pool_size")?,
            domain_share: reader.required("database.domain_share")?,
            acquire_timeout: reader.duration("database.acquire_timeout")?,
            connect_timeout: reader.duration("database.connect_timeout")?,
            statement_timeout: reader.duration("database.statement_timeout")?,
            idle_in_transaction_timeout: reader.duration("database.idle_in_transaction_timeout")?,
            connection_lifetime: reader.duration("database.connection_lifetime")?,
            require_tls: reader.required("database.require_tls")?,
            migrate_on_start: reader.required("database.migrate_on_start")?,
            local: reader.required("database.local")?,
        };
        for (which, address) in [
            ("database", &section.address),
            ("direct database", &section.direct),
        ] {
            if let Some(address) = address {
                check_tls(reader, section.require_tls, which, address);
            }
        }
        if section.direct.is_some() && section.address.is_none() {
            let direct = reader.named("database.direct_url");
            reader.problem_between(
                &settings::ADDRESS_PARTS,
                format!(
                    "{direct} gives the owner's direct address, but the main one is missing: set DATABASE_URL"
                ),
            );
        }
        Some(section)
    }
}

/// A server on another machine that is not verified can be anyone: worth a warning, or under `require_tls` a refusal.
fn check_tls(reader: &mut Reader<'_>, require_tls: bool, which: &str, address: &DatabaseAddress) {
    if address.is_local() || address.ssl.verifies_server() {
        return;
    }
    let text = format!(
        "the {which} at {}:{} is on another machine and sslmode={} does not verify its certificate; \
         use verify-full, and sslrootcert for an authority of your own",
        address.host,
        address.port,
        address.ssl.mode.as_str()
    );
    if require_tls {
        let name = reader.named("database.require_tls");
        reader.problem_between(
            &["database.ssl", "database.require_tls"],
            format!("{name} refuses this: {text}"),
        );
    } else {
        reader.warning(text);
    }
}

/// Whether Plinth runs a PostgreSQL of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalPostgres {
    /// When no database is configured. The release container sets `never`.
    Auto,
    /// Never: no configured database is then an error at start.
    Never,
}

impl FromStr for LocalPostgres {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            _ => Err(()),
        }
    }
}
