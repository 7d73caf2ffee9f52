//! Who issues certificates: a name and a key. Its own certificates come and go.

use landfall_domain::names::Digest;
use serde::{Deserialize, Serialize};

use super::super::certificate::Certificate;
use super::super::signature;

/// An issuer, known by one of its certificates: that one has its name, and the key by which its signatures are verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// One of its certificates, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
}

impl Issuer {
    /// The issuer whose certificate this is. Nothing but its form is judged.
    pub fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::read(der).ok()?;
        Some(Self { key: certificate.key.spki_sha256, certificate: der.to_vec() })
    }

    /// Whether both are one issuer, whatever certificates they show.
    pub fn is(&self, other: &Self) -> bool {
        let read = |issuer: &Self| Certificate::read(&issuer.certificate).ok();
        self.certificate == other.certificate
            || (self.key == other.key
                && read(self).zip(read(other)).is_some_and(|(one, other)| one.subject == other.subject))
    }

    /// Whether nobody stands above it: its own key has signed its certificate, under its own name.
    pub fn is_root(&self) -> bool {
        issued(&self.certificate, &self.certificate)
    }

    /// Its name, as RFC 4514 writes names.
    pub fn name(&self) -> String {
        Certificate::read(&self.certificate).map(|certificate| certificate.subject_text).unwrap_or_default()
    }
}

/// Whether one certificate's issuer is the other's subject and has signed it; both in DER.
pub fn issued(by: &[u8], certificate: &[u8]) -> bool {
    let read = |der: &[u8]| Certificate::read(der).ok();
    read(by).zip(read(certificate)).is_some_and(|(by, certificate)| has_issued(&by, &certificate))
}

pub(super) fn has_issued(by: &Certificate, certificate: &Certificate) -> bool {
    certificate.issuer == by.subject && signature::signed_by(certificate, &by.key)
}
