//! The device's own certificate: what it says of the device.

use landfall_domain::names::{Digest, RegistrationId};
use landfall_domain::registry::SerialNumber;
use serde::Serialize;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry as oid;

use super::certificate::{Certificate, moment};
use super::chain::MAX_CHAIN_BYTES;
use super::error::{ChainError, Flaw, Which};
use super::key;
use super::name::{self, CommonNameError};

/// The device's own certificate.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub(super) certificate: Certificate,
    info: CertificateInfo,
    registration_id: Result<RegistrationId, CommonNameError>,
    /// `o`, `ou`, `serialnumber`, as far as the subject has exactly one of it.
    subject_parts: Vec<(&'static str, String)>,
}

/// A certificate as DPS's answers describe it (`X509CertificateInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct CertificateInfo {
    /// The subject, as RFC 4514 writes names.
    pub subject_name: String,
    /// SHA-1 of the DER, 40 hex digits in capitals. For people who search for it; nothing here compares it.
    pub sha1_thumbprint: String,
    /// SHA-256 of the DER, 64 hex digits in capitals.
    pub sha256_thumbprint: String,
    /// The issuer, as RFC 4514 writes names.
    pub issuer_name: String,
    pub not_before_utc: String,
    pub not_after_utc: String,
    /// Hexadecimal, in capitals.
    pub serial_number: String,
    /// 3 for all certificates of this century.
    pub version: u32,
}

impl Leaf {
    pub(super) fn read(der: &[u8]) -> Result<Self, ChainError> {
        let take = |parsed: &X509Certificate<'_>| (name::registration_id(parsed.subject()), subject_parts(parsed));
        let (certificate, (registration_id, subject_parts)) =
            Certificate::read_with(der, take).map_err(|flaw: Flaw| ChainError::flawed(Which::Leaf, flaw))?;
        Ok(Self { info: describe(&certificate), certificate, registration_id, subject_parts })
    }

    /// SHA-256 of the certificate's DER.
    pub fn sha256(&self) -> Digest {
        self.certificate.sha256
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the same for all certificates of one key.
    pub fn spki_sha256(&self) -> Digest {
        self.certificate.key.spki_sha256
    }

    /// The number that its issuer has given it.
    pub fn serial(&self) -> SerialNumber {
        SerialNumber::of(&self.certificate.serial)
    }

    /// The certificate as DPS's answers describe it.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    /// The subject, as RFC 4514 writes names.
    pub fn subject(&self) -> &str {
        &self.certificate.subject_text
    }

    /// The issuer, as RFC 4514 writes names.
    pub fn issuer(&self) -> &str {
        &self.certificate.issuer_text
    }

    /// What a policy may know of a proven certificate: keys that begin with `x509.`, in the order of the keys, each
    /// at most once.
    pub fn claims(&self) -> Vec<(String, String)> {
        let certificate = &self.certificate;
        let mut claims = vec![
            ("x509.issuer".to_owned(), certificate.issuer_text.clone()),
            ("x509.not-after".to_owned(), moment(certificate.not_after)),
            ("x509.serial".to_owned(), SerialNumber::of(&certificate.serial).to_string()),
            ("x509.sha256".to_owned(), certificate.sha256.to_string()),
            ("x509.spki-sha256".to_owned(), certificate.key.spki_sha256.to_string()),
            ("x509.subject".to_owned(), certificate.subject_text.clone()),
        ];
        claims.extend(self.subject_parts.iter().map(|(part, value)| (format!("x509.subject.{part}"), value.clone())));
        claims.sort();
        claims
    }

    /// The device that the certificate names: the one CN of its subject.
    ///
    /// # Errors
    ///
    /// [`ChainError::CommonName`] when there is not exactly one, or it is not a registration id in plain text.
    pub fn registration_id(&self) -> Result<RegistrationId, ChainError> {
        self.registration_id.clone().map_err(ChainError::from)
    }
}

/// The key of a device's certificate, as SubjectPublicKeyInfo in DER, where it is one that is accepted here. There is
/// no [`PresentedChain`](super::PresentedChain) of any other: both ask the same reader and the same rule.
pub fn provable_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = small(der)?;
    let key = parsed.public_key();
    key::check(key).ok().map(|()| key.raw.to_vec())
}

/// What a log says of a certificate that was shown, before anything of it is proven: cut, so that nobody fills the log.
pub fn for_the_log(der: &[u8]) -> String {
    let cn = small(der).and_then(|(_, parsed)| {
        let cn = parsed.subject().iter_common_name().next()?;
        name::any_text(cn.attr_value()).map(|text| text.chars().take(MAX_LOGGED).collect::<String>())
    });
    let sha256 = Digest::of(der);
    match cn {
        Some(cn) => format!("CN {cn:?}, SHA-256 {sha256}"),
        None => format!("SHA-256 {sha256}, without a CN"),
    }
}

/// A certificate that is not too large to be read.
fn small(der: &[u8]) -> Option<(&[u8], X509Certificate<'_>)> {
    if der.len() > MAX_CHAIN_BYTES {
        return None;
    }
    X509Certificate::from_der(der).ok()
}

/// As long as a registration id may be.
const MAX_LOGGED: usize = 128;

fn subject_parts(parsed: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let parts = [
        ("o", oid::OID_X509_ORGANIZATION_NAME),
        ("ou", oid::OID_X509_ORGANIZATIONAL_UNIT),
        ("serialnumber", oid::OID_X509_SERIALNUMBER),
    ];
    parts.into_iter().filter_map(|(part, kind)| Some((part, name::only_value(parsed.subject(), &kind)?))).collect()
}

fn describe(certificate: &Certificate) -> CertificateInfo {
    let digest = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let sha1 = aws_lc_rs::digest::digest(digest, &certificate.der);
    CertificateInfo {
        subject_name: certificate.subject_text.clone(),
        sha1_thumbprint: name::hex(sha1.as_ref()).to_uppercase(),
        sha256_thumbprint: name::hex(certificate.sha256.as_bytes()).to_uppercase(),
        issuer_name: certificate.issuer_text.clone(),
        not_before_utc: moment(certificate.not_before),
        not_after_utc: moment(certificate.not_after),
        serial_number: SerialNumber::of(&certificate.serial).to_string(),
        version: certificate.version,
    }
}
