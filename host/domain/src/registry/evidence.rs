//! What a manufacturing record says about the credential of its device.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::Digest;

/// What is known about the device's credential. Every part that is present must match what the device presents. A
/// credential that does not have such a part does not match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 of the certificate's DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<Digest>,
    /// SHA-256 of the public key's SubjectPublicKeyInfo, DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_sha256: Option<Digest>,
    /// The issuer of the certificate, in the form of RFC 4514.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_issuer: Option<String>,
    /// The serial number that this issuer gave the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_serial: Option<SerialNumber>,
    /// SHA-256 of the TPM's endorsement key (TPM2B_PUBLIC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsement_key_sha256: Option<Digest>,
    /// The certificate of the TPM's endorsement key, DER, for devices that do not send it. It is verified, not
    /// compared.
    #[serde(with = "serde_bytes", default, skip_serializing_if = "Option::is_none")]
    pub endorsement_certificate: Option<Vec<u8>>,
    /// The identity provider that issued the token (`iss`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_issuer: Option<String>,
    /// The subject of the token (`sub`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_subject: Option<String>,
}

impl Evidence {
    /// The parts that a credential must have, with the value of each.
    pub fn demands(&self) -> impl Iterator<Item = (Part, String)> {
        let digest = |digest: &Option<Digest>| digest.map(|digest| digest.to_string());
        [
            (Part::Certificate, digest(&self.certificate_sha256)),
            (Part::PublicKey, digest(&self.public_key_sha256)),
            (Part::CertificateIssuer, self.certificate_issuer.clone()),
            (Part::CertificateSerial, self.certificate_serial.as_ref().map(ToString::to_string)),
            (Part::EndorsementKey, digest(&self.endorsement_key_sha256)),
            (Part::TokenIssuer, self.token_issuer.clone()),
            (Part::TokenSubject, self.token_subject.clone()),
        ]
        .into_iter()
        .filter_map(|(part, text)| Some((part, text?)))
    }
}

/// The names of evidence members, as import rows and records write them.
pub const EVIDENCE: [&str; 8] = [
    "certificateSha256",
    "publicKeySha256",
    "certificateIssuer",
    "certificateSerial",
    "endorsementKeySha256",
    "endorsementCertificate",
    "tokenIssuer",
    "tokenSubject",
];

/// A set of evidence members: one bit for each, in the order of [`EVIDENCE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceMembers(u8);

impl EvidenceMembers {
    /// Whether the set is empty.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The names of the members in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        EVIDENCE.into_iter().enumerate().filter(move |(at, _)| (self.0 >> at) & 1 == 1).map(|(_, name)| name)
    }
}

impl Evidence {
    /// The members that `stood` has and this evidence leaves out. Evidence about a replaced credential does not count:
    /// the certificate of an endorsement key is dropped with its key; public key, issuer and serial number are dropped
    /// with a certificate that is replaced; a certificate and its serial number are dropped with a public key that is
    /// replaced.
    pub fn leaves_out(&self, stood: &Self) -> EvidenceMembers {
        fn missing<T>(this: &Option<T>, stood: &Option<T>) -> bool {
            this.is_none() && stood.is_some()
        }
        fn same(this: Option<Digest>, stood: Option<Digest>) -> bool {
            this.is_none() || stood.is_none() || this == stood
        }
        let same_chip =
            self.endorsement_key_sha256.is_none() || self.endorsement_key_sha256 == stood.endorsement_key_sha256;
        let same_certificate = same(self.certificate_sha256, stood.certificate_sha256);
        let same_key = same(self.public_key_sha256, stood.public_key_sha256);
        let missing = [
            missing(&self.certificate_sha256, &stood.certificate_sha256) && same_key,
            missing(&self.public_key_sha256, &stood.public_key_sha256) && same_certificate,
            missing(&self.certificate_issuer, &stood.certificate_issuer) && same_certificate,
            missing(&self.certificate_serial, &stood.certificate_serial) && same_certificate && same_key,
            missing(&self.endorsement_key_sha256, &stood.endorsement_key_sha256),
            missing(&self.endorsement_certificate, &stood.endorsement_certificate) && same_chip,
            missing(&self.token_issuer, &stood.token_issuer),
            missing(&self.token_subject, &stood.token_subject),
        ];
        EvidenceMembers(missing.iter().rev().fold(0, |bits, missing| (bits << 1) | u8::from(*missing)))
    }

    /// This evidence, completed with the members of `stood` that it leaves out.
    #[must_use]
    pub fn over(&self, stood: &Self) -> Self {
        let left_out: Vec<&str> = self.leaves_out(stood).names().collect();
        /// The new value, or the earlier one if it is to be kept.
        fn kept<T: Clone>(new: &Option<T>, stood: &Option<T>, keeps: bool) -> Option<T> {
            new.clone().or_else(|| stood.clone().filter(|_| keeps))
        }
        let keeps = |name: &str| left_out.contains(&name);
        Self {
            certificate_sha256: kept(&self.certificate_sha256, &stood.certificate_sha256, keeps("certificateSha256")),
            public_key_sha256: kept(&self.public_key_sha256, &stood.public_key_sha256, keeps("publicKeySha256")),
            certificate_issuer: kept(&self.certificate_issuer, &stood.certificate_issuer, keeps("certificateIssuer")),
            certificate_serial: kept(&self.certificate_serial, &stood.certificate_serial, keeps("certificateSerial")),
            endorsement_key_sha256: kept(
                &self.endorsement_key_sha256,
                &stood.endorsement_key_sha256,
                keeps("endorsementKeySha256"),
            ),
            endorsement_certificate: kept(
                &self.endorsement_certificate,
                &stood.endorsement_certificate,
                keeps("endorsementCertificate"),
            ),
            token_issuer: kept(&self.token_issuer, &stood.token_issuer, keeps("tokenIssuer")),
            token_subject: kept(&self.token_subject, &stood.token_subject, keeps("tokenSubject")),
        }
    }
}

/// A part of a credential that a record can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate, by its SHA-256.
    Certificate,
    /// The public key, by its SHA-256.
    PublicKey,
    /// The certificate's issuer.
    CertificateIssuer,
    /// The certificate's serial number.
    CertificateSerial,
    /// The TPM's endorsement key, by its SHA-256.
    EndorsementKey,
    /// The token's issuer.
    TokenIssuer,
    /// The token's subject.
    TokenSubject,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PublicKey => "public key",
            Self::CertificateIssuer => "certificate issuer",
            Self::CertificateSerial => "certificate serial number",
            Self::EndorsementKey => "endorsement key",
            Self::TokenIssuer => "token issuer",
            Self::TokenSubject => "token subject",
        })
    }
}

/// The serial number of a certificate: hexadecimal digits in capitals, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SerialNumber(String);

/// The text is not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is 1 to 20 octets in hexadecimal digits, with or without colons between them")]
pub struct SerialNumberError;

impl SerialNumber {
    /// The number with these octets.
    pub fn of(octets: &[u8]) -> Self {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase();
        let digits: String = octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect();
        Self::plain(&digits)
    }

    fn plain(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(if digits.is_empty() { "0".to_owned() } else { digits.to_owned() })
    }
}

impl Ord for SerialNumber {
    /// Compared as numbers: without leading zeros, the longer text is the larger number.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for SerialNumber {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for SerialNumber {
    type Err = SerialNumberError;

    fn from_str(text: &str) -> Result<Self, SerialNumberError> {
        let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_uppercase()).collect();
        let fits = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let plain = Self::plain(&digits);
        // A number whose first bit is set has a zero octet before it.
        if fits && plain.0.len() <= 40 { Ok(plain) } else { Err(SerialNumberError) }
    }
}

impl TryFrom<String> for SerialNumber {
    type Error = SerialNumberError;

    fn try_from(text: String) -> Result<Self, SerialNumberError> {
        text.parse()
    }
}

impl From<SerialNumber> for String {
    fn from(number: SerialNumber) -> Self {
        number.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_evidence_is_known_and_can_be_kept() {
        let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
        let all = Evidence {
            certificate_sha256: Some(one),
            public_key_sha256: Some(one),
            certificate_issuer: Some("CN=A".to_owned()),
            certificate_serial: Some(SerialNumber::of(&[7])),
            endorsement_key_sha256: Some(one),
            endorsement_certificate: Some(vec![1]),
            token_issuer: Some("i".to_owned()),
            token_subject: Some("s".to_owned()),
        };
        let none = Evidence::default();
        assert_eq!(none.leaves_out(&all).names().collect::<Vec<_>>(), EVIDENCE);
        assert_eq!(none.over(&all), all);
        assert!(all.leaves_out(&none).is_none() && all.leaves_out(&all).is_none());
        let rest = Evidence { certificate_sha256: Some(other), token_subject: None, ..all.clone() };
        assert_eq!(rest.leaves_out(&all).names().collect::<Vec<_>>(), ["tokenSubject"]);
        assert_eq!(rest.over(&all), Evidence { certificate_sha256: Some(other), ..all.clone() });
        // The key has changed, so the certificate of the old key is dropped.
        let chip = Evidence { endorsement_key_sha256: Some(other), endorsement_certificate: None, ..all.clone() };
        assert!(chip.leaves_out(&all).is_none());
        assert_eq!(chip.over(&all), chip);
    }

    #[test]
    fn what_was_true_of_another_certificate_or_key_does_not_stay() {
        let stood = Evidence {
            certificate_sha256: Some(Digest::of(b"old certificate")),
            public_key_sha256: Some(Digest::of(b"old key")),
            certificate_issuer: Some("CN=Line 1".to_owned()),
            certificate_serial: Some(SerialNumber::of(&[7])),
            token_issuer: Some("https://id.example".to_owned()),
            ..Evidence::default()
        };
        let renewed = Evidence { certificate_sha256: Some(Digest::of(b"new certificate")), ..Evidence::default() };
        let other_issuer = Evidence { token_issuer: stood.token_issuer.clone(), ..renewed.clone() };
        assert_eq!(renewed.over(&stood), other_issuer);
        assert!(renewed.leaves_out(&stood).names().eq(["tokenIssuer"]));
        let rekeyed = Evidence { public_key_sha256: Some(Digest::of(b"new key")), ..Evidence::default() };
        let expected = Evidence {
            certificate_issuer: stood.certificate_issuer.clone(),
            token_issuer: stood.token_issuer.clone(),
            ..rekeyed.clone()
        };
        assert_eq!(rekeyed.over(&stood), expected);
        assert_eq!(Evidence::default().over(&stood), stood);
        let same = Evidence { certificate_sha256: stood.certificate_sha256, ..Evidence::default() };
        assert_eq!(same.over(&stood), stood);
    }

    #[test]
    fn serial_numbers_are_equal_however_tools_write_them() {
        let number = SerialNumber::of(&[0, 0x0a, 0xbc]);
        for text in ["ABC", "abc", "0abc", "00:0A:bc", "0ABC"] {
            assert_eq!(text.parse(), Ok(number.clone()), "{text}");
        }
        assert_eq!(SerialNumber::of(&[0]), "00".parse().unwrap());
        let order = ["0", "9", "A", "FF", "100", "1FF"].map(|text| text.parse::<SerialNumber>().unwrap());
        assert!(order.is_sorted());
        for bad in ["", ":", "xyz", "0x1", "-1", &"f".repeat(41)] {
            assert_eq!(bad.parse::<SerialNumber>(), Err(SerialNumberError), "{bad}");
        }
    }
}
