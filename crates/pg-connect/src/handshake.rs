//! What happened between the socket and the login: was TLS begun, did it complete, with which version.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::connector::TlsStream;

/// What protects an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// The kernel: the bytes never leave this machine.
    UnixSocket,
    /// Nothing: everyone on the way can read and change it.
    Plain,
    /// TLS.
    Tls {
        /// The version both sides agreed on.
        version: TlsVersion,
        /// What was checked of the server's certificate.
        verified: Verified,
    },
}

impl Protection {
    /// Whether the server proved to be the one that was asked for; a Unix socket needs no proof.
    pub fn is_verified(self) -> bool {
        match self {
            Self::UnixSocket => true,
            Self::Plain => false,
            Self::Tls { verified, .. } => verified == Verified::AuthorityAndName,
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnixSocket => f.write_str("Unix socket"),
            Self::Plain => f.write_str("not encrypted"),
            Self::Tls { version, verified } => write!(f, "{version}, {verified}"),
        }
    }
}

/// Version of the TLS protocol; older ones are never spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What was checked of the server's certificate. That the server holds its key is checked always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Nothing: it may be anyone's.
    Nothing,
    /// A trusted authority has signed it, for whatever host.
    Authority,
    /// A trusted authority has signed it for the host that was asked for.
    AuthorityAndName,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "server not verified",
            Self::Authority => "authority verified, host name not compared",
            Self::AuthorityAndName => "authority and host name verified",
        })
    }
}

/// The notes of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    begun: OnceLock<()>,
    version: OnceLock<TlsVersion>,
    completed: OnceLock<()>,
}

impl Handshake {
    /// The verifier calls this; which of its two methods rustls calls tells the version.
    pub(crate) fn saw_version(&self, version: TlsVersion) {
        let _already_noted = self.version.set(version);
    }

    /// Whether the server agreed to TLS.
    pub(crate) fn begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Whether the server agreed to TLS and it did not come about.
    pub(crate) fn failed(&self) -> bool {
        self.begun() && !self.completed()
    }

    /// Whether the server has shown its certificate; then it is our turn to show ours.
    pub(crate) fn shown_certificate(&self) -> bool {
        self.version.get().is_some()
    }

    /// Whether TLS was established, whatever came after.
    pub(crate) fn completed(&self) -> bool {
        self.completed.get().is_some()
    }

    /// What protects the connection that was opened.
    pub(crate) fn protection(&self, verified: Verified) -> Protection {
        match (self.completed(), self.version.get()) {
            (true, Some(&version)) => Protection::Tls { version, verified },
            _ => Protection::Plain,
        }
    }

    /// Whether the same login might succeed without TLS.
    ///
    /// libpq's `prefer` tries again after a failed handshake and after every refusal under TLS. Only refusals of
    /// class 28 (invalid authorization) depend on encryption, through pg_hba.conf; the others would only be repeated.
    pub(crate) fn blames_tls(&self, error: &tokio_postgres::Error) -> bool {
        if self.failed() || rustls_error(error).is_some() {
            return true;
        }
        self.completed() && error.code().is_some_and(|state| state.code().starts_with("28"))
    }
}

/// The TLS library's own error, wherever in the chain it is.
pub(crate) fn rustls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // io::Error hides what it wraps from source() and shows it here.
        if let Some(found) = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Some(found);
        }
        next = current.source();
    }
    None
}

type Inner = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// tokio-postgres-rustls, taking notes; without TLS it only fixes the type of the stream.
pub(crate) struct RustlsConnector {
    tls: Option<MakeRustlsConnect>,
    handshake: Arc<Handshake>,
}

impl RustlsConnector {
    pub(crate) fn new(config: ClientConfig, handshake: &Arc<Handshake>) -> Self {
        Self {
            tls: Some(MakeRustlsConnect::new(config)),
            handshake: Arc::clone(handshake),
        }
    }

    pub(crate) fn without_tls(handshake: &Arc<Handshake>) -> Self {
        Self {
            tls: None,
            handshake: Arc::clone(handshake),
        }
    }
}

impl MakeTlsConnect<Socket> for RustlsConnector {
    type Stream = TlsStream;
    type TlsConnect = RustlsHandshake;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<RustlsHandshake, Self::Error> {
        let inner = match &mut self.tls {
            Some(tls) => Some(MakeTlsConnect::<Socket>::make_tls_connect(tls, host)?),
            None => None,
        };
        Ok(RustlsHandshake {
            inner,
            handshake: Arc::clone(&self.handshake),
        })
    }
}

/// One handshake to come.
pub(crate) struct RustlsHandshake {
    inner: Option<Inner>,
    handshake: Arc<Handshake>,
}

impl TlsConnect<Socket> for RustlsHandshake {
    type Stream = TlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Some(inner) = self.inner else {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is switched off"));
            };
            let _already_noted = self.handshake.begun.set(());
            let stream = inner.connect(socket).await?;
            let _already_noted = self.handshake.completed.set(());
            Ok(stream)
        })
    }
}
