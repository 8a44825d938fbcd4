//! Certificates, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType, SigningKey as _, date_time_ymd,
};
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode as _, Encode as _, EncodePem as _};

pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate with its key, as PEM; the chain begins with the certificate itself.
pub struct Leaf {
    pub chain: String,
    pub key: String,
}

/// A self-signed authority.
pub fn authority(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

/// A self-signed certificate that may not sign others, used as if it might.
pub fn not_an_authority(params: CertificateParams) -> Authority {
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority that expired in 2021.
pub fn expired_authority(name: &str) -> Authority {
    let mut params = authority_params(name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority signed by another.
pub fn intermediate(name: &str, by: &Authority) -> Authority {
    CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), by).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// A request with this common name and these alternative names; IP addresses become IP names.
pub fn named(common_name: &str, alternative: &[&str]) -> CertificateParams {
    let names: Vec<String> = alternative.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// An IP address spelled as a DNS name.
pub fn dns_name(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// `params` signed by `by`.
pub fn signed(params: CertificateParams, by: &Authority) -> Leaf {
    let key = KeyPair::generate().unwrap();
    Leaf {
        chain: params.signed_by(&key, by).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// `params` signed by itself.
pub fn self_signed(params: CertificateParams) -> Leaf {
    let key = KeyPair::generate().unwrap();
    Leaf {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// A certificate with a key on the larger curve.
pub fn p384(params: CertificateParams, by: &Authority) -> Leaf {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    Leaf {
        chain: params.signed_by(&key, by).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// `params` for servers that were yesterday's.
pub fn expired(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params
}

/// `params` that become valid long after this test.
pub fn future(mut params: CertificateParams) -> CertificateParams {
    (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
    params
}

/// `params` with the mark of an authority, as `openssl req -x509` sets it.
pub fn marked_as_authority(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// `params` that may be used by clients only.
pub fn for_clients(mut params: CertificateParams) -> CertificateParams {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// X.509 version 1, as `openssl x509 -req` long made it: no extensions, so only a common name.
pub fn version_1(params: CertificateParams, by: &Authority) -> Leaf {
    let key = KeyPair::generate().unwrap();
    let modern = params.signed_by(&key, by).unwrap();
    let mut certificate = x509_cert::Certificate::from_der(modern.der()).unwrap();
    certificate.tbs_certificate.version = x509_cert::Version::V1;
    certificate.tbs_certificate.extensions = None;
    let signature = by
        .key()
        .sign(&certificate.tbs_certificate.to_der().unwrap())
        .unwrap();
    certificate.signature = BitString::from_bytes(&signature).unwrap();
    Leaf {
        chain: certificate.to_pem(x509_cert::der::pem::LineEnding::LF).unwrap(),
        key: key.serialize_pem(),
    }
}
