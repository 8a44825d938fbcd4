//! From an address to an open connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use app_config::{DatabaseAddress, SslMode};
use secrecy::ExposeSecret as _;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::classify::classify;
use crate::error::{Cause, ConnectError};
use crate::files::TlsSettings;
use crate::handshake::{Handshake, Protection, RustlsConnector};

/// The TLS stream inside a [`Driver`]; a plain connection has the same type and no TLS in it.
pub type TlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// The half of a connection that talks to the socket: a future to spawn. Without it the client hangs.
pub type Driver = Connection<Socket, TlsStream>;

/// How a connection is opened, beside the address.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long one address of the host may take, from the first packet to the end of the login.
    ///
    /// A host with several addresses may take this long for each, as libpq's `connect_timeout` has it.
    /// Zero is no time at all, unlike libpq's.
    pub connect_timeout: Duration,
    /// What `pg_stat_activity` shows.
    pub application_name: Option<String>,
    /// Idle time before TCP asks whether the server is still there; `None` for never.
    pub keepalives_idle: Option<Duration>,
    /// How long sent data may stay unacknowledged before the connection counts as dead (Linux only).
    pub tcp_user_timeout: Option<Duration>,
    /// Connect to this address instead of resolving the host; the host still names the certificate (`hostaddr`).
    pub host_addr: Option<IpAddr>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            application_name: None,
            keepalives_idle: Some(Duration::from_secs(60)),
            tcp_user_timeout: None,
            host_addr: None,
        }
    }
}

/// An open connection.
pub struct Connected {
    /// Sends queries.
    pub client: Client,
    /// To be spawned by the caller.
    pub driver: Driver,
    /// What protects the connection against eyes and impostors on the way.
    pub protection: Protection,
}

/// Opens connections to one database.
///
/// `Debug` never shows the password.
#[derive(Clone, Debug)]
pub struct Connector {
    address: DatabaseAddress,
    options: ConnectOptions,
    /// `None` where TLS is never used: mode `disable`, Unix sockets.
    tls: Option<Arc<TlsSettings>>,
}

impl Connector {
    /// Reads the certificate files and checks that they suffice for the mode.
    ///
    /// # Errors
    /// A file that is missing, unreadable or not what it should be, and a mode that lacks its root certificate.
    pub fn new(address: &DatabaseAddress, options: ConnectOptions) -> Result<Self, ConnectError> {
        let tls = if address.is_unix_socket() || address.ssl.mode == SslMode::Disable {
            None
        } else {
            let settings =
                TlsSettings::read(&address.ssl).map_err(|cause| ConnectError::new(address, cause))?;
            Some(Arc::new(settings))
        };
        Ok(Self {
            address: address.clone(),
            options,
            tls,
        })
    }

    /// The address this connector opens.
    pub fn address(&self) -> &DatabaseAddress {
        &self.address
    }

    /// Opens a connection and logs in.
    ///
    /// A host with several addresses is tried address by address; the first that answers decides.
    ///
    /// # Errors
    /// See [`Cause`].
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let mut unreachable = None;
        for target in self
            .targets()
            .await
            .map_err(|cause| ConnectError::new(&self.address, cause))?
        {
            let limit = self.options.connect_timeout;
            let attempt = Box::pin(self.attempt(target));
            match tokio::time::timeout(limit, attempt)
                .await
                .unwrap_or(Err(Cause::Timeout { after: limit }))
            {
                Ok(connected) => return Ok(connected),
                // Another address may be alive. A refusal by a server that answered is final.
                Err(cause) if cause.is_unreachable() => unreachable = Some(cause),
                Err(cause) => return Err(ConnectError::new(&self.address, cause)),
            }
        }
        let cause = unreachable.unwrap_or_else(|| Cause::UnknownHost {
            reason: "the name has no address".to_owned(),
        });
        Err(ConnectError::new(&self.address, cause))
    }

    /// As [`Self::connect`], the connection driven on the current runtime until the client is dropped.
    ///
    /// # Errors
    /// See [`Cause`].
    pub async fn client(&self) -> Result<Client, ConnectError> {
        let Connected { client, driver, .. } = self.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        Ok(client)
    }

    /// The addresses to try; one `None` for a Unix socket.
    async fn targets(&self) -> Result<Vec<Option<IpAddr>>, Cause> {
        if self.address.is_unix_socket() {
            return Ok(vec![None]);
        }
        if let Some(ip) = self.options.host_addr {
            return Ok(vec![Some(ip)]);
        }
        let limit = self.options.connect_timeout;
        let lookup = tokio::net::lookup_host((self.address.host.as_str(), self.address.port));
        match tokio::time::timeout(limit, lookup).await {
            Err(_elapsed) => Err(Cause::UnknownHost {
                reason: format!("no answer within {limit:?}"),
            }),
            Ok(Err(error)) => Err(Cause::UnknownHost {
                reason: error.to_string(),
            }),
            Ok(Ok(found)) => Ok(found.map(|address: SocketAddr| Some(address.ip())).collect()),
        }
    }

    /// One address: with TLS where the mode has it; `prefer` tries once more without when TLS was what failed.
    async fn attempt(&self, target: Option<IpAddr>) -> Result<Connected, Cause> {
        let Some(tls) = &self.tls else {
            return self.open(target, None).await.map_err(|refusal| refusal.cause);
        };
        match self.open(target, Some(tls)).await {
            Ok(connected) => Ok(connected),
            // When both fail the first refusal says more: the second only adds that it was not encrypted.
            Err(first) if first.blames_tls && self.address.ssl.mode == SslMode::Prefer => {
                self.open(target, None).await.map_err(|_second| first.cause)
            }
            Err(first) => Err(first.cause),
        }
    }

    async fn open(&self, target: Option<IpAddr>, tls: Option<&TlsSettings>) -> Result<Connected, Refusal> {
        let handshake = Arc::new(Handshake::default());
        let connector = match tls {
            Some(settings) => settings.connector(&handshake),
            None => RustlsConnector::without_tls(&handshake),
        };
        let mut config = self.config(target);
        config.ssl_mode(match self.address.ssl.mode {
            _ if tls.is_none() => tokio_postgres::config::SslMode::Disable,
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        match config.connect(connector).await {
            Ok((client, driver)) => {
                let protection = match tls {
                    _ if target.is_none() => Protection::UnixSocket,
                    Some(settings) => handshake.protection(settings.verified()),
                    None => Protection::Plain,
                };
                Ok(Connected {
                    client,
                    driver,
                    protection,
                })
            }
            Err(error) => {
                let blames_tls = handshake.blames_tls(&error);
                Err(Refusal {
                    cause: classify(error, &self.address, &handshake),
                    blames_tls,
                })
            }
        }
    }

    fn config(&self, target: Option<IpAddr>) -> Config {
        let mut config = Config::new();
        config
            .host(&self.address.host)
            .port(self.address.port)
            .dbname(&self.address.database)
            .user(&self.address.user)
            .connect_timeout(self.options.connect_timeout)
            .keepalives(self.options.keepalives_idle.is_some());
        if let Some(ip) = target {
            config.hostaddr(ip);
        }
        if let Some(password) = &self.address.password {
            config.password(password.expose_secret());
        }
        if let Some(name) = &self.options.application_name {
            config.application_name(name);
        }
        if let Some(idle) = self.options.keepalives_idle {
            config.keepalives_idle(idle);
        }
        if let Some(timeout) = self.options.tcp_user_timeout {
            config.tcp_user_timeout(timeout);
        }
        config
    }
}

/// Why an address was refused, and whether it might have gone better without TLS.
struct Refusal {
    cause: Cause,
    blames_tls: bool,
}
