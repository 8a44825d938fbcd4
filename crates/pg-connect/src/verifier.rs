//! The check of the server's certificate, as libpq (with OpenSSL) does it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::der::Encode as _;
use x509_cert::der::oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_SERVER_AUTH};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::time::Validity;
use x509_cert::{Certificate, Version};

use crate::certificate::{CertificateProblem, into_rustls, parse};
use crate::handshake::{Handshake, TlsVersion, Verified};
use crate::names;

/// One certificate of the root file.
#[derive(Debug)]
struct Known {
    der: CertificateDer<'static>,
    certificate: Certificate,
}

impl Known {
    fn read(der: CertificateDer<'static>) -> Result<Self, CertificateProblem> {
        let certificate = parse(&der)?;
        let known = Self { der, certificate };
        if known.is_self_signed() {
            // What cannot be used later is better said now.
            RootCertStore::empty().add(known.der.clone()).map_err(|error| {
                let subject = &known.certificate.tbs_certificate.subject;
                CertificateProblem::Other(format!("{subject}: {error}"))
            })?;
        }
        Ok(known)
    }

    /// Whether it may sign others: OpenSSL's `X509_check_ca`, which webpki does not ask of an anchor.
    fn may_sign(&self) -> bool {
        let certificate = &self.certificate.tbs_certificate;
        let Ok(usage) = certificate.get::<KeyUsage>() else {
            return false;
        };
        if usage
            .as_ref()
            .is_some_and(|(_critical, usage)| !usage.key_cert_sign())
        {
            return false;
        }
        match certificate.get::<BasicConstraints>() {
            Ok(Some((_critical, constraints))) => constraints.ca,
            Ok(None) => certificate.version == Version::V1 || usage.is_some(),
            Err(_unreadable) => false,
        }
    }

    fn is_self_signed(&self) -> bool {
        self.certificate.tbs_certificate.subject == self.certificate.tbs_certificate.issuer
    }

    fn is_valid_at(&self, now: Duration) -> bool {
        validity_problem(&self.certificate.tbs_certificate.validity, now, String::new()).is_none()
    }
}

/// The root file: self-signed certificates end a chain, all others only help to build it, as in OpenSSL.
#[derive(Debug)]
pub(crate) struct Authorities {
    anchors: Vec<Known>,
    helpers: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Sorts the certificates of a root file.
    pub(crate) fn new(file: Vec<CertificateDer<'static>>) -> Result<Self, CertificateProblem> {
        let known = file.into_iter().map(Known::read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::sort(known))
    }

    /// Sorts this machine's authorities; one that cannot be read is left out, for nobody here can mend it.
    pub(crate) fn from_system(found: Vec<CertificateDer<'static>>) -> Self {
        Self::sort(found.into_iter().filter_map(|der| Known::read(der).ok()))
    }

    fn sort(known: impl IntoIterator<Item = Known>) -> Self {
        let (anchors, others): (Vec<_>, Vec<_>) = known.into_iter().partition(Known::is_self_signed);
        Self {
            anchors,
            helpers: others.into_iter().map(|known| known.der).collect(),
        }
    }

    /// Whether a chain can end here at all.
    pub(crate) fn has_anchor(&self) -> bool {
        !self.anchors.is_empty()
    }
}

/// What is demanded of the server's certificate.
#[derive(Debug)]
pub(crate) struct Check {
    authorities: Option<Authorities>,
    compare_name: bool,
}

impl Check {
    pub(crate) fn new(authorities: Option<Authorities>, compare_name: bool) -> Self {
        Self {
            authorities,
            compare_name,
        }
    }

    /// What a certificate that passes has proved.
    pub(crate) fn verified(&self) -> Verified {
        match (&self.authorities, self.compare_name) {
            (None, _) => Verified::Nothing,
            (Some(_), false) => Verified::Authority,
            (Some(_), true) => Verified::AuthorityAndName,
        }
    }

    fn run(
        &self,
        provider: &CryptoProvider,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        host: &str,
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let Some(authorities) = &self.authorities else {
            return Ok(());
        };
        let certificate = parse(leaf)?;
        check_authority(authorities, provider, leaf, &certificate, sent, now)?;
        if self.compare_name {
            names::matches(&certificate, host).map_err(|names| CertificateProblem::WrongHostName {
                host: host.to_owned(),
                names,
            })?;
        }
        Ok(())
    }
}

fn check_authority(
    authorities: &Authorities,
    provider: &CryptoProvider,
    leaf: &CertificateDer<'_>,
    certificate: &Certificate,
    sent: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), CertificateProblem> {
    let time = Duration::from_secs(now.as_secs());
    // Before the chain, so that the message has the date.
    let whose = "the server's certificate".to_owned();
    if let Some(problem) = validity_problem(&certificate.tbs_certificate.validity, time, whose) {
        return Err(problem);
    }
    // A self-signed certificate that is its own root: being the very bytes we trust is all the proof there can be.
    // webpki refuses it when it is marked as an authority, which `openssl req -x509` does.
    if authorities.anchors.iter().any(|anchor| anchor.der == *leaf) {
        return if is_for_servers(certificate)? {
            Ok(())
        } else {
            Err(CertificateProblem::NotForServers)
        };
    }
    if certificate.tbs_certificate.version != Version::V3 {
        return Err(CertificateProblem::Version1);
    }

    // webpki looks neither at the dates of an anchor nor at its right to sign; OpenSSL does.
    let mut roots = RootCertStore::empty();
    for anchor in authorities
        .anchors
        .iter()
        .filter(|anchor| anchor.is_valid_at(time) && anchor.may_sign())
    {
        roots.add(anchor.der.clone()).map_err(|error| {
            CertificateProblem::Other(format!(
                "the root certificate {}: {error}",
                anchor.certificate.tbs_certificate.subject
            ))
        })?;
    }
    let intermediates: Vec<CertificateDer<'_>> = sent
        .iter()
        .chain(&authorities.helpers)
        .map(|der| CertificateDer::from(der.as_ref()))
        .collect();
    let parsed =
        ParsedCertificate::try_from(leaf).map_err(|error| CertificateProblem::Other(error.to_string()))?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &intermediates, now, algorithms)
        .map_err(|error| explain(&error, authorities, certificate, time))
}

/// rustls's verdict in our words.
fn explain(
    error: &Error,
    authorities: &Authorities,
    leaf: &Certificate,
    now: Duration,
) -> CertificateProblem {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            let issuer = &leaf.tbs_certificate.issuer;
            let expired = authorities
                .anchors
                .iter()
                .map(|anchor| &anchor.certificate.tbs_certificate)
                .filter(|anchor| anchor.subject == *issuer)
                .find_map(|anchor| {
                    validity_problem(&anchor.validity, now, format!("the authority {issuer}"))
                });
            expired.unwrap_or_else(|| CertificateProblem::UnknownAuthority {
                issuer: issuer.to_string(),
            })
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => CertificateProblem::UnknownAuthority {
            issuer: leaf.tbs_certificate.issuer.to_string(),
        },
        Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        ) => CertificateProblem::NotForServers,
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            CertificateProblem::Other(format!("an authority between it and the root: {error}"))
        }
        // rustls hands webpki's CaUsedAsEndEntity through as text only.
        Error::InvalidCertificate(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            CertificateProblem::IsAuthority
        }
        other => CertificateProblem::Other(other.to_string()),
    }
}

fn validity_problem(validity: &Validity, now: Duration, whose: String) -> Option<CertificateProblem> {
    if now > validity.not_after.to_unix_duration() {
        return Some(CertificateProblem::Expired {
            whose,
            not_after: validity.not_after.to_string(),
        });
    }
    if now < validity.not_before.to_unix_duration() {
        return Some(CertificateProblem::NotYetValid {
            whose,
            not_before: validity.not_before.to_string(),
        });
    }
    None
}

fn is_for_servers(certificate: &Certificate) -> Result<bool, CertificateProblem> {
    let usage = certificate
        .tbs_certificate
        .get::<ExtendedKeyUsage>()
        .map_err(|error| CertificateProblem::Other(format!("unreadable: {error}")))?;
    Ok(usage.is_none_or(|(_critical, purposes)| {
        purposes.0.contains(&ID_KP_SERVER_AUTH) || purposes.0.contains(&ANY_EXTENDED_KEY_USAGE)
    }))
}

/// A bad signature on the handshake itself: the other side shows a certificate whose key it does not have.
fn name_impostor(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            into_rustls(CertificateProblem::KeyNotHeld)
        }
        other => other,
    }
}

/// The verifier of one handshake. Signatures are verified in every mode.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    check: Arc<Check>,
    provider: Arc<CryptoProvider>,
    handshake: Arc<Handshake>,
}

impl ServerVerifier {
    pub(crate) fn new(check: Arc<Check>, provider: Arc<CryptoProvider>, handshake: Arc<Handshake>) -> Self {
        Self {
            check,
            provider,
            handshake,
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check
            .run(&self.provider, leaf, sent, &host.to_str(), now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(into_rustls)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.handshake.saw_version(TlsVersion::Tls12);
        // webpki says only that it cannot read it.
        if parse(leaf).is_ok_and(|old| old.tbs_certificate.version != Version::V3) {
            return Err(into_rustls(CertificateProblem::Version1));
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms).map_err(name_impostor)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.handshake.saw_version(TlsVersion::Tls13);
        let algorithms = &self.provider.signature_verification_algorithms;
        // webpki reads version 3 certificates only; of an older one we take the key ourselves.
        match parse(leaf) {
            Ok(old) if old.tbs_certificate.version != Version::V3 => {
                let key = old
                    .tbs_certificate
                    .subject_public_key_info
                    .to_der()
                    .map_err(|error| {
                        into_rustls(CertificateProblem::Other(format!("unreadable key: {error}")))
                    })?;
                verify_tls13_signature_with_raw_key(
                    message,
                    &SubjectPublicKeyInfoDer::from(key),
                    signature,
                    algorithms,
                )
            }
            _ => verify_tls13_signature(message, leaf, signature, algorithms),
        }
        .map_err(name_impostor)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
