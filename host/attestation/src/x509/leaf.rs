//! The device's own certificate, and what it says about the device.

use landfall_domain::names::{Digest, RegistrationId};
use landfall_domain::registry::SerialNumber;
use landfall_domain::text::hex;
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
    /// `o`, `ou` and `serialnumber`, if the subject has exactly one of the attribute.
    subject_parts: Vec<(&'static str, String)>,
}

/// A certificate in the form of DPS's answers (`X509CertificateInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct CertificateInfo {
    /// The subject, as RFC 4514 writes names.
    pub subject_name: String,
    /// SHA-1 of the DER, 40 hexadecimal digits in capitals. It is shown because people search for it; it is never
    /// compared.
    pub sha1_thumbprint: String,
    /// SHA-256 of the DER, 64 hexadecimal digits in capitals.
    pub sha256_thumbprint: String,
    /// The issuer, as RFC 4514 writes names.
    pub issuer_name: String,
    pub not_before_utc: String,
    pub not_after_utc: String,
    /// The serial number, in hexadecimal digits in capitals.
    pub serial_number: String,
    /// The version, which is 3 for every current certificate.
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

    /// SHA-256 of the SubjectPublicKeyInfo. It is the same for all certificates of one key.
    pub fn spki_sha256(&self) -> Digest {
        self.certificate.key.spki_sha256
    }

    /// The certificate's serial number.
    pub fn serial(&self) -> SerialNumber {
        SerialNumber::of(&self.certificate.serial)
    }

    /// The certificate in the form of DPS's answers.
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

    /// The claims of a proven certificate that a policy is told. Their names begin with `x509.`; they are sorted by
    /// name, and each occurs at most once.
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

    /// The registration id: the only CN of the subject.
    ///
    /// # Errors
    ///
    /// [`ChainError::CommonName`] when there is not exactly one CN, or it is not a registration id in plain text.
    pub fn registration_id(&self) -> Result<RegistrationId, ChainError> {
        self.registration_id.clone().map_err(ChainError::from)
    }
}

/// The public key of a device's certificate, as SubjectPublicKeyInfo in DER, if the key is accepted. There is no
/// [`PresentedChain`](super::PresentedChain) with another key: both use the same parser and the same rule.
pub fn provable_key(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = small(der)?;
    let key = parsed.public_key();
    key::check(key).ok().map(|()| key.raw.to_vec())
}

/// A description of a presented certificate for the log, before anything is proven. It is cut, so that nobody can fill
/// the log.
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

/// Parses a certificate, unless it is too large.
fn small(der: &[u8]) -> Option<(&[u8], X509Certificate<'_>)> {
    if der.len() > MAX_CHAIN_BYTES {
        return None;
    }
    X509Certificate::from_der(der).ok()
}

/// Maximum length of a text in the description: the length of a registration id.
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
        sha1_thumbprint: hex(sha1.as_ref()).to_uppercase(),
        sha256_thumbprint: hex(certificate.sha256.as_bytes()).to_uppercase(),
        issuer_name: certificate.issuer_text.clone(),
        not_before_utc: moment(certificate.not_before),
        not_after_utc: moment(certificate.not_after),
        serial_number: SerialNumber::of(&certificate.serial).to_string(),
        version: certificate.version,
    }
}
