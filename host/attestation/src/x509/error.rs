//! The reasons why a certificate or a chain is refused, as messages for the operator.

use landfall_domain::names::Digest;

use super::key::KeyFlaw;
use super::name::CommonNameError;

/// Why a chain is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChainError {
    /// The device sent no certificate.
    #[error("the device sent no certificate")]
    Empty,
    /// The device sent too many certificates.
    #[error(
        "the device sent {sent} certificates above its own, and at most {max} are read; send only those up to the certificate authority that is uploaded here"
    )]
    TooManyCertificates {
        /// The number of certificates, without exact duplicates.
        sent: usize,
        max: usize,
    },
    /// The certificates are too large.
    #[error("the device's certificates take {bytes} bytes, and at most {max} are read")]
    TooLarge {
        /// Their size in bytes.
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
    /// The certificate does not name a device.
    #[error("the device's certificate names no device: {0}")]
    CommonName(#[from] CommonNameError),
    /// The certificate is not one that the enrollment names.
    #[error("the enrollment names other certificates; the one shown has the SHA-256 {shown}")]
    NotPinned {
        /// The certificate that was presented.
        shown: Digest,
    },
    /// The certificate's issuer revoked it.
    #[error("{which} is revoked: it is on the revocation list of {issuer:?}")]
    Revoked { which: Which, issuer: String },
    /// An operator revoked the certificate's serial number.
    #[error("{which} is revoked: its serial number {serial} of {issuer:?} is among those that an operator has revoked")]
    SerialRevoked {
        which: Which,
        /// The issuer of the certificate.
        issuer: String,
        serial: String,
    },
    /// An operator revoked the whole authority.
    #[error("the certificate authority {authority:?} is revoked by an operator, with all that it issued")]
    AuthorityRevoked { authority: String },
    /// The revocation list does not cover this certificate.
    #[error(
        "nobody knows whether {which} is revoked: the list of {issuer:?} is published at other addresses (issuingDistributionPoint) \
         than the certificate names (cRLDistributionPoints), so it may be the list of others; bring the complete one, or let this \
         one count: landfall ca crl NAME --when-stale warn"
    )]
    OtherPart { which: Which, issuer: String },
    /// The revocation list is out of date, so the certificate's status is unknown.
    #[error(
        "the revocation list of {issuer:?} is out of date since {since}; bring the next one (landfall ca crl), or give more \
         grace (certificates.stale_crl_hours)"
    )]
    StaleRevocations {
        issuer: String,
        /// When the next list was due.
        since: String,
    },
    /// The enrollment has no authority up to which a chain could be verified.
    #[error("the enrollment has no usable certificate authority")]
    NoAnchors,
    /// No path leads from the certificate to one of the enrollment's authorities.
    #[error(
        "no chain leads from the device's certificate up to the enrollment's certificate authorities; its issuer is {issuer:?}, and the device must send every certificate between"
    )]
    NoPath {
        /// The issuer that the device's certificate names.
        issuer: String,
    },
    /// No maker whose TPMs the group accepts issued the certificate.
    #[error(
        "the endorsement certificate was issued by {issuer:?}, from which no chain of the given certificates leads up to a \
         maker whose TPMs are taken"
    )]
    NoMaker {
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// The certificate was not signed with the key of the issuer that it names.
    #[error(
        "{which} was not signed by the key of the issuer that it names ({issuer:?}); is it another authority of the same name?"
    )]
    BadSignature {
        which: Which,
        /// The issuer that the certificate names.
        issuer: String,
    },
    /// The path has more certificates than the enrollment allows.
    #[error(
        "{found} certificates stand between the device and the certificate authority, and the enrollment allows {max}"
    )]
    PathTooLong {
        found: usize,
        /// How many the enrollment allows.
        max: usize,
    },
    /// An authority on the path may not issue for a name of a certificate below it.
    #[error("the certificate authority {issuer:?} may not issue for {name}, which {which} names (nameConstraints)")]
    NameConstraints {
        issuer: String,
        /// The certificate with the name.
        which: Which,
        name: String,
    },
    /// There are more names and constraints than are compared.
    #[error("{which} has too many names to compare them all with the name constraints of {issuer:?}")]
    TooManyNames {
        issuer: String,
        /// The certificate with the names.
        which: Which,
    },
    /// There are more possible paths than are tried.
    #[error("the certificates that the device sent lead upwards in more ways than are tried; send one chain only")]
    TooManyPaths,
}

impl ChainError {
    pub(super) fn flawed(which: Which, flaw: Flaw) -> Self {
        Self::Flawed { which, flaw }
    }

    /// The same error, for a certificate that is a TPM's endorsement certificate.
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

/// Which certificate an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The device's own certificate.
    Leaf,
    /// The certificate of the TPM's endorsement key.
    Endorsement,
    /// A certificate that the device sent along, by its subject.
    Intermediate(String),
    /// A certificate authority of an enrollment, by its subject.
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

/// What is wrong with one certificate. The message continues a sentence that begins with "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Flaw {
    /// The bytes are not DER, or not a certificate.
    #[error("cannot be read: {0}")]
    Malformed(String),
    /// The certificate has version 1 or 2.
    #[error(
        "has version {0}; only version 3 says what a certificate is for (openssl x509 -req makes version 1 where it is given \
         no -extfile)"
    )]
    Version(u32),
    #[error("is not valid before {0}")]
    NotYetValid(String),
    #[error("expired at {0}")]
    Expired(String),
    /// The validity ends before it begins.
    #[error("ends before it begins")]
    InvertedValidity,
    /// The public key is not accepted.
    #[error("has a key that is not accepted: {0}")]
    Key(#[from] KeyFlaw),
    /// The signature algorithm is not accepted, such as one with SHA-1.
    #[error("is signed with the algorithm {0}; accepted are RSA, ECDSA and Ed25519 with SHA-256 or better")]
    SignatureAlgorithm(String),
    /// A critical extension is not understood.
    #[error("has the critical extension {0}, which is not understood here")]
    UnknownCriticalExtension(String),
    /// An extension occurs twice.
    #[error("has the extension {0} twice")]
    DuplicateExtension(String),
    /// The serial number is out of range (RFC 5280, 4.1.2.2).
    #[error("has a serial number that is not a positive number of 1 to 20 octets")]
    Serial,
    #[error("has an empty subject")]
    EmptySubject,
    #[error("has an empty issuer")]
    EmptyIssuer,
    /// An issuer without basicConstraints cA.
    #[error("is not a certificate authority's (basicConstraints has no cA)")]
    NotAuthority,
    /// An issuer whose keyUsage lacks keyCertSign.
    #[error("may not sign certificates (keyUsage has no keyCertSign)")]
    MayNotSign,
    /// A device's certificate with basicConstraints cA.
    #[error("is a certificate authority's, and no device may show one")]
    LeafIsAuthority,
    /// A device's certificate with keyCertSign.
    #[error("may sign certificates (keyUsage has keyCertSign), and no device's may")]
    LeafMaySign,
    /// A device's certificate with nameConstraints.
    #[error("has name constraints, which only a certificate authority's may have")]
    LeafNameConstraints,
    /// nameConstraints that are not critical, so that some programs would ignore them (RFC 5280, 4.2.1.10).
    #[error("has name constraints that are not marked critical")]
    NonCriticalNameConstraints,
    /// The certificate is not for client authentication.
    #[error("is not for clients (extendedKeyUsage has no clientAuth)")]
    NotForClients,
    /// keyUsage lacks digitalSignature (RFC 5280, 4.2.1.3; RFC 5246, 7.4.6).
    #[error("may not sign a handshake (keyUsage has no digitalSignature)")]
    MayNotSignHandshakes,
    /// The certificate has the unique identifiers of version 2.
    #[error("has unique identifiers of issuer or subject, which nobody uses")]
    UniqueIdentifiers,
    /// The certificate is not for an endorsement key.
    #[error("is not for the endorsement keys of TPMs (extendedKeyUsage has no 2.23.133.8.1)")]
    NotForEndorsementKeys,
    /// The path below has more certificates than the authority allows.
    #[error("allows {max} certificate authorities below itself, and {found} stand there")]
    PathLength {
        max: u32,
        /// How many there are.
        found: usize,
    },
    /// The authority key identifier of a certificate differs from the subject key identifier of its issuer.
    #[error("names another key of its issuer (authority key identifier) than its issuer has")]
    KeyIdentifier,
}
