//! The content of an enrollment. The terms and their defaults are those of DPS's enrollment records where DPS has
//! them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{PasswordHash, SealedKeys, TokenRules};
use crate::clock::Timestamp;
use crate::json::JsonText;
use crate::names::{
    CaName, DeviceId, Digest, DirectoryName, GroupId, HubName, IssuerName, ManufacturerId, PluginName, RegistrationId,
};

/// An individual enrollment: one device. It alone decides about its registration id, even if a group would match too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Individual {
    pub registration_id: RegistrationId,
    /// The device's id in the hub. `None`: the registration id.
    pub device_id: Option<DeviceId>,
    /// How the device proves its identity.
    pub attestation: IndividualAttestation,
    /// How the device is provisioned.
    pub terms: Terms,
}

/// An enrollment group: many devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Group {
    pub id: GroupId,
    /// How the group's devices prove their identity.
    pub attestation: GroupAttestation,
    /// How the group's devices are provisioned.
    pub terms: Terms,
}

impl Group {
    /// The authorities' certificates (DER) that the group itself holds.
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

/// How the device of an individual enrollment proves its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum IndividualAttestation {
    /// With exactly one of these certificates.
    X509 {
        primary: CertificatePin,
        /// The successor, while certificates are rolled over.
        secondary: Option<CertificatePin>,
    },
    /// With a token that was signed with one of these keys.
    SymmetricKey(SealedKeys),
    /// With its TPM, which holds this endorsement key: a `TPM2B_PUBLIC`.
    Tpm {
        #[serde(with = "serde_bytes")]
        endorsement_key: Vec<u8>,
    },
    /// With a username and a password.
    Password {
        username: String,
        /// The hash of the password.
        hash: PasswordHash,
    },
}

impl IndividualAttestation {
    /// What the device has to present, as text for people.
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::X509 { .. } => "the certificate that is pinned",
            Self::SymmetricKey(_) => "a token that its symmetric key has signed",
            Self::Tpm { .. } => "the keys of its TPM",
            Self::Password { .. } => "its password",
        }
    }
}

/// How the devices of a group prove their identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum GroupAttestation {
    /// With a certificate that chains up to one of these uploaded, proven authorities (a root or an intermediate).
    X509Authorities { primary: CaName, secondary: Option<CaName> },
    /// With a certificate that chains up to one of these intermediates, which the group itself holds. The issuer of
    /// the intermediate must be an uploaded, proven authority.
    X509Intermediates {
        /// The intermediate's certificate.
        primary: CertificatePin,
        secondary: Option<CertificatePin>,
    },
    /// With a token that was signed with a key derived from one of these keys and the registration id.
    SymmetricKey(SealedKeys),
    /// With a token of an identity provider.
    Token(TokenRules),
    /// With an account of a directory.
    Directory(DirectoryRules),
    /// With a TPM of one of these makers. The device's manufacturing record must name the endorsement key.
    TpmMakers {
        /// The makers' root certificates that are trusted, DER.
        roots: Vec<Vec<u8>>,
        /// The intermediate certificates that lead up to the roots, DER.
        intermediates: Vec<Vec<u8>>,
    },
}

/// Which accounts of a directory are devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRules {
    /// The directory's name in `landfall.toml`.
    pub directory: DirectoryName,
    /// The kind of account. The account's name is the registration id; for a computer account, without the `$` at its
    /// end.
    pub accounts: AccountKind,
    /// The account must be a member of one of these groups, directly or through other groups. Empty: every account of
    /// the kind is accepted.
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
    /// The DER, if the operator gave the certificate and not only its digest.
    #[serde(with = "serde_bytes", default)]
    pub der: Option<Vec<u8>>,
}

/// An uploaded certificate authority. Devices are admitted only by a proven authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CertificateAuthority {
    pub name: CaName,
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    /// Whether possession of the authority's key has been proven.
    pub verified: bool,
    /// The code that must be the CN of the verification certificate, while possession is unproven.
    pub verification_code: Option<String>,
    /// When the authority was uploaded.
    pub created_at: Timestamp,
    /// When the authority last changed.
    pub updated_at: Timestamp,
}

/// How an enrollment's devices are provisioned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// A disabled enrollment refuses its devices. No other enrollment takes its place, even if one would match.
    pub enabled: bool,
    /// Whether a manufacturing record is demanded.
    pub manufacturing: Manufacturing,
    /// Whose manufacturing records admit the enrollment's devices. `None`: those of every manufacturer that may
    /// import.
    #[serde(default)]
    pub manufacturers: Option<Vec<ManufacturerId>>,
    /// Whether a device may register again with another key.
    pub key_change: KeyChange,
    /// Whether a device may register again with a certificate that has expired.
    #[serde(default)]
    pub expired_certificates: ExpiredCertificates,
    /// The issuer of the certificates that the devices ask for. `None`: they get no certificates.
    #[serde(default)]
    pub certificate_issuer: Option<IssuerName>,
    /// What happens when a device registers again.
    pub reprovision: ReprovisionPolicy,
    /// The hubs to which the devices may be assigned. `None`: all linked hubs.
    pub hubs: Option<Vec<HubName>>,
    /// The policies that decide.
    pub allocation: Allocation,
    /// The initial twin of the devices.
    pub initial_twin: InitialTwin,
    /// When the enrollment was created.
    pub created_at: Timestamp,
    /// When the enrollment last changed.
    pub updated_at: Timestamp,
    /// A new value after every change. `If-Match` compares it.
    pub etag: String,
}

impl Terms {
    /// Default terms with these policies.
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
    /// Place the device in groups; they run in this order.
    pub grouping: Vec<PolicyBinding>,
}

impl Allocation {
    /// All policies of the enrollment: selection, fallback and grouping.
    pub fn bindings(&self) -> impl Iterator<Item = &PolicyBinding> {
        std::iter::once(&self.selection).chain(&self.fallback).chain(&self.grouping)
    }
}

/// A plugin and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBinding {
    /// The plugin's published name.
    pub plugin: PluginName,
    /// One exact revision. `None`: the live revision of that name.
    pub revision: Option<Digest>,
    /// The settings: JSON that follows the plugin's schema.
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

/// The initial twin of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct InitialTwin {
    #[serde(default)]
    pub tags: Map<String, Value>,
    #[serde(default)]
    pub desired: Map<String, Value>,
}

/// Which enrollment admitted a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EnrollmentRef {
    /// The individual enrollment with this registration id.
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
