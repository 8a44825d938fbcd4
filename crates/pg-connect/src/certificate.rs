//! What can be wrong with a server's certificate.

use rustls::CertificateError;
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Why the server's certificate was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// No trusted authority has signed it.
    #[error("the server's certificate is signed by an authority that is not trusted: {issuer}")]
    UnknownAuthority {
        /// The issuer's distinguished name.
        issuer: String,
    },
    /// It, or the authority that signed it, is past its end.
    #[error("{whose} expired on {not_after}")]
    Expired {
        /// "the server's certificate" or "the authority …".
        whose: String,
        /// Last second of validity.
        not_after: String,
    },
    /// It, or the authority that signed it, is valid only later.
    #[error("{whose} is valid only from {not_before}")]
    NotYetValid {
        /// "the server's certificate" or "the authority …".
        whose: String,
        /// First second of validity.
        not_before: String,
    },
    /// It is for other hosts.
    #[error("the server's certificate is for {}, not for {host}", list(.names))]
    WrongHostName {
        /// The host that was asked for.
        host: String,
        /// The names that could have matched.
        names: Vec<String>,
    },
    /// X.509 version 1 knows no extensions; the verifier handles version 3 only.
    #[error("the server's certificate is of X.509 version 1, which cannot be verified here (libpq would)")]
    Version1,
    /// It is an authority's certificate, and not one that is trusted as it is.
    #[error(
        "the server's certificate is marked as an authority (CA:TRUE), which a server's must not be (libpq would accept it)"
    )]
    IsAuthority,
    /// It may not be used by a server.
    #[error("the server's certificate is not for servers (extended key usage lacks serverAuth)")]
    NotForServers,
    /// The other side showed it without being able to sign with its key.
    #[error("the server does not hold the key of the certificate it shows (bad handshake signature)")]
    KeyNotHeld,
    /// Anything else.
    #[error("the server's certificate is not acceptable: {0}")]
    Other(String),
}

impl CertificateProblem {
    /// What to do about it.
    pub(crate) fn cure(&self) -> &'static str {
        match self {
            Self::UnknownAuthority { .. } => {
                "put the certificate of the authority that signed the server's into the sslrootcert file, or check that this is the right server"
            }
            Self::Expired { .. } => "renew the certificate on the server, and check this machine's clock",
            Self::NotYetValid { .. } => "check the clocks of this machine and of the server",
            Self::WrongHostName { .. } => {
                "use a host name the certificate names, have a certificate issued for this host, or use sslmode=verify-ca if the authority signs for this database only"
            }
            Self::Version1 => {
                "have the certificate issued again as version 3, for example with a subjectAltName"
            }
            Self::IsAuthority => {
                "have it issued again with CA:FALSE, or put this very certificate into the sslrootcert file if it is self-signed"
            }
            Self::NotForServers => "have it issued again with extendedKeyUsage serverAuth",
            Self::KeyNotHeld => {
                "somebody may be posing as the server: do not lower sslmode, find out who answers at this address"
            }
            Self::Other(_) => "check the server's ssl_cert_file",
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "no host at all".to_owned()
    } else {
        names.join(", ")
    }
}

/// Reads a certificate for what rustls does not tell: names, dates, issuer.
pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Certificate, CertificateProblem> {
    Certificate::from_der(der).map_err(|error| CertificateProblem::Other(format!("unreadable: {error}")))
}

/// Wraps the problem so that it comes back whole from rustls.
pub(crate) fn into_rustls(problem: CertificateProblem) -> rustls::Error {
    CertificateError::Other(rustls::OtherError(std::sync::Arc::new(problem))).into()
}

/// The inverse of [`into_rustls`].
pub(crate) fn from_rustls(error: &rustls::Error) -> Option<CertificateProblem> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.0.downcast_ref::<CertificateProblem>().cloned()
        }
        rustls::Error::InvalidCertificate(other) => Some(CertificateProblem::Other(other.to_string())),
        _ => None,
    }
}
