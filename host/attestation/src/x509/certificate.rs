//! One certificate, parsed once into all the facts that the other modules need.

use landfall_domain::names::Digest;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};
use x509_parser::oid_registry as oid;

use super::constraints::{Constraints, General, Names};
use super::distinguished::Name;
use super::error::Flaw;
use super::key::{self, KeyFlaw};
use super::signed::{self, Signed};
use super::{name, object_id};

/// The facts of one certificate. None of them is trusted: `strict` and `verify` judge them.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) sha256: Digest,
    pub(super) version: u32,
    /// The octets of the serial number, as they stand in the DER.
    pub(super) serial: Vec<u8>,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    /// The names to which name constraints of its issuers apply.
    pub(super) names: Names,
    pub(super) subject_text: String,
    pub(super) issuer_text: String,
    /// Seconds since 1970-01-01 UTC. May be negative, because a validity may begin earlier.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) key: Key,
    pub(super) signature: Signature,
    pub(super) extensions: Extensions,
    /// A flaw that only stricter parsers report, and that no check of ours reports more precisely.
    pub(super) lax: Option<Flaw>,
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
    /// The bytes that are signed.
    pub(super) tbs: Vec<u8>,
    /// The content of the AlgorithmIdentifier.
    pub(super) algorithm: Vec<u8>,
    /// The algorithm's object identifier as text.
    pub(super) algorithm_name: String,
    pub(super) value: Vec<u8>,
}

/// What the extensions say, as far as the checks need it.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    pub(super) ca: bool,
    pub(super) path_length: Option<u32>,
    /// keyUsage: whether keyCertSign is set.
    pub(super) may_sign: Option<bool>,
    /// keyUsage: whether digitalSignature is set, which a key needs to sign a handshake.
    pub(super) signs_handshakes: Option<bool>,
    /// keyUsage: whether cRLSign is set.
    pub(super) may_sign_lists: Option<bool>,
    /// cRLDistributionPoints: the addresses of the lists that would contain the certificate if it were revoked. They
    /// are compared, and never fetched.
    pub(super) list_addresses: Vec<String>,
    pub(super) purposes: Option<Purposes>,
    /// nameConstraints, and whether the extension is critical.
    pub(super) name_constraints: Option<(Constraints, bool)>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<Vec<u8>>,
    /// The first critical extension that is not understood.
    pub(super) unknown_critical: Option<String>,
}

/// The purposes that extendedKeyUsage allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purposes {
    pub(super) clients: bool,
    /// tcg-kp-EKCertificate: for the certificate of an endorsement key and for its issuers.
    pub(super) endorsement: bool,
    /// serverAuth. Used only by the public test suites for path validation.
    #[cfg(test)]
    pub(super) servers: bool,
}

impl Certificate {
    /// Parses a certificate from its DER.
    pub(super) fn read(der: &[u8]) -> Result<Self, Flaw> {
        Self::read_with(der, |_| ()).map(|(certificate, ())| certificate)
    }

    /// Parses a certificate, and lets the caller take more facts from the parser's result.
    pub(super) fn read_with<T>(der: &[u8], more: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<(Self, T), Flaw> {
        let malformed = |what: &str| Flaw::Malformed(what.to_owned());
        let (rest, parsed) = X509Certificate::from_der(der)
            .map_err(|_| malformed("it is no X.509 certificate in DER, or it was cut off or changed"))?;
        if !rest.is_empty() {
            return Err(malformed("bytes follow the certificate"));
        }
        bounded(&parsed)?;
        let tbs = parsed.tbs_certificate.as_ref();
        let Signed { algorithm, value } =
            signed::parts(der, tbs.len()).ok_or_else(|| malformed("its signature is not in DER"))?;
        let spki = parsed.public_key();
        let (_, spki_content) = Any::from_der(spki.raw).map_err(|_| malformed("its public key is no DER"))?;
        let (_, key_algorithm) =
            Any::from_der(spki_content.data).map_err(|_| malformed("its key's algorithm is no DER"))?;
        let extensions = read_extensions(&parsed)?;
        let certificate = Self {
            lax: lax(&parsed, der),
            names: read_names(&parsed),
            sha256: Digest::of(der),
            der: CertificateDer::from(der.to_vec()),
            version: parsed.version().0 + 1,
            serial: parsed.raw_serial().to_vec(),
            subject: Name::of(parsed.subject()),
            issuer: Name::of(parsed.issuer()),
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
                algorithm_name: object_id::text(&parsed.signature_algorithm.algorithm),
                value: value.to_vec(),
            },
            extensions,
        };
        let more = more(&parsed);
        Ok((certificate, more))
    }

    /// Whether the certificate names `issuer` as its issuer: the names are equal, and the key identifiers do not
    /// contradict. The signature is not checked here.
    pub(super) fn names_issuer(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject && self.key_identifiers_agree(issuer)
    }

    /// Whether the certificate is self-issued, as for a new key of the same authority (RFC 5280, 3.2).
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether the key identifiers of certificate and issuer agree. They count as agreeing where they are missing:
    /// many device authorities leave them out.
    pub(super) fn key_identifiers_agree(&self, issuer: &Self) -> bool {
        match (&self.extensions.authority_key_id, &issuer.extensions.subject_key_id) {
            (Some(named), Some(own)) => named == own,
            _ => true,
        }
    }
}

/// A moment of a certificate, in the form in which DPS writes moments.
pub(super) fn moment(seconds: i64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_else(|| format!("second {seconds}"))
}

/// Limits the work that a stranger can cause: everything that follows is at most linear in the size of what is checked
/// here.
fn bounded(parsed: &X509Certificate<'_>) -> Result<(), Flaw> {
    if parsed.extensions().len() > MAX_EXTENSIONS {
        return Err(Flaw::Malformed(format!("it has more than {MAX_EXTENSIONS} extensions")));
    }
    for name in [parsed.subject(), parsed.issuer()] {
        if name.iter_attributes().count() > MAX_ATTRIBUTES {
            return Err(Flaw::Malformed(format!("one of its names has more than {MAX_ATTRIBUTES} parts")));
        }
        if name.iter_attributes().any(|attribute| object_id::is_overlong(attribute.attr_type())) {
            return Err(Flaw::Malformed(format!(
                "one of its names has a type of more than {} octets",
                object_id::MAX_OCTETS
            )));
        }
    }
    Ok(())
}

/// The flaw that webpki's parser reports, which is stricter about the form. That parser also fails on the DER of a
/// unique identifier, so that flaw is reported first.
fn lax(parsed: &X509Certificate<'_>, der: &[u8]) -> Option<Flaw> {
    if parsed.issuer_uid.is_some() || parsed.subject_uid.is_some() {
        return Some(Flaw::UniqueIdentifiers);
    }
    let error = webpki::EndEntityCert::try_from(&CertificateDer::from(der)).err()?;
    Some(Flaw::Malformed(format!("it is not written as RFC 5280 demands ({error})")))
}

fn read_names(parsed: &X509Certificate<'_>) -> Names {
    let alternative = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let mails = parsed.subject().iter_attributes().filter(|one| *one.attr_type() == oid::OID_PKCS9_EMAIL_ADDRESS);
    Names {
        subject: Name::of(parsed.subject()),
        alternative: alternative.into_iter().flatten().map(General::of).collect(),
        subject_mails: mails.filter_map(|one| name::any_text(one.attr_value())).map(|mail| mail.into_owned()).collect(),
    }
}

fn read_extensions(parsed: &X509Certificate<'_>) -> Result<Extensions, Flaw> {
    let mut out = Extensions::default();
    let mut seen = Vec::new();
    for extension in parsed.extensions() {
        let name = || object_id::text(&extension.oid);
        if seen.contains(&extension.oid.as_bytes()) {
            return Err(Flaw::DuplicateExtension(name()));
        }
        seen.push(extension.oid.as_bytes());
        let not_of_its_form = || Flaw::Malformed(format!("its extension {} is not of its form", name()));
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                out.ca = constraints.ca;
                out.path_length = constraints.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => {
                out.may_sign = Some(usage.key_cert_sign());
                out.signs_handshakes = Some(usage.digital_signature());
                out.may_sign_lists = Some(usage.crl_sign());
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                out.purposes = Some(Purposes {
                    clients: usage.client_auth,
                    endorsement: usage.other.iter().any(|oid| oid.as_bytes() == ENDORSEMENT_KEY),
                    #[cfg(test)]
                    servers: usage.server_auth,
                })
            }
            ParsedExtension::NameConstraints(_) => {
                let constraints = Constraints::read(extension.value).ok_or_else(not_of_its_form)?;
                out.name_constraints = Some((constraints, extension.critical));
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let names = points.points.iter().filter_map(|point| point.distribution_point.as_ref());
                out.list_addresses = names.flat_map(addresses).collect();
            }
            ParsedExtension::SubjectKeyIdentifier(id) => out.subject_key_id = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                out.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            ParsedExtension::ParseError { .. } if understood(&extension.oid) => return Err(not_of_its_form()),
            _ => {}
        }
        if extension.critical && !understood(&extension.oid) && out.unknown_critical.is_none() {
            out.unknown_critical = Some(name());
        }
    }
    Ok(out)
}

/// Maximum number of extensions. Certificates of authorities have a dozen.
const MAX_EXTENSIONS: usize = 64;

/// Maximum number of attributes in a name. Names have half a dozen.
const MAX_ATTRIBUTES: usize = 64;

/// The addresses in a distribution point.
pub(super) fn addresses<'a>(point: &'a DistributionPointName<'_>) -> impl Iterator<Item = String> + use<'a> {
    let names = match point {
        DistributionPointName::FullName(names) => names.as_slice(),
        DistributionPointName::NameRelativeToCRLIssuer(_) => &[],
    };
    names.iter().filter_map(|name| match name {
        GeneralName::URI(address) => Some((*address).to_owned()),
        _ => None,
    })
}

/// tcg-kp-EKCertificate, 2.23.133.8.1, in DER (TCG EK Credential Profile, 3.2.16).
pub(super) const ENDORSEMENT_KEY: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// Whether an extension is understood here.
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
