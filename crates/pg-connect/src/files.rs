//! The certificate files, and the TLS configuration made of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app_config::{Ssl, SslMode};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Cause, FileProblem};
use crate::handshake::{Handshake, RustlsConnector, Verified};
use crate::verifier::{Authorities, Check, ServerVerifier};

/// libpq's word for "the authorities this machine trusts", in place of a file.
const SYSTEM: &str = "system";

/// What every handshake of one connector shares.
#[derive(Debug)]
pub(crate) struct TlsSettings {
    config: ClientConfig,
    check: Arc<Check>,
    provider: Arc<CryptoProvider>,
}

impl TlsSettings {
    /// Reads the files that `ssl` names.
    pub(crate) fn read(ssl: &Ssl) -> Result<Self, Cause> {
        let provider = Arc::new(ring::default_provider());
        let check = Arc::new(Check::new(
            read_authorities(ssl)?,
            ssl.mode == SslMode::VerifyFull,
        ));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Cause::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(
                Arc::clone(&check),
                Arc::clone(&provider),
                Arc::default(),
            )));
        let mut config = match read_client_certificate(ssl)? {
            Some((path, chain, key)) => {
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| FileProblem::Invalid {
                        what: "client certificate (sslcert, sslkey)",
                        path,
                        reason: error.to_string(),
                    })?
            }
            None => builder.with_no_client_auth(),
        };
        // A resumed session is not verified again, and a pool opens too few connections to gain from it.
        config.resumption = Resumption::disabled();
        Ok(Self {
            config,
            check,
            provider,
        })
    }

    /// A connector for one attempt, whose verifier writes into `handshake`.
    pub(crate) fn connector(&self, handshake: &Arc<Handshake>) -> RustlsConnector {
        let mut config = self.config.clone();
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(ServerVerifier::new(
                Arc::clone(&self.check),
                Arc::clone(&self.provider),
                Arc::clone(handshake),
            )));
        RustlsConnector::new(config, handshake)
    }

    /// What a completed handshake has proved.
    pub(crate) fn verified(&self) -> Verified {
        self.check.verified()
    }
}

fn read_authorities(ssl: &Ssl) -> Result<Option<Authorities>, Cause> {
    match &ssl.root_cert {
        None => match ssl.mode {
            SslMode::VerifyCa | SslMode::VerifyFull => Err(Cause::RootCertificateMissing {
                mode: ssl.mode.as_str(),
            }),
            SslMode::Disable | SslMode::Prefer | SslMode::Require => Ok(None),
        },
        // Anybody can buy a certificate from a public authority: without the name it proves nothing.
        Some(path) if path == Path::new(SYSTEM) => match ssl.mode {
            SslMode::VerifyFull => system_authorities().map(Some),
            mode => Err(Cause::SystemRootsNeedVerifyFull { mode: mode.as_str() }),
        },
        Some(path) => {
            let what = "root certificate (sslrootcert)";
            let invalid = |reason: String| FileProblem::Invalid {
                what,
                path: path.clone(),
                reason,
            };
            let authorities = Authorities::new(read_certificates(what, path)?)
                .map_err(|error| invalid(error.to_string()))?;
            if !authorities.has_anchor() {
                let reason = "it holds no self-signed certificate, and a chain must end in one";
                return Err(invalid(reason.to_owned()).into());
            }
            Ok(Some(authorities))
        }
    }
}

fn system_authorities() -> Result<Authorities, Cause> {
    let found = rustls_native_certs::load_native_certs();
    let authorities = Authorities::from_system(found.certs);
    if authorities.has_anchor() {
        return Ok(authorities);
    }
    let reason = found
        .errors
        .first()
        .map_or_else(|| "none found".to_owned(), ToString::to_string);
    Err(Cause::NoSystemRoots { reason })
}

type ClientCertificate = (PathBuf, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_client_certificate(ssl: &Ssl) -> Result<Option<ClientCertificate>, Cause> {
    match (&ssl.cert, &ssl.key) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Cause::ClientCertificateIncomplete {
            given: "sslcert",
            missing: "sslkey",
        }),
        (None, Some(_)) => Err(Cause::ClientCertificateIncomplete {
            given: "sslkey",
            missing: "sslcert",
        }),
        (Some(cert), Some(key)) => {
            let chain = read_certificates("client certificate (sslcert)", cert)?;
            Ok(Some((cert.clone(), chain, read_key(key)?)))
        }
    }
}

fn read_certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let bytes = read_file(what, path)?;
    let invalid = |reason: String| FileProblem::Invalid {
        what,
        path: path.to_owned(),
        reason,
    };
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("not PEM: {error}")))?;
    if found.is_empty() {
        return Err(invalid("it holds no PEM block \"CERTIFICATE\"".to_owned()));
    }
    Ok(found)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileProblem> {
    let what = "client key (sslkey)";
    let bytes = read_file(what, path)?;
    check_key_permissions(what, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| FileProblem::Invalid {
        what,
        path: path.to_owned(),
        // The error never quotes the key.
        reason: format!("no PEM private key without a passphrase in it ({error})"),
    })
}

fn read_file(what: &'static str, path: &Path) -> Result<Vec<u8>, FileProblem> {
    fs::read(path).map_err(|source| FileProblem::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })
}

/// libpq's rule: nobody but the owner, or root's file readable by a group (0640).
#[cfg(unix)]
fn check_key_permissions(what: &'static str, path: &Path) -> Result<(), FileProblem> {
    use std::os::unix::fs::MetadataExt as _;

    let found = fs::metadata(path).map_err(|source| FileProblem::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })?;
    let forbidden = if found.uid() == 0 { 0o037 } else { 0o077 };
    if found.mode() & forbidden == 0 {
        return Ok(());
    }
    Err(FileProblem::Permissions {
        what,
        path: path.to_owned(),
        mode: found.mode() & 0o777,
    })
}

#[cfg(not(unix))]
fn check_key_permissions(_what: &'static str, _path: &Path) -> Result<(), FileProblem> {
    Ok(())
}
