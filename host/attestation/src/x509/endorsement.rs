//! Certificates of TPMs' endorsement keys (TCG EK Credential Profile), and the makers that issue them.
//!
//! They differ from all other certificates. Their key can only decrypt, so it is never used in a handshake. The
//! subject is often empty; the TPM's model is in a directory name among the alternative names. They are valid until
//! the year 9999. And they do not say in which device the chip is. So such a certificate proves one fact: this
//! endorsement key is in a chip of that maker. The challenge proves that the device has the chip, and the
//! manufacturing record says that the chip belongs to the device.
//!
//! An operator gives the makers' roots and intermediates for a group. None is built in, and none is fetched, even if a
//! certificate names an address.

use std::fmt;

use landfall_domain::names::Digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{Oid, asn1_rs};

use super::anchor::Anchor;
use super::certificate::Certificate;
use super::chain::PresentedChain;
use super::error::{ChainError, Which};
use super::leaf::Leaf;
use super::name;
use super::revocation::Known;
use super::strict::Usage;
use super::verify::{Demands, VerifiedPath, VerifyPolicy};

/// The certificate of an endorsement key: parsed, and not verified.
#[derive(Clone)]
pub struct EndorsementCertificate {
    leaf: Leaf,
    /// The TPM's maker, model and version, as far as the certificate says.
    chip: Vec<(&'static str, String)>,
}

impl EndorsementCertificate {
    /// Parses a certificate in the forms in which a TPM returns it: DER, perhaps with the header that it has in the
    /// TPM's memory, perhaps followed by unused bytes.
    ///
    /// # Errors
    ///
    /// [`ChainError::Flawed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ChainError> {
        let der = unwrapped(bytes);
        let leaf = Leaf::read(der).map_err(ChainError::of_endorsement)?;
        let read = Certificate::read_with(der, chip);
        let (_, chip) = read.map_err(|flaw| ChainError::flawed(Which::Endorsement, flaw))?;
        Ok(Self { leaf, chip })
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.leaf.certificate.der
    }

    /// SHA-256 of the DER.
    pub fn sha256(&self) -> Digest {
        self.leaf.sha256()
    }

    /// The issuer, as RFC 4514 writes names.
    pub fn issuer(&self) -> &str {
        self.leaf.issuer()
    }

    /// The bits of the public key, as the certificate contains them: a point, or an RSAPublicKey.
    pub fn key_bits(&self) -> &[u8] {
        &self.leaf.certificate.key.bits
    }

    /// The claims that a policy is told: their names begin with `tpm.`.
    pub fn claims(&self) -> Vec<(String, String)> {
        let mut claims = vec![
            ("tpm.certificate.issuer".to_owned(), self.issuer().to_owned()),
            ("tpm.certificate.sha256".to_owned(), self.sha256().to_string()),
        ];
        claims.extend(self.chip.iter().map(|(part, value)| ((*part).to_owned(), value.clone())));
        claims
    }
}

impl PartialEq for EndorsementCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.sha256() == other.sha256()
    }
}

impl Eq for EndorsementCertificate {}

impl fmt::Debug for EndorsementCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndorsementCertificate({})", self.sha256().short())
    }
}

/// The makers whose TPMs a group accepts.
#[derive(Clone, Debug)]
pub struct TpmMakers {
    roots: Vec<Anchor>,
    intermediates: Vec<Certificate>,
}

impl TpmMakers {
    /// Parses certificates of makers, in DER: the roots that are trusted, and the intermediates that lead up to them.
    ///
    /// # Errors
    ///
    /// [`ChainError::Flawed`], with the subject of the certificate that cannot be used.
    pub fn parse(roots: &[Vec<u8>], intermediates: &[Vec<u8>]) -> Result<Self, ChainError> {
        let read = |der: &Vec<u8>| {
            Certificate::read(der)
                .map_err(|flaw| ChainError::flawed(Which::Intermediate("that was given".to_owned()), flaw))
        };
        Ok(Self {
            roots: roots.iter().map(|der| Anchor::parse_for(Usage::EndorsementKey, der)).collect::<Result<_, _>>()?,
            intermediates: intermediates.iter().map(read).collect::<Result<_, _>>()?,
        })
    }

    /// Verifies that one of the makers issued the certificate, and that nothing on the path was revoked.
    ///
    /// # Errors
    ///
    /// No path leads to a maker, or a certificate on the path is not acceptable or was revoked. The error names it.
    pub fn verify(
        &self,
        certificate: &EndorsementCertificate,
        policy: &VerifyPolicy,
        (revocations, grace_seconds): (&Known, u64),
    ) -> Result<(), ChainError> {
        let chain = PresentedChain::of_known(certificate.leaf.clone(), &self.intermediates)?;
        let not_taken_back =
            |path: &VerifiedPath| revocations.judge(&chain, path, &self.roots, policy.now, grace_seconds);
        let usage = Usage::EndorsementKey;
        let demands = Demands { usage, anchors: &self.roots, policy, is_good: &not_taken_back };
        demands.verify(&chain).map(drop).map_err(ChainError::of_endorsement)
    }
}

/// The certificate without the header of the TPM's memory (a tag, a kind and a length: TCG PC Client Specific
/// Implementation, 7.4), and without the bytes that follow.
fn unwrapped(bytes: &[u8]) -> &[u8] {
    let inner = match bytes {
        [0x10, 0x01, 0x00, _, _, inner @ ..] => inner,
        _ => bytes,
    };
    let length = match inner {
        [0x30, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        [0x30, 0x81, length, ..] => 3 + usize::from(*length),
        _ => inner.len(),
    };
    inner.get(..length).unwrap_or(inner)
}

/// The TPM's maker, model and version. An attribute that occurs more than once is ignored.
fn chip(parsed: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let mut directory = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name),
        _ => None,
    });
    let (Some(only), None) = (directory.next(), directory.next()) else { return Vec::new() };
    CHIP_ATTRIBUTES.iter().filter_map(|(part, kind)| Some((*part, name::only_value(only, kind)?))).collect()
}

/// The attributes of TCG EK Credential Profile, 3.2.9.
const CHIP_ATTRIBUTES: [(&str, Oid<'static>); 3] = [
    ("tpm.manufacturer", asn1_rs::oid!(2.23.133.2.1)),
    ("tpm.model", asn1_rs::oid!(2.23.133.2.2)),
    ("tpm.version", asn1_rs::oid!(2.23.133.2.3)),
];
