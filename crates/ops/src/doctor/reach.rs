//! From a host name to a database, step by step.

use std::path::PathBuf;
use std::time::Duration;

use app_config::DatabaseAddress;
use pg_connect::{Cause, ConnectError, ConnectOptions, Connector, Protection};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::catalogue::{
    Kind, OWNER_DATABASE, OWNER_DNS, OWNER_LOGIN, OWNER_TCP, OWNER_TLS, POOLED_DATABASE, POOLED_DNS,
    POOLED_LOGIN, POOLED_TCP, POOLED_TLS,
};
use super::check::{Findings, Trouble};

/// The steps on the way to one address.
#[derive(Clone, Copy)]
pub struct Route {
    dns: Kind,
    tcp: Kind,
    tls: Kind,
    login: Kind,
    database: Kind,
}

/// The owner's way: `DATABASE_DIRECT_URL`, else `DATABASE_URL`.
pub const OWNER: Route = Route {
    dns: OWNER_DNS,
    tcp: OWNER_TCP,
    tls: OWNER_TLS,
    login: OWNER_LOGIN,
    database: OWNER_DATABASE,
};

/// The way of requests, where it is another: `DATABASE_URL` beside `DATABASE_DIRECT_URL`.
pub const POOLED: Route = Route {
    dns: POOLED_DNS,
    tcp: POOLED_TCP,
    tls: POOLED_TLS,
    login: POOLED_LOGIN,
    database: POOLED_DATABASE,
};

impl Route {
    fn steps(self) -> [Kind; 5] {
        [self.dns, self.tcp, self.tls, self.login, self.database]
    }
}

/// Goes the whole way; the connection, where it leads to one.
pub async fn go(
    findings: &mut Findings,
    route: Route,
    address: &DatabaseAddress,
    options: ConnectOptions,
) -> Option<Client> {
    let limit = options.connect_timeout;
    let arrived = if address.is_unix_socket() {
        socket(findings, route, address).await
    } else {
        dns_and_tcp(findings, route, address, limit).await
    };
    if !arrived {
        findings.skip_rest(route.steps(), "the server was not reached");
        return None;
    }
    let connected = match Connector::new(address, options) {
        Ok(connector) => connector.connect().await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(connected) => {
            protection(findings, route, address, connected.protection);
            findings.ok(route.login, format!("as {}", address.user));
            findings.ok(route.database, address.database.clone());
            tokio::spawn(connected.driver);
            Some(connected.client)
        }
        Err(error) => {
            refused(findings, route, address, &error);
            None
        }
    }
}

async fn socket(findings: &mut Findings, route: Route, address: &DatabaseAddress) -> bool {
    findings.skipped(route.dns, "a Unix socket has no host name");
    let path = PathBuf::from(&address.host).join(format!(".s.PGSQL.{}", address.port));
    match UnixStream::connect(&path).await {
        Ok(_) => {
            findings.ok(route.tcp, format!("the socket {} answers", path.display()));
            true
        }
        Err(error) => {
            let cure = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "check unix_socket_permissions, and the permissions of the directory"
                }
                _ => {
                    "start PostgreSQL; if it runs, compare its unix_socket_directories and port with the configured host and port"
                }
            };
            let cause = "nobody listens on the socket, or this user may not open it";
            findings.failed(
                route.tcp,
                Trouble::new(format!("{}: {error}", path.display()), cause, cure),
            );
            false
        }
    }
}

async fn dns_and_tcp(
    findings: &mut Findings,
    route: Route,
    address: &DatabaseAddress,
    limit: Duration,
) -> bool {
    let host = &address.host;
    let lookup = tokio::net::lookup_host((host.as_str(), address.port));
    let found: Vec<_> = match tokio::time::timeout(limit, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return unknown_host(findings, route, host, &error.to_string()),
        Err(_elapsed) => {
            return unknown_host(findings, route, host, &format!("no answer within {limit:?}"));
        }
    };
    if found.is_empty() {
        return unknown_host(findings, route, host, "the name has no address");
    }
    let addresses: Vec<String> = found.iter().map(|found| found.ip().to_string()).collect();
    let addresses = addresses.join(", ");
    if host.parse::<std::net::IpAddr>().is_ok() {
        findings.skipped(route.dns, format!("{host} is an address"));
    } else {
        findings.ok(route.dns, format!("{host} is {addresses}"));
    }
    let mut refusal = None;
    for target in &found {
        match tokio::time::timeout(limit, TcpStream::connect(target)).await {
            Ok(Ok(_)) => {
                findings.ok(route.tcp, format!("{target} answers"));
                return true;
            }
            Ok(Err(error)) => refusal = Some(Some(error)),
            Err(_elapsed) => refusal = refusal.or(Some(None)),
        }
    }
    let place = format!("{host}:{}", address.port);
    let trouble = match refusal.flatten() {
        Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Trouble::new(
            format!("{place}: connection refused"),
            "the machine is there, and nobody listens on that port",
            "start PostgreSQL; if it runs, check host and port, and that listen_addresses in postgresql.conf has this network \
             (in a container: that the port is published)",
        ),
        Some(error) => Trouble::new(
            format!("{place}: {error}"),
            "the network does not lead there",
            "check the network between this machine and the server",
        ),
        None => Trouble::new(
            format!("{place}: no answer within {limit:?}"),
            "a firewall drops the packets, the address is wrong, or the server is overloaded",
            "check host and port, and the firewalls between (security groups of a cloud); PLINTH_DATABASE_CONNECT_TIMEOUT allows more time",
        ),
    };
    findings.failed(route.tcp, trouble);
    false
}

fn unknown_host(findings: &mut Findings, route: Route, host: &str, why: &str) -> bool {
    findings.failed(
        route.dns,
        Trouble::new(
            format!("{host}: {why}"),
            "the name of the host has no address on this machine",
            "check its spelling, and this machine's name resolution (getent hosts …); in containers both have to be in one network",
        ),
    );
    false
}

fn protection(findings: &mut Findings, route: Route, address: &DatabaseAddress, protection: Protection) {
    let found = format!("{protection} (sslmode={})", address.ssl.mode.as_str());
    if address.is_local() || protection.is_verified() {
        return findings.ok(route.tls, protection_words(protection, &found));
    }
    let verify = "set DATABASE_SSL=verify-full and PLINTH_DATABASE_SSL_ROOT_CERT to the authority's certificate (the provider of a \
                  managed database gives one; sslrootcert=system for a public authority); PLINTH_REQUIRE_TLS=true makes it a must";
    let cause = match protection {
        Protection::Plain => {
            "everyone on the way to another machine can read passwords and rows, and change them"
        }
        _ => {
            "the server has not proved to be the one that was asked for: somebody on the way could stand in for it"
        }
    };
    findings.warning(route.tls, Trouble::new(found, cause, verify));
}

fn protection_words(protection: Protection, found: &str) -> String {
    match protection {
        Protection::UnixSocket => "a Unix socket: needs none".to_owned(),
        Protection::Plain => format!("{found}; the server is on this machine"),
        Protection::Tls { .. } => found.to_owned(),
    }
}

/// Which step a refusal belongs to: those before it went well.
fn refused(findings: &mut Findings, route: Route, address: &DatabaseAddress, error: &ConnectError) {
    let cause = &*error.cause;
    let step = match cause {
        Cause::ServerWithoutTls { .. }
        | Cause::Certificate(_)
        | Cause::ClientCertificate(_)
        | Cause::Tls(_)
        | Cause::TlsRequired(_)
        | Cause::File(_)
        | Cause::RootCertificateMissing { .. }
        | Cause::SystemRootsNeedVerifyFull { .. }
        | Cause::NoSystemRoots { .. }
        | Cause::ClientCertificateIncomplete { .. } => route.tls,
        Cause::PasswordMissing
        | Cause::WrongPassword(_)
        | Cause::RoleMissing(_)
        | Cause::NotAdmitted(_)
        | Cause::Login(_) => route.login,
        // PgBouncer's one code for whatever it does not like: an unknown user, a wrong password, a startup parameter.
        Cause::Server(refusal) if *refusal.code() == SqlState::PROTOCOL_VIOLATION => route.login,
        Cause::UnknownDatabase(_)
        | Cause::Forbidden(_)
        | Cause::TooManyConnections(_)
        | Cause::NotReady(_)
        | Cause::Server(_) => route.database,
        // The port has answered when it was only knocked at: whatever hung up now is not PostgreSQL, or not well.
        _ => route.login,
    };
    for before in route.steps() {
        if before == step {
            break;
        }
        if !findings.has(before) {
            findings.ok(
                before,
                if before == route.login {
                    format!("as {}", address.user)
                } else {
                    format!("nothing against it (sslmode={})", address.ssl.mode.as_str())
                },
            );
        }
    }
    findings.failed(step, trouble(cause, address));
    findings.skip_rest(route.steps(), "the server refused before");
}

fn trouble(cause: &Cause, address: &DatabaseAddress) -> Trouble {
    let why = match cause {
        Cause::WrongPassword(_) => format!(
            "the password of {} is another than the configured one, or there is no such role: the server does not say which",
            address.user
        ),
        Cause::PasswordMissing => format!("no password is configured for {}", address.user),
        Cause::RoleMissing(_) => format!("there is no role {}, or it has NOLOGIN", address.user),
        Cause::UnknownDatabase(_) => format!("there is no database {} on this server", address.database),
        Cause::Forbidden(_) => format!(
            "{} has no CONNECT on {}: only those may connect that were told so",
            address.user, address.database
        ),
        Cause::TlsRequired(_) => {
            "pg_hba.conf of the server has only hostssl lines for this login, and the connection is not encrypted".to_owned()
        }
        Cause::NotAdmitted(_) => "pg_hba.conf of the server has no line for this login".to_owned(),
        Cause::ServerWithoutTls { .. } => "the server has ssl=off".to_owned(),
        Cause::TooManyConnections(_) => "max_connections of the server, or a limit of the role or database, is used up".to_owned(),
        Cause::NotReady(_) => "the server starts, stops or recovers".to_owned(),
        Cause::Certificate(_) => format!("sslmode={} wants a certificate that can be verified", address.ssl.mode.as_str()),
        Cause::Server(refusal) if refusal.message().contains("startup parameter") => {
            "PgBouncer refuses a parameter that clients send at the start".to_owned()
        }
        _ => "it was refused for this reason".to_owned(),
    };
    let cure = match cause {
        Cause::UnknownDatabase(_) => format!(
            "correct DATABASE_URL (or DATABASE_NAME), or make it: plinth-ops provision --database {}={}",
            address.database, address.user
        ),
        Cause::Forbidden(_) => format!(
            "as an administrator: GRANT CONNECT ON DATABASE \"{}\" TO \"{}\"",
            address.database, address.user
        ),
        Cause::TlsRequired(_) => {
            "set DATABASE_SSL=verify-full and PLINTH_DATABASE_SSL_ROOT_CERT (or at least DATABASE_SSL=require)".to_owned()
        }
        Cause::Server(refusal) if refusal.message().contains("startup parameter") => {
            "add it to ignore_startup_parameters in pgbouncer.ini, and reload".to_owned()
        }
        other => other.cure(),
    };
    Trouble::new(cause.to_string(), why, cure)
}
