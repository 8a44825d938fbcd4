//! Who is at the other end of the wire: address, host that was called, whether over TLS.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use app_config::CookieSecure;
use db_core::Origin;

use crate::problem::Problem;
use crate::request_id;
use crate::state::Worker;

/// The client of a request, as far as it can be known.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address; the one a trusted proxy names, else the peer's.
    pub ip: Option<IpAddr>,
    /// Host name that was called, in lower case, without a port.
    pub host: Option<String>,
    /// Whether the request came over TLS, as far as a trusted proxy tells.
    pub https: bool,
}

impl Client {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let peer = request.peer_addr().map(|address| address.ip());
        let trusted = request
            .app_data::<web::Data<Worker>>()
            .zip(peer)
            .is_some_and(|(worker, peer)| worker.state().config.server.trusts(peer));
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        // A proxy may add a line of its own or lengthen the one it got: the last entry of the last line is what the
        // trusted proxy itself wrote; those before it may be anybody's.
        let last = |name: &str| {
            request
                .headers()
                .get_all(name)
                .last()
                .and_then(|value| value.to_str().ok())
        };
        let forwarded = last("x-forwarded-for")
            .filter(|_| trusted)
            .and_then(|list| list.rsplit(',').next())
            .and_then(|ip| ip.trim().parse().ok());
        let host = header("host").or_else(|| request.uri().host()).map(bare_host);
        Self {
            ip: forwarded.or(peer).map(|ip: IpAddr| ip.to_canonical()),
            host,
            https: trusted && last("x-forwarded-proto") == Some("https"),
        }
    }

    /// Whether the client's cookies are `Secure`: by rule, or unless the host is loopback over plain HTTP.
    pub fn has_secure_cookies(&self, rule: CookieSecure) -> bool {
        let is_loopback = || {
            self.host.as_deref().is_some_and(|host| {
                host == "localhost"
                    || host.ends_with(".localhost")
                    || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            })
        };
        match rule {
            CookieSecure::Always => true,
            CookieSecure::Never => false,
            CookieSecure::Auto => self.https || !is_loopback(),
        }
    }

    /// What the activity stream keeps of the client.
    pub fn origin(&self) -> Origin {
        Origin {
            request_id: request_id::current(),
            ip: self.ip,
            trace: telemetry::traceparent(&tracing::Span::current()),
        }
    }
}

/// Host name without its port, in lower case.
fn bare_host(host: &str) -> String {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    bare.to_ascii_lowercase()
}

impl FromRequest for Client {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}
