//! From tokio-postgres's error to a [`Cause`].

use std::io;
use std::path::Path;

use app_config::{DatabaseAddress, SslMode};
use rustls::AlertDescription;
use tokio_postgres::error::{DbError, SqlState};

use crate::certificate;
use crate::error::Cause;
use crate::handshake::{Handshake, rustls_error};

/// Finds the cause of `error`, which ended an attempt to open `address`.
pub(crate) fn classify(
    error: tokio_postgres::Error,
    address: &DatabaseAddress,
    handshake: &Handshake,
) -> Cause {
    if let Some(tls) = rustls_error(&error) {
        return classify_tls(tls);
    }
    if error.is_closed() {
        return Cause::Closed;
    }
    let text = error.to_string();
    let Some(source) = error.into_source() else {
        return Cause::Login(text);
    };
    let source = match source.downcast::<DbError>() {
        Ok(refusal) => return classify_refusal(refusal, address, handshake),
        Err(source) => source,
    };
    if address.ssl.cert.is_some()
        && handshake.shown_certificate()
        && source.downcast_ref().is_some_and(is_abrupt)
    {
        // The server's alert can be lost when it closes while we are still writing.
        return Cause::ClientCertificate("the server hung up after it was sent".to_owned());
    }
    if handshake.failed() {
        return Cause::Tls(source.to_string());
    }
    match source.downcast::<io::Error>() {
        Ok(failure) => classify_io(*failure, address),
        // tokio-postgres's own refusals are plain text; what else is known tells them apart.
        Err(_) if demands_tls(address) && !handshake.begun() => Cause::ServerWithoutTls {
            mode: address.ssl.mode.as_str(),
        },
        Err(_) if address.password.is_none() => Cause::PasswordMissing,
        Err(source) => Cause::Login(source.to_string()),
    }
}

fn is_abrupt(failure: &io::Error) -> bool {
    matches!(
        failure.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

fn demands_tls(address: &DatabaseAddress) -> bool {
    !address.is_unix_socket() && !matches!(address.ssl.mode, SslMode::Disable | SslMode::Prefer)
}

fn classify_tls(error: &rustls::Error) -> Cause {
    if let Some(problem) = certificate::from_rustls(error) {
        return Cause::Certificate(problem);
    }
    match error {
        // The alerts by which a server refuses the certificate of a client (RFC 8446, section 6.2).
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired),
        ) => Cause::ClientCertificate(format!("alert {alert:?}")),
        other => Cause::Tls(other.to_string()),
    }
}

fn classify_io(failure: io::Error, address: &DatabaseAddress) -> Cause {
    let path = || Path::new(&address.host).join(format!(".s.PGSQL.{}", address.port));
    match failure.kind() {
        io::ErrorKind::NotFound if address.is_unix_socket() => Cause::NoSocket { path: path() },
        io::ErrorKind::PermissionDenied if address.is_unix_socket() => {
            Cause::SocketForbidden { path: path() }
        }
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Cause::Closed,
        // SCRAM reports so that the server could not prove to know the password.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Cause::Login(failure.to_string())
        }
        _ => Cause::Network(failure),
    }
}

fn classify_refusal(refusal: Box<DbError>, address: &DatabaseAddress, handshake: &Handshake) -> Cause {
    let state = refusal.code();
    if *state == SqlState::INVALID_PASSWORD {
        return Cause::WrongPassword(refusal);
    }
    if *state == SqlState::INVALID_CATALOG_NAME {
        return Cause::UnknownDatabase(refusal);
    }
    if *state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
        return match refusal.routine() {
            // pg_hba.conf refused before any method was tried. The name of the function in the server is not
            // translated, unlike its message.
            Some("ClientAuthentication") if refusal.message().contains("client certificate") => {
                Cause::ClientCertificate(refusal.message().to_owned())
            }
            Some("ClientAuthentication") if !handshake.completed() && !address.is_unix_socket() => {
                Cause::TlsRequired(refusal)
            }
            Some("InitializeSessionUserId") => Cause::RoleMissing(refusal),
            _ => Cause::NotAdmitted(refusal),
        };
    }
    if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        return Cause::Forbidden(refusal);
    }
    if *state == SqlState::TOO_MANY_CONNECTIONS {
        return Cause::TooManyConnections(refusal);
    }
    // Class 57P: starting up, shutting down, in recovery, being dropped.
    if state.code().starts_with("57P") {
        return Cause::NotReady(refusal);
    }
    Cause::Server(refusal)
}
