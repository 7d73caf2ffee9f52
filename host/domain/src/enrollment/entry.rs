//! What an enrollment says. The words and their defaults are those of DPS's enrollment records where it has them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{PasswordHash, SealedKeys, TokenRules};
use crate::clock::Timestamp;
use crate::json::JsonText;
use crate::names::{
    CaName, DeviceId, Digest, DirectoryName, GroupId, HubName, IssuerName, ManufacturerId, PluginName, RegistrationId,
};

/// An individual enrollment: one device. It alone decides about its registration id, whatever group would match too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Individual {
    pub registration_id: RegistrationId,
    /// Its id in the hub; the registration id when absent.
    pub device_id: Option<DeviceId>,
    /// How it proves itself.
    pub attestation: IndividualAttestation,
    /// What becomes of it.
    pub terms: Terms,
}

/// An enrollment group: many devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Group {
    pub id: GroupId,
    /// How its devices prove themselves.
    pub attestation: GroupAttestation,
    /// What becomes of them.
    pub terms: Terms,
}

impl Group {
    /// The certificates of authorities that it holds itself, DER.
    pub fn intermediates(&self) -> impl Iterator<Item = &[u8]> {
        let (pins, makers): (_, [&[Vec<u8>]; 2]) = match &self.attestation {
            GroupAttestation::X509Intermediates { primary, secondary } => {
                ([Some(primary), secondary.as_ref()], [&[], &[]])
            }
            GroupAttestation::TpmMakers { roots, intermediates } => ([None, None], [roots, intermediates]),
            _ => ([None, None], [&[], &[]]),
        };
        let makers = makers.into_iter().flatten().map(Vec::as_slice);
        pins.into_iter().flatten().filter_map(|pin| pin.der.as_deref()).chain(makers)
    }
}

/// How the device of an individual enrollment proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum IndividualAttestation {
    /// By exactly one of these certificates.
    X509 {
        primary: CertificatePin,
        /// Its successor, while certificates are rolled over.
        secondary: Option<CertificatePin>,
    },
    /// By a token that one of these keys has signed.
    SymmetricKey(SealedKeys),
    /// By its TPM, which holds this endorsement key: a `TPM2B_PUBLIC`.
    Tpm {
        #[serde(with = "serde_bytes")]
        endorsement_key: Vec<u8>,
    },
    /// By a username and a password.
    Password {
        username: String,
        /// What is kept of the password.
        hash: PasswordHash,
    },
}

impl IndividualAttestation {
    /// What the device has to show, for people.
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::X509 { .. } => "the certificate that is pinned",
            Self::SymmetricKey(_) => "a token that its symmetric key has signed",
            Self::Tpm { .. } => "the keys of its TPM",
            Self::Password { .. } => "its password",
        }
    }
}

/// How the devices of a group prove themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum GroupAttestation {
    /// By a certificate that chains up to one of these uploaded, proven authorities (a root or an intermediate).
    X509Authorities { primary: CaName, secondary: Option<CaName> },
    /// By a certificate that chains up to one of these intermediates, which the group itself holds. Their own
    /// issuer must be an uploaded, proven authority.
    X509Intermediates {
        /// The intermediate's certificate.
        primary: CertificatePin,
        secondary: Option<CertificatePin>,
    },
    /// By a token that was signed by a key derived from one of these and the registration id.
    SymmetricKey(SealedKeys),
    /// By a token of an identity provider.
    Token(TokenRules),
    /// By an account of a directory.
    Directory(DirectoryRules),
    /// By a TPM of one of these makers, whose endorsement key the device's manufacturing record names.
    TpmMakers {
        /// The makers' certificates that are trusted, DER.
        roots: Vec<Vec<u8>>,
        /// Those that lead up to them, DER.
        intermediates: Vec<Vec<u8>>,
    },
}

/// Which accounts of a directory are devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRules {
    /// The directory's name in `landfall.toml`.
    pub directory: DirectoryName,
    /// What kind of account. The account's name is the registration id; a computer's without the `$` at its end.
    pub accounts: AccountKind,
    /// Groups of which it must be in one, those in them included; none when any account of the kind will do.
    pub groups: Vec<String>,
}

/// Kinds of accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// Computers: their names end with `$`.
    #[default]
    Computers,
    /// People's, and those that services run as.
    Users,
}

/// One exact certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificatePin {
    /// SHA-256 of the DER.
    pub sha256: Digest,
    /// The DER, when it was given and not only its digest.
    #[serde(with = "serde_bytes", default)]
    pub der: Option<Vec<u8>>,
}

/// An uploaded certificate authority. Only a proven one can admit devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct CertificateAuthority {
    pub name: CaName,
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    /// Whether possession of its key has been proven.
    pub verified: bool,
    /// The code that the verification certificate's CN must be, while possession is unproven.
    pub verification_code: Option<String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What becomes of an enrollment's devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// A disabled enrollment refuses its devices, and hides any other that would take them.
    pub enabled: bool,
    /// Whether a manufacturing record is demanded.
    pub manufacturing: Manufacturing,
    /// Whose manufacturing records admit its devices; anybody's who may import, when absent.
    #[serde(default)]
    pub manufacturers: Option<Vec<ManufacturerId>>,
    /// Whether a device may come back with another key.
    pub key_change: KeyChange,
    /// Whether a device may come back with a certificate that has expired.
    #[serde(default)]
    pub expired_certificates: ExpiredCertificates,
    /// Who issues the certificates that its devices ask for; they get none when absent.
    #[serde(default)]
    pub certificate_issuer: Option<IssuerName>,
    /// What happens on a further registration.
    pub reprovision: ReprovisionPolicy,
    /// The hubs that its devices may get; all linked ones when absent.
    pub hubs: Option<Vec<HubName>>,
    /// Which policies decide.
    pub allocation: Allocation,
    /// Where its hub identity starts.
    pub initial_twin: InitialTwin,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Changes with every change; what `If-Match` compares.
    pub etag: String,
}

impl Terms {
    /// Those of an enrollment of which nothing is said but which policies decide.
    pub fn with_policies(allocation: Allocation, now: Timestamp) -> Self {
        Self {
            enabled: true,
            manufacturing: Manufacturing::Required,
            manufacturers: None,
            key_change: KeyChange::Refuse,
            expired_certificates: ExpiredCertificates::Refuse,
            certificate_issuer: None,
            reprovision: ReprovisionPolicy::default(),
            hubs: None,
            allocation,
            initial_twin: InitialTwin::default(),
            created_at: now,
            updated_at: now,
            etag: "1".to_owned(),
        }
    }
}

/// The policies of an enrollment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Chooses the hub.
    pub selection: PolicyBinding,
    /// Chooses the hub when `selection` abstains.
    pub fallback: Option<PolicyBinding>,
    /// Place the device, in this order.
    pub grouping: Vec<PolicyBinding>,
}

impl Allocation {
    /// All policies.
    pub fn bindings(&self) -> impl Iterator<Item = &PolicyBinding> {
        std::iter::once(&self.selection).chain(&self.fallback).chain(&self.grouping)
    }
}

/// A plugin and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBinding {
    /// The plugin's published name.
    pub plugin: PluginName,
    /// One exact revision; the live one of that name when absent.
    pub revision: Option<Digest>,
    /// JSON, as the plugin's schema says.
    pub settings: JsonText,
}

/// Whether a manufacturing record is demanded (the two-factor rule).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Manufacturing {
    /// It is.
    #[default]
    Required,
    /// It is not: one factor only, for migrations. A record that exists still counts.
    Optional,
}

/// Whether a device may come back under its registration id with another key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyChange {
    /// It is refused until an operator releases the registration.
    #[default]
    Refuse,
    /// It may: for fleets that renew certificates with new keys.
    Allow,
}

/// Whether a device may come back with a certificate that has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExpiredCertificates {
    /// It may not.
    #[default]
    Refuse,
    /// It may, with the key with which it registered before: for devices that were in a warehouse when it expired. The
    /// certificates of its authorities must still be valid.
    Reprovision,
}

/// What happens when a device registers again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReprovisionPolicy {
    /// Whether the policy is asked again; otherwise the device stays on its hub.
    pub update_hub_assignment: bool,
    /// Whether its data moves with it, or is set back to the initial twin.
    pub migrate_device_data: bool,
}

impl Default for ReprovisionPolicy {
    fn default() -> Self {
        Self { update_hub_assignment: true, migrate_device_data: true }
    }
}

/// Where a device's twin starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct InitialTwin {
    #[serde(default)]
    pub tags: Map<String, Value>,
    #[serde(default)]
    pub desired: Map<String, Value>,
}

/// Which enrollment admitted a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum EnrollmentRef {
    /// The individual enrollment of its registration id.
    Individual(RegistrationId),
    Group(GroupId),
}

impl fmt::Display for EnrollmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Individual(id) => write!(f, "the individual enrollment {id}"),
            Self::Group(id) => write!(f, "the enrollment group {id}"),
        }
    }
}
