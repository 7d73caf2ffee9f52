//! One certificate, read once into the facts that anything here decides on.

use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry as oid;

use super::error::Flaw;
use super::key::{self, KeyFlaw};
use super::name;
use super::signed::{self, Signed};
use crate::names::Digest;

/// The facts of one certificate. Nothing of it is trusted: what it says is judged by `strict` and `verify`.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) sha256: Digest,
    pub(super) version: u32,
    /// The octets of the serial number as they stand in the DER.
    pub(super) serial: Vec<u8>,
    /// DER of the subject; for comparison.
    pub(super) subject: Vec<u8>,
    /// DER of the issuer; for comparison.
    pub(super) issuer: Vec<u8>,
    pub(super) subject_text: String,
    pub(super) issuer_text: String,
    /// Seconds since 1970-01-01 UTC; certificates may begin before.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) key: Key,
    pub(super) signature: Signature,
    pub(super) extensions: Extensions,
}

/// The subject's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) spki_sha256: Digest,
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: Vec<u8>,
    pub(super) bits: Vec<u8>,
    pub(super) flaw: Option<KeyFlaw>,
}

/// The issuer's signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// What is signed.
    pub(super) tbs: Vec<u8>,
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: Vec<u8>,
    /// Its object identifier, for people.
    pub(super) algorithm_name: String,
    pub(super) value: Vec<u8>,
}

/// What the extensions say, as far as anything here decides on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    /// basicConstraints cA.
    pub(super) ca: bool,
    pub(super) path_length: Option<u32>,
    /// keyUsage: whether it has keyCertSign.
    pub(super) may_sign: Option<bool>,
    /// extendedKeyUsage.
    pub(super) purposes: Option<Purposes>,
    /// nameConstraints: whether they are critical.
    pub(super) name_constraints: Option<bool>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<Vec<u8>>,
    /// The first critical one that is not understood.
    pub(super) unknown_critical: Option<String>,
}

/// What extendedKeyUsage allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purposes {
    pub(super) clients: bool,
    /// To certify endorsement keys, and to be one's certificate.
    pub(super) endorsement: bool,
    /// Only the public suites of path validation ask for servers.
    #[cfg(test)]
    pub(super) servers: bool,
}

impl Certificate {
    /// Reads a certificate from its DER.
    pub(super) fn read(der: &[u8]) -> Result<Self, Flaw> {
        Self::read_with(der, |_| ()).map(|(certificate, ())| certificate)
    }

    /// Reads a certificate, and lets the caller take more from it while it is open.
    pub(super) fn read_with<T>(der: &[u8], more: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<(Self, T), Flaw> {
        let malformed = |what: &str| Flaw::Malformed(what.to_owned());
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| Flaw::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate"));
        }
        let tbs = parsed.tbs_certificate.as_ref();
        let Signed { algorithm, value } =
            signed::parts(der, tbs.len()).ok_or_else(|| malformed("its signature is not in DER"))?;
        let spki = parsed.public_key();
        let (_, spki_content) = Any::from_der(spki.raw).map_err(|_| malformed("its public key is no DER"))?;
        let (_, key_algorithm) =
            Any::from_der(spki_content.data).map_err(|_| malformed("its key's algorithm is no DER"))?;
        let certificate = Self {
            sha256: Digest::of(der),
            der: CertificateDer::from(der.to_vec()),
            version: parsed.version().0 + 1,
            serial: parsed.raw_serial().to_vec(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            subject_text: name::text(parsed.subject()),
            issuer_text: name::text(parsed.issuer()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            key: Key {
                spki_sha256: Digest::of(spki.raw),
                algorithm: key_algorithm.data.to_vec(),
                bits: spki.subject_public_key.data.to_vec(),
                flaw: key::check(spki).err(),
            },
            signature: Signature {
                tbs: tbs.to_vec(),
                algorithm: algorithm.to_vec(),
                algorithm_name: parsed.signature_algorithm.algorithm.to_id_string(),
                value: value.to_vec(),
            },
            extensions: read_extensions(&parsed)?,
        };
        let more = more(&parsed);
        Ok((certificate, more))
    }

    /// Whether the certificate names that one as its issuer: the names are equal byte for byte, and the key
    /// identifiers do not contradict. The signature is another question.
    pub(super) fn names_issuer(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject && self.key_identifiers_agree(issuer)
    }

    /// Whether the key identifiers of a link agree. Many device authorities leave them out, and then they do.
    pub(super) fn key_identifiers_agree(&self, issuer: &Self) -> bool {
        match (&self.extensions.authority_key_id, &issuer.extensions.subject_key_id) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        }
    }
}

/// A moment of a certificate, as DPS writes moments.
pub(super) fn moment(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_else(|| format!("second {seconds}"))
}

fn read_extensions(parsed: &X509Certificate<'_>) -> Result<Extensions, Flaw> {
    let mut out = Extensions::default();
    let mut seen = Vec::new();
    for extension in parsed.extensions() {
        let name = extension.oid.to_id_string();
        if seen.contains(&name) {
            return Err(Flaw::DuplicateExtension(name));
        }
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                out.ca = constraints.ca;
                out.path_length = constraints.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => out.may_sign = Some(usage.key_cert_sign()),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                out.purposes = Some(Purposes {
                    clients: usage.client_auth,
                    endorsement: usage.other.iter().any(|oid| oid.as_bytes() == ENDORSEMENT_KEY),
                    #[cfg(test)]
                    servers: usage.server_auth,
                })
            }
            ParsedExtension::NameConstraints(_) => out.name_constraints = Some(extension.critical),
            ParsedExtension::SubjectKeyIdentifier(id) => out.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                out.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ParseError { .. } if understood(&extension.oid) => {
                return Err(Flaw::Malformed(format!("its extension {name} is not of its form")));
            }
            _ => {}
        }
        if extension.critical && !understood(&extension.oid) && out.unknown_critical.is_none() {
            out.unknown_critical = Some(name.clone());
        }
        seen.push(name);
    }
    Ok(out)
}

/// tcg-kp-EKCertificate, 2.23.133.8.1, as it stands in DER (TCG EK Credential Profile, 3.2.16).
pub(super) const ENDORSEMENT_KEY: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// Extensions that are acted upon here or in webpki, or that cannot matter because nothing here reads the names that
/// they hold (subjectAltName).
fn understood(extension: &oid::Oid<'_>) -> bool {
    [
        oid::OID_X509_EXT_BASIC_CONSTRAINTS,
        oid::OID_X509_EXT_KEY_USAGE,
        oid::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oid::OID_X509_EXT_NAME_CONSTRAINTS,
        oid::OID_X509_EXT_SUBJECT_ALT_NAME,
    ]
    .contains(extension)
}
