//! Section `server`: addresses, limits and timeouts of the HTTP server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::reader::Reader;

/// How the HTTP server listens and what it puts up with.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address of the API: `PLINTH_SERVER_BIND`, default `127.0.0.1:8080`.
    pub bind: SocketAddr,
    /// Address of `/metrics`, apart from the API: `PLINTH_SERVER_METRICS_BIND`, default `127.0.0.1:9464`.
    pub metrics_bind: SocketAddr,
    /// Worker threads, each with its own runtime and pool; 0 means one per core: `PLINTH_SERVER_WORKERS`, default 0.
    pub workers: usize,
    /// Largest request body in bytes: `PLINTH_SERVER_BODY_LIMIT_BYTES`, default 1 MiB.
    pub body_limit_bytes: usize,
    /// How long a client may take to send the head of a request: `PLINTH_SERVER_HEADER_TIMEOUT`, default 5 s.
    pub header_timeout: Duration,
    /// How long a whole request may take: `PLINTH_SERVER_REQUEST_TIMEOUT`, default 30 s.
    pub request_timeout: Duration,
    /// How long a client may take to receive an answer: `PLINTH_SERVER_SEND_TIMEOUT`, default 60 s.
    pub send_timeout: Duration,
    /// How long an idle connection is kept open: `PLINTH_SERVER_KEEP_ALIVE`, default 75 s.
    pub keep_alive: Duration,
    /// How long running requests may take after a signal to stop: `PLINTH_SERVER_SHUTDOWN_GRACE`, default 20 s.
    pub shutdown_grace: Duration,
    /// Whether the session cookie is `Secure`: `PLINTH_SERVER_COOKIE_SECURE`, default `auto`.
    pub cookie_secure: CookieSecure,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: `PLINTH_SERVER_TRUSTED_PROXIES`,
    /// a list of addresses and networks (`10.0.0.0/8`), default none.
    pub trusted_proxies: Vec<Network>,
}

impl ServerConfig {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            bind: reader.required("server.bind")?,
            metrics_bind: reader.required("server.metrics_bind")?,
            workers: reader.required("server.workers")?,
            body_limit_bytes: reader.required("server.body_limit_bytes")?,
            header_timeout: reader.duration("server.header_timeout")?,
            request_timeout: reader.duration("server.request_timeout")?,
            send_timeout: reader.duration("server.send_timeout")?,
            keep_alive: reader.duration("server.keep_alive")?,
            shutdown_grace: reader.duration("server.shutdown_grace")?,
            cookie_secure: reader.required("server.cookie_secure")?,
            trusted_proxies: reader.list("server.trusted_proxies"),
        })
    }

    /// Whether `peer` is one of [`Self::trusted_proxies`].
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

/// When the session cookie carries `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieSecure {
    /// Unless the request came to a loopback host over plain HTTP.
    Auto,
    /// Always; sign-in over plain HTTP then does not last.
    Always,
    /// Never; for tests behind plain HTTP only.
    Never,
}

impl FromStr for CookieSecure {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(()),
        }
    }
}

/// An IP network: an address and how many of its leading bits count. A bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `ip` lies in the network. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        fn bits(ip: IpAddr) -> (u128, u32) {
            match ip.to_canonical() {
                // Shifted to the top, so that one mask serves both families.
                IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
                IpAddr::V6(ip) => (u128::from(ip), 128),
            }
        }
        let (own, own_width) = bits(self.address);
        let (other, other_width) = bits(ip);
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        own_width == other_width && own & mask == other & mask
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let parsed: IpAddr = address.parse().map_err(drop)?;
        let width = if parsed.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= width).ok_or(())?,
            None => width,
        };
        Ok(Self {
            address: parsed,
            prefix,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
