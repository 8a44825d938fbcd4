//! Whether a certificate names a host, by libpq's rules.
//!
//! Source: `pgtls_verify_peer_name_matches_certificate_guts` and `wildcard_certificate_match` in PostgreSQL's
//! `src/interfaces/libpq/fe-secure-openssl.c` and `fe-secure-common.c`.

use std::net::IpAddr;

use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Compares `host` with the names in `certificate`; `Err` carries those names, for the message.
///
/// The common name counts only where no alternative name is of the host's own kind (DNS name or IP address).
pub(crate) fn matches(certificate: &Certificate, host: &str) -> Result<(), Vec<String>> {
    let ip: Option<IpAddr> = host.parse().ok();
    let mut presented = Vec::new();
    let mut common_name_counts = true;
    // An unreadable extension must not open the way to the common name.
    let alternative = certificate
        .tbs_certificate
        .get::<SubjectAltName>()
        .map_err(|_unreadable| Vec::new())?;
    for name in alternative.iter().flat_map(|(_critical, names)| &names.0) {
        match name {
            GeneralName::DnsName(dns) => {
                common_name_counts &= ip.is_some();
                if dns_name_matches(dns.as_str(), host) {
                    return Ok(());
                }
                presented.push(dns.as_str().to_owned());
            }
            GeneralName::IpAddress(octets) => {
                common_name_counts &= ip.is_none();
                let found = ip_from_octets(octets.as_bytes());
                if found.is_some() && found == ip {
                    return Ok(());
                }
                presented.extend(found.map(|ip| ip.to_string()));
            }
            _ => {}
        }
    }
    if let Some(name) = common_name(certificate) {
        if common_name_counts && dns_name_matches(&name, host) {
            return Ok(());
        }
        if common_name_counts {
            presented.push(name);
        }
    }
    Err(presented)
}

fn dns_name_matches(pattern: &str, host: &str) -> bool {
    // A NUL would cut the name short for other readers of the certificate.
    !pattern.contains('\0') && (pattern.eq_ignore_ascii_case(host) || wildcard_matches(pattern, host))
}

/// `*.` at the start stands for exactly one label; every other `*` is an ordinary character.
fn wildcard_matches(pattern: &str, host: &str) -> bool {
    let Some(suffix) = pattern
        .strip_prefix('*')
        .filter(|suffix| suffix.starts_with('.') && suffix.len() > 1)
    else {
        return false;
    };
    host.find('.')
        .and_then(|dot| host.get(dot..))
        .is_some_and(|rest| {
            // libpq wants at least one character before the dot.
            rest.len() < host.len() && rest.eq_ignore_ascii_case(suffix)
        })
}

fn ip_from_octets(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// The first common name of the subject, as libpq takes it.
fn common_name(certificate: &Certificate) -> Option<String> {
    let attribute = certificate
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|rdn| rdn.0.iter())
        .find(|attribute| attribute.oid == COMMON_NAME)?;
    let value = &attribute.value;
    Utf8StringRef::try_from(value)
        .map(|text| text.as_str().to_owned())
        .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str().to_owned()))
        .ok()
}
