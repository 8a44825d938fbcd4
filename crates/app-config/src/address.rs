//! Where a PostgreSQL server is, and how to reach it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

/// One PostgreSQL database and the login that opens it.
///
/// `Debug` and `Display` never show the password.
#[derive(Clone, Debug)]
pub struct DatabaseAddress {
    /// Host name, IP address, or the directory of a Unix socket (then it starts with `/`).
    pub host: String,
    /// TCP port, or the number in the socket's file name.
    pub port: u16,
    /// Name of the database.
    pub database: String,
    /// Name of the login role.
    pub user: String,
    /// Password of the login role; `None` for trust, peer or certificate authentication.
    pub password: Option<SecretString>,
    /// How the connection is protected.
    pub ssl: Ssl,
}

/// How a connection is protected: the mode, and the files it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// What is demanded of the server.
    pub mode: SslMode,
    /// PEM file with the certificate authorities to trust (`sslrootcert`).
    pub root_cert: Option<PathBuf>,
    /// PEM file with our own certificate (`sslcert`).
    pub cert: Option<PathBuf>,
    /// PEM file with the key of `cert` (`sslkey`).
    pub key: Option<PathBuf>,
}

/// libpq's `sslmode`, with libpq's meaning.
///
/// Source: <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server offers it, without checking who it is.
    #[default]
    Prefer,
    /// TLS always; the chain is checked only when a root certificate is given.
    Require,
    /// TLS always, and the certificate must come from a trusted authority; its name is not compared.
    VerifyCa,
    /// TLS always, a trusted authority, and the certificate must name the host.
    VerifyFull,
}

impl Ssl {
    /// Whether the server must prove who it is: by mode, or by `require` with a root certificate, as in libpq.
    pub fn verifies_server(&self) -> bool {
        match self.mode {
            SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Require => self.root_cert.is_some(),
            SslMode::Disable | SslMode::Prefer => false,
        }
    }
}

impl SslMode {
    /// The spelling used in `sslmode=…`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl FromStr for SslMode {
    type Err = ();

    /// The exact inverse of [`SslMode::as_str`].
    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::Disable,
            Self::Prefer,
            Self::Require,
            Self::VerifyCa,
            Self::VerifyFull,
        ]
        .into_iter()
        .find(|mode| mode.as_str() == text)
        .ok_or(())
    }
}

impl DatabaseAddress {
    /// Whether the address is a Unix socket.
    pub fn is_unix_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether the connection stays on this machine: a Unix socket, `localhost` or a loopback address.
    pub fn is_local(&self) -> bool {
        self.is_unix_socket()
            || self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}
