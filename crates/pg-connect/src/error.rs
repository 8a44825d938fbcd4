//! Why a connection could not be opened, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use app_config::DatabaseAddress;
use tokio_postgres::error::{DbError, SqlState};

use crate::certificate::CertificateProblem;

/// A connection that could not be opened: which, why, and what to do. Never shows a password.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {address}: {cause}; {}", .cause.cure())]
pub struct ConnectError {
    /// `user@host:port/database`.
    pub address: String,
    /// Why.
    pub cause: Box<Cause>,
}

impl ConnectError {
    pub(crate) fn new(address: &DatabaseAddress, cause: Cause) -> Self {
        Self {
            address: address.to_string(),
            cause: Box::new(cause),
        }
    }

    /// What to do about it, in words.
    pub fn cure(&self) -> String {
        self.cause.cure()
    }

    /// The server's code, where it was the server that refused.
    pub fn sql_state(&self) -> Option<&SqlState> {
        self.cause.server_error().map(DbError::code)
    }

    /// Whether the same attempt may succeed later without anybody changing the settings.
    pub fn is_transient(&self) -> bool {
        self.cause.is_transient()
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Nobody listens on that port.
    #[error("connection refused")]
    Refused,
    /// There is no Unix socket in that directory.
    #[error("there is no socket {}", .path.display())]
    NoSocket {
        /// The socket looked for.
        path: PathBuf,
    },
    /// The Unix socket may not be opened by this process.
    #[error("no permission to open the socket {}", .path.display())]
    SocketForbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The host has no address.
    #[error("unknown host: {reason}")]
    UnknownHost {
        /// The resolver's words.
        reason: String,
    },
    /// The server did not answer in time.
    #[error("no answer within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The network failed.
    #[error("network failure: {0}")]
    Network(#[source] io::Error),
    /// The other side hung up before the login was over.
    #[error("the server closed the connection during the login")]
    Closed,

    /// The server asks for a password and none is configured.
    #[error("the server asks for a password, and none is configured")]
    PasswordMissing,
    /// The server did not accept the password. It does not say whether the role exists.
    #[error("wrong password, or no such role ({0})")]
    WrongPassword(#[source] Box<DbError>),
    /// The role does not exist or may not log in.
    #[error("the role cannot log in ({0})")]
    RoleMissing(#[source] Box<DbError>),
    /// The database does not exist.
    #[error("unknown database ({0})")]
    UnknownDatabase(#[source] Box<DbError>),
    /// The role may not connect to the database.
    #[error("the role may not connect to this database ({0})")]
    Forbidden(#[source] Box<DbError>),
    /// The server's pg_hba.conf has no place for this login without encryption.
    #[error("the server does not admit this login without encryption ({0})")]
    TlsRequired(#[source] Box<DbError>),
    /// The server's pg_hba.conf has no place for this login.
    #[error("the server does not admit this login ({0})")]
    NotAdmitted(#[source] Box<DbError>),
    /// All the server's connections are taken.
    #[error("too many connections ({0})")]
    TooManyConnections(#[source] Box<DbError>),
    /// The server is starting, stopping or recovering.
    #[error("the server is not accepting connections right now ({0})")]
    NotReady(#[source] Box<DbError>),
    /// The server refused for another reason.
    #[error("the server refused: {0}")]
    Server(#[source] Box<DbError>),
    /// The login failed on our side: an unknown method, or a server that could not prove it knows the password.
    #[error("login failed: {0}")]
    Login(String),

    /// The mode demands TLS and the server has none.
    #[error("sslmode={mode} demands TLS, and the server offers none")]
    ServerWithoutTls {
        /// The mode.
        mode: &'static str,
    },
    /// The server's certificate was not accepted.
    #[error(transparent)]
    Certificate(CertificateProblem),
    /// The server did not accept our certificate, or wants one.
    #[error("the server did not accept our client certificate: {0}")]
    ClientCertificate(String),
    /// The handshake failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(String),

    /// A certificate file is no good.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The mode verifies, and there is nothing to verify with.
    #[error("sslmode={mode} needs a root certificate (sslrootcert), and none is configured")]
    RootCertificateMissing {
        /// The mode.
        mode: &'static str,
    },
    /// `sslrootcert=system` with a mode that does not compare names.
    #[error("sslmode={mode} proves nothing with sslrootcert=system")]
    SystemRootsNeedVerifyFull {
        /// The mode.
        mode: &'static str,
    },
    /// `sslrootcert=system` on a machine without authorities.
    #[error("this machine has no trusted authorities: {reason}")]
    NoSystemRoots {
        /// What the search said.
        reason: String,
    },
    /// A client certificate without its key, or the other way round.
    #[error("{given} is configured without {missing}")]
    ClientCertificateIncomplete {
        /// The setting there is.
        given: &'static str,
        /// The setting there is not.
        missing: &'static str,
    },
}

/// What is wrong with a certificate file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be read.
    #[error("cannot read the {what} {}: {source}", .path.display())]
    Unreadable {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It does not hold what it should.
    #[error("the {what} {} is unusable: {reason}", .path.display())]
    Invalid {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Others may read the key.
    #[error("the {what} {} is open to others (mode {mode:o})", .path.display())]
    Permissions {
        /// Which file.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
}

impl Cause {
    /// What to do about it, in words.
    pub fn cure(&self) -> String {
        match self {
            Self::Refused => "check that PostgreSQL runs there, that host and port are right, and listen_addresses",
            Self::NoSocket { .. } => "check that PostgreSQL runs, and its unix_socket_directories and port",
            Self::SocketForbidden { .. } => "check unix_socket_permissions and the directory's own permissions",
            Self::UnknownHost { .. } => "check the spelling of the host, and this machine's name resolution",
            Self::Timeout { .. } => "check host and port, the firewalls between, and whether the server is overloaded",
            Self::Network(_) => "check the network between this machine and the server",
            Self::Closed => "check that the port is PostgreSQL's, and look into the server's log",
            Self::PasswordMissing => "configure the password of this role",
            Self::WrongPassword(_) => "check user and password; ALTER ROLE … PASSWORD sets a new one",
            Self::RoleMissing(_) => "create the role with LOGIN, or correct the user",
            Self::UnknownDatabase(_) => "create the database, or correct its name",
            Self::Forbidden(_) => "GRANT CONNECT ON DATABASE … to the role",
            Self::TlsRequired(_) => {
                "set sslmode=verify-full with the authority's certificate (or at least sslmode=require), or add a host line to the server's pg_hba.conf"
            }
            Self::NotAdmitted(_) => {
                "add a line for this user, database and client address to the server's pg_hba.conf and reload it"
            }
            Self::TooManyConnections(_) => {
                "raise max_connections (or the role's or database's limit), lower the pool sizes, or put PgBouncer between"
            }
            Self::NotReady(_) => "wait, or look into the server's log",
            Self::Server(error) => return error.hint().unwrap_or("look into the server's log").to_owned(),
            Self::Login(_) => "check the server's pg_hba.conf method, and that this is the right server",
            Self::ServerWithoutTls { .. } => {
                "set ssl=on and a certificate on the server; sslmode=prefer or disable gives up the protection"
            }
            Self::Certificate(problem) => problem.cure(),
            Self::ClientCertificate(_) => {
                "check sslcert and sslkey, and that the server's ssl_ca_file has the authority that signed them; its log has more"
            }
            Self::Tls(_) => "look into the server's log for the reason, and check its ssl_* settings (TLS 1.2 or 1.3 is needed)",
            Self::File(FileProblem::Unreadable { .. }) => "correct the path or the file's permissions",
            Self::File(FileProblem::Invalid { .. }) => "put the right PEM file there",
            Self::File(FileProblem::Permissions { .. }) => {
                "set its mode to 0600, or to 0640 if it belongs to root"
            }
            Self::RootCertificateMissing { .. } => {
                "configure the PEM file of the authority that signed the server's certificate"
            }
            Self::SystemRootsNeedVerifyFull { .. } => {
                "use sslmode=verify-full, or a file with the one authority to trust"
            }
            Self::NoSystemRoots { .. } => "install ca-certificates, or configure a file as sslrootcert",
            Self::ClientCertificateIncomplete { .. } => "configure both or neither",
        }
        .to_owned()
    }

    /// The server's own words, where it was the server that refused.
    pub fn server_error(&self) -> Option<&DbError> {
        match self {
            Self::WrongPassword(error)
            | Self::RoleMissing(error)
            | Self::UnknownDatabase(error)
            | Self::Forbidden(error)
            | Self::TlsRequired(error)
            | Self::NotAdmitted(error)
            | Self::TooManyConnections(error)
            | Self::NotReady(error)
            | Self::Server(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same attempt may succeed later without anybody changing the settings.
    pub fn is_transient(&self) -> bool {
        self.is_unreachable()
            || matches!(
                self,
                Self::NoSocket { .. }
                    | Self::UnknownHost { .. }
                    | Self::Closed
                    | Self::TooManyConnections(_)
                    | Self::NotReady(_)
            )
    }

    /// Whether another address of the same host may still answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Refused | Self::Timeout { .. } | Self::Network(_))
    }
}
