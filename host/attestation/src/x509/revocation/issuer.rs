//! An issuer of certificates: a name and a key. The issuer's own certificates may change.

use landfall_domain::names::Digest;
use serde::{Deserialize, Serialize};

use super::super::certificate::Certificate;
use super::super::signature;

/// An issuer, identified by one of its certificates: this contains its name, and the key that verifies its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// One of the issuer's certificates, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
}

impl Issuer {
    /// The issuer that owns this certificate. Only the form of the certificate is checked.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::read(der).ok()?;
        Some(Self { key: certificate.key.spki_sha256, certificate: der.to_vec() })
    }

    /// Whether both are the same issuer, even if their certificates differ.
    pub fn is(&self, other: &Self) -> bool {
        let read = |issuer: &Self| Certificate::read(&issuer.certificate).ok();
        self.certificate == other.certificate
            || (self.key == other.key
                && read(self).zip(read(other)).is_some_and(|(one, other)| one.subject == other.subject))
    }

    /// Whether the issuer is a root: its certificate is signed with its own key and names itself as the issuer.
    pub fn is_root(&self) -> bool {
        issued(&self.certificate, &self.certificate)
    }

    /// The issuer's name, as RFC 4514 writes names.
    pub fn name(&self) -> String {
        Certificate::read(&self.certificate).map(|certificate| certificate.subject_text).unwrap_or_default()
    }
}

/// Whether `by` issued `certificate`: the issuer's name fits, and the signature is valid. Both are DER.
pub fn issued(by: &[u8], certificate: &[u8]) -> bool {
    let read = |der: &[u8]| Certificate::read(der).ok();
    read(by).zip(read(certificate)).is_some_and(|(by, certificate)| has_issued(&by, &certificate))
}

pub(super) fn has_issued(by: &Certificate, certificate: &Certificate) -> bool {
    certificate.issuer == by.subject && signature::signed_by(certificate, &by.key)
}
