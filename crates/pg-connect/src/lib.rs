//! Opens one PostgreSQL connection: Unix socket, plain TCP or TLS, with libpq's meaning of `sslmode`.
//!
//! A [`Connector`] is built once from a [`DatabaseAddress`](app_config::DatabaseAddress): it reads the certificate
//! files and refuses contradictions early. [`Connector::connect`] then opens as many connections as asked. The stream
//! type is the same for every kind of protection, so a pool holds them side by side.
//!
//! # What each mode demands
//! | mode | encryption | authority | host name |
//! |---|---|---|---|
//! | `disable` | never | - | - |
//! | `prefer` | where offered, else plain | only with a root certificate; a failure falls back to plain | no |
//! | `require` | always | only with a root certificate | no |
//! | `verify-ca` | always | always | no |
//! | `verify-full` | always | always | always |
//!
//! A Unix socket is never encrypted, whatever the mode says. Source:
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>. Where we are stricter than libpq, the message says so: a
//! certificate file that is named but missing is an error in every mode, a server certificate of X.509 version 1
//! passes no check of its authority, and neither does one marked as an authority unless it is its own root.

mod certificate;
mod classify;
mod connector;
mod error;
mod files;
mod handshake;
mod names;
mod statement_error;
mod verifier;

pub use certificate::CertificateProblem;
pub use connector::{ConnectOptions, Connected, Connector, Driver, TlsStream};
pub use error::{Cause, ConnectError, FileProblem};
pub use handshake::{Protection, TlsVersion, Verified};
pub use statement_error::{connection_lost, describe, loses_statements};
