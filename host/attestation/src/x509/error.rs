//! Why a certificate or a chain is refused, in the words that the operator reads.

use landfall_domain::names::Digest;

use super::key::KeyFlaw;
use super::name::CommonNameError;

/// Why a chain is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ChainError {
    /// Nothing was sent.
    #[error("the device sent no certificate")]
    Empty,
    /// Over the limit of certificates.
    #[error(
        "the device sent {sent} certificates above its own, and at most {max} are read; send only those up to the certificate authority that is uploaded here"
    )]
    TooManyCertificates {
        /// How many, exact duplicates not counted.
        sent: usize,
        max: usize,
    },
    /// Over the limit of bytes.
    #[error("the device's certificates take {bytes} bytes, and at most {max} are read")]
    TooLarge {
        /// How many bytes.
        bytes: usize,
        max: usize,
    },
    /// One of the certificates is not acceptable.
    #[error("{which} {flaw}")]
    Flawed {
        which: Which,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The certificate names no device.
    #[error("the device's certificate names no device: {0}")]
    CommonName(#[from] CommonNameError),
    /// Not the certificate that the enrollment names.
    #[error("the enrollment names other certificates; the one shown has the SHA-256 {shown}")]
    NotPinned {
        /// The one that was shown.
        shown: Digest,
    },
    /// Its issuer has taken it back.
    #[error("{which} is revoked: it is on the revocation list of {issuer:?}")]
    Revoked { which: Which, issuer: String },
    /// An operator has taken its number back.
    #[error("{which} is revoked: its serial number {serial} of {issuer:?} is among those that an operator has revoked")]
    SerialRevoked {
        which: Which,
        /// Who issued it.
        issuer: String,
        serial: String,
    },
    /// An operator has taken the authority back.
    #[error("the certificate authority {authority:?} is revoked by an operator, with all that it issued")]
    AuthorityRevoked { authority: String },
    /// The list is of other certificates.
    #[error(
        "nobody knows whether {which} is revoked: the list of {issuer:?} is published at other addresses (issuingDistributionPoint) \
         than the certificate names (cRLDistributionPoints), so it may be the list of others; bring the complete one, or let this \
         one count: landfall ca crl NAME --when-stale warn"
    )]
    OtherPart { which: Which, issuer: String },
    /// Nobody knows whether it was taken back.
    #[error(
        "the revocation list of {issuer:?} is out of date since {since}; bring the next one (landfall ca crl), or give more \
         grace (certificates.stale_crl_hours)"
    )]
    StaleRevocations {
        issuer: String,
        /// When the next one was due.
        since: String,
    },
    /// The enrollment has nothing to verify up to.
    #[error("the enrollment has no usable certificate authority")]
    NoAnchors,
    /// No issuer leads up to the enrollment's authorities.
    #[error(
        "no chain leads from the device's certificate up to the enrollment's certificate authorities; its issuer is {issuer:?}, and the device must send every certificate between"
    )]
    NoPath {
        /// The issuer that the device's certificate names.
        issuer: String,
    },
    /// No maker whose TPMs are taken has issued it.
    #[error(
        "the endorsement certificate was issued by {issuer:?}, from which no chain of the given certificates leads up to a \
         maker whose TPMs are taken"
    )]
    NoMaker {
        /// The issuer that it names.
        issuer: String,
    },
    /// An issuer of the right name did not sign.
    #[error(
        "{which} was not signed by the key of the issuer that it names ({issuer:?}); is it another authority of the same name?"
    )]
    BadSignature {
        which: Which,
        /// The issuer that it names.
        issuer: String,
    },
    /// More certificates than the enrollment allows.
    #[error(
        "{found} certificates stand between the device and the certificate authority, and the enrollment allows {max}"
    )]
    PathTooLong {
        found: usize,
        /// How many may.
        max: usize,
    },
    /// An authority on the path may not issue for these names.
    #[error("the certificate authority {issuer:?} may not issue for {name}, which {which} names (nameConstraints)")]
    NameConstraints {
        issuer: String,
        /// Which certificate below it.
        which: Which,
        name: String,
    },
    /// More names and constraints than anybody needs.
    #[error("{which} has too many names to compare them all with the name constraints of {issuer:?}")]
    TooManyNames {
        issuer: String,
        /// Which certificate below it.
        which: Which,
    },
    /// More ways than are tried.
    #[error("the certificates that the device sent lead upwards in more ways than are tried; send one chain only")]
    TooManyPaths,
}

impl ChainError {
    pub(super) fn flawed(which: Which, flaw: Flaw) -> Self {
        Self::Flawed { which, flaw }
    }

    /// The same where the device's certificate is that of its TPM's endorsement key.
    pub(super) fn of_endorsement(self) -> Self {
        let which = Which::Endorsement;
        match self {
            Self::Revoked { which: Which::Leaf, issuer } => Self::Revoked { which, issuer },
            Self::SerialRevoked { which: Which::Leaf, issuer, serial } => Self::SerialRevoked { which, issuer, serial },
            Self::OtherPart { which: Which::Leaf, issuer } => Self::OtherPart { which, issuer },
            Self::Flawed { which: Which::Leaf, flaw } => Self::Flawed { which: Which::Endorsement, flaw },
            Self::NoPath { issuer } => Self::NoMaker { issuer },
            other => other,
        }
    }
}

/// Which certificate is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The device's own.
    Leaf,
    /// That of its TPM's endorsement key.
    Endorsement,
    /// One that the device sent along, by its subject.
    Intermediate(String),
    /// A certificate authority of ours, by its subject.
    Anchor(String),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Leaf => f.write_str("the device's certificate"),
            Self::Endorsement => f.write_str("the endorsement certificate"),
            Self::Intermediate(subject) => write!(f, "the intermediate certificate {subject:?}"),
            Self::Anchor(subject) => write!(f, "the certificate authority {subject:?}"),
        }
    }
}

/// What is wrong with one certificate; reads on after "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Flaw {
    /// Not DER, or not a certificate.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// Version 1 or 2.
    #[error(
        "has version {0}; only version 3 says what a certificate is for (openssl x509 -req makes version 1 where it is given \
         no -extfile)"
    )]
    Version(u32),
    #[error("is not valid before {0}")]
    NotYetValid(String),
    #[error("expired at {0}")]
    Expired(String),
    /// Ends before it begins.
    #[error("ends before it begins")]
    InvertedValidity,
    /// The key is refused.
    #[error("has a key that is not accepted: {0}")]
    Key(#[from] KeyFlaw),
    /// SHA-1 and the like.
    #[error("is signed with the algorithm {0}; accepted are RSA, ECDSA and Ed25519 with SHA-256 or better")]
    SignatureAlgorithm(String),
    /// Says something that must be understood, and is not.
    #[error("has the critical extension {0}, which is not understood here")]
    UnknownCriticalExtension(String),
    /// Says a thing twice.
    #[error("has the extension {0} twice")]
    DuplicateExtension(String),
    /// The serial number is out of its bounds (RFC 5280, 4.1.2.2).
    #[error("has a serial number that is not a positive number of 1 to 20 octets")]
    Serial,
    #[error("has an empty subject")]
    EmptySubject,
    #[error("has an empty issuer")]
    EmptyIssuer,
    /// No basicConstraints cA.
    #[error("is not a certificate authority's (basicConstraints has no cA)")]
    NotAuthority,
    /// keyUsage without keyCertSign.
    #[error("may not sign certificates (keyUsage has no keyCertSign)")]
    MayNotSign,
    /// A leaf with basicConstraints cA.
    #[error("is a certificate authority's, and no device may show one")]
    LeafIsAuthority,
    /// A leaf with keyCertSign.
    #[error("may sign certificates (keyUsage has keyCertSign), and no device's may")]
    LeafMaySign,
    /// A leaf with nameConstraints.
    #[error("has name constraints, which only a certificate authority's may have")]
    LeafNameConstraints,
    /// nameConstraints that some would ignore (RFC 5280, 4.2.1.10).
    #[error("has name constraints that are not marked critical")]
    NonCriticalNameConstraints,
    /// Not meant for this.
    #[error("is not for clients (extendedKeyUsage has no clientAuth)")]
    NotForClients,
    /// keyUsage without digitalSignature (RFC 5280, 4.2.1.3; RFC 5246, 7.4.6).
    #[error("may not sign a handshake (keyUsage has no digitalSignature)")]
    MayNotSignHandshakes,
    /// Fields of version 2.
    #[error("has unique identifiers of issuer or subject, which nobody uses")]
    UniqueIdentifiers,
    /// Not of an endorsement key.
    #[error("is not for the endorsement keys of TPMs (extendedKeyUsage has no 2.23.133.8.1)")]
    NotForEndorsementKeys,
    /// More certificates below than it allows.
    #[error("allows {max} certificate authorities below itself, and {found} stand there")]
    PathLength {
        max: u32,
        /// How many there are.
        found: usize,
    },
    /// Authority and subject key identifiers of a link differ.
    #[error("names another key of its issuer (authority key identifier) than its issuer has")]
    KeyIdentifier,
}
