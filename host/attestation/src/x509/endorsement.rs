//! Certificates of TPMs' endorsement keys (TCG EK Credential Profile), and the makers that issue them.
//!
//! They are like no other certificate: the key in them can only decrypt, so none is ever used in a handshake; the subject is
//! often empty, and what TPM it is stands in a directory name among the alternative names; they end in the year 9999;
//! and nothing says which device the chip is soldered to. So a certificate here says one thing: this endorsement key is in a
//! chip of that maker. That the device has the chip is what the challenge proves, and that the chip belongs to the device is
//! what the manufacturing record says.
//!
//! The makers' roots and intermediates are what an operator gives for a group. None is built in and none is fetched,
//! whatever address stands in a certificate.

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

/// The certificate of an endorsement key: read, and not yet judged.
#[derive(Clone)]
pub struct EndorsementCertificate {
    leaf: Leaf,
    /// What TPM it is, as far as the certificate says.
    chip: Vec<(&'static str, String)>,
}

impl EndorsementCertificate {
    /// Reads a certificate as a TPM hands it out: DER, perhaps in the wrapping in which it lies in the TPM's memory, perhaps
    /// followed by the rest of its place there.
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

    /// The DER.
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

    /// The key's bits, as its certificate has them: a point, or an RSAPublicKey.
    pub fn key_bits(&self) -> &[u8] {
        &self.leaf.certificate.key.bits
    }

    /// What a policy may know of it: keys that begin with `tpm.`.
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

/// Those whose TPMs a group takes.
#[derive(Clone, Debug)]
pub struct TpmMakers {
    roots: Vec<Anchor>,
    intermediates: Vec<Certificate>,
}

impl TpmMakers {
    /// Reads certificates of makers, DER: those that are trusted, and those that lead up to them.
    ///
    /// # Errors
    ///
    /// [`ChainError::Flawed`], with the subject of the one that cannot be used.
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

    /// Whether one of them has issued the certificate, and nothing on the way was taken back.
    ///
    /// # Errors
    ///
    /// None has, or the certificate or one above it is not acceptable or was taken back; the error names it.
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

/// Without the wrapping of the TPM's memory (a tag, a kind and a length: TCG PC Client Specific Implementation, 7.4), and
/// without what follows.
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

/// What TPM it is: maker, model and version, of which each stands there once or means nothing.
fn chip(parsed: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let mut directory = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DirectoryName(name) => Some(name),
        _ => None,
    });
    let (Some(only), None) = (directory.next(), directory.next()) else { return Vec::new() };
    CHIP_ATTRIBUTES.iter().filter_map(|(part, kind)| Some((*part, name::only_value(only, kind)?))).collect()
}

/// TCG EK Credential Profile, 3.2.9.
const CHIP_ATTRIBUTES: [(&str, Oid<'static>); 3] = [
    ("tpm.manufacturer", asn1_rs::oid!(2.23.133.2.1)),
    ("tpm.model", asn1_rs::oid!(2.23.133.2.2)),
    ("tpm.version", asn1_rs::oid!(2.23.133.2.3)),
];
