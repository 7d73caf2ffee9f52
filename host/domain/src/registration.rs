//! A device's registration: the last decision about the device, and what the device was told.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::enrollment::EnrollmentRef;
use crate::json::JsonText;
use crate::names::{DeviceId, Digest, HubName, IssuerName, OperationId, RegistrationId, TrackingId};
use crate::registry::SerialNumber;

/// The registration of a registration id; there is one at most. It is written only by the transaction that also
/// updates its hub's count and stores the decision that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Registration {
    /// The registration id, as it was first written.
    pub registration_id: RegistrationId,
    /// The enrollment that admitted the device last.
    pub enrollment: EnrollmentRef,
    /// The SHA-256 of the public key to which the id is bound. `None` after an operator has released it.
    pub key_identity: Option<Digest>,
    /// The operation that wrote this state. A poll names it.
    pub operation: OperationId,
    /// The ledger entry that explains this state.
    pub decision: TrackingId,
    /// The result of the registration.
    pub outcome: Outcome,
    /// The first hub of the device. It is needed to report `reprovisionedToInitialAssignment`.
    pub initial_hub: Option<HubName>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 for the first state, and one more for each later state. It detects concurrent writers.
    pub generation: u64,
    /// The decisions before this one that the ledger still holds, the latest first.
    #[serde(default)]
    pub earlier: Vec<TrackingId>,
    /// The certificate that was issued to the device last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedCertificate>,
    /// A digest of the TPM that registered: of what it presents when it asks for a challenge (`Chip::digest` of
    /// `landfall-attestation`). `None` for other credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<Digest>,
}

/// A certificate that was issued, as the registration keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct IssuedCertificate {
    /// The issuer of the certificate.
    pub issuer: IssuerName,
    /// The operation in which it was issued. The answers of this operation carry the certificate.
    pub operation: OperationId,
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    pub serial: SerialNumber,
    pub not_after: Timestamp,
}

/// The result of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The device has a hub.
    Assigned(Assignment),
    /// A policy refused the device, or no hub had room.
    Failed {
        /// DPS's error code, such as 400207.
        code: u32,
        /// The message that the device is told.
        message: String,
    },
}

/// The assignment of a device to a hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Assignment {
    pub hub: HubName,
    /// The device's id in that hub.
    pub device_id: DeviceId,
    /// Since when the device is on this hub.
    pub since: Timestamp,
    /// How the device came to this hub.
    pub substatus: Substatus,
    /// The device's path of groups in the solution, from the outermost inwards.
    pub group_path: Vec<String>,
    /// The initial twin's tags: a JSON object.
    pub tags: JsonText,
    /// The initial twin's desired properties: a JSON object.
    pub desired: JsonText,
    /// The `payload` that the device is told.
    pub payload: Option<JsonText>,
}

/// How a device came to its hub (DPS, `substatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Substatus {
    /// For the first time.
    InitialAssignment,
    /// From another hub, with its data.
    DeviceDataMigrated,
    /// From another hub, back to the initial twin.
    DeviceDataReset,
    /// Back to the hub that it had first.
    ReprovisionedToInitialAssignment,
}

/// Distinguishes two states of a registration. The generation alone does not: it starts anew after a registration was
/// deleted, and a decision from before the deletion must not overwrite what a device with another key has registered
/// since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number of this state, see [`Registration::generation`].
    pub generation: u64,
    /// The last decision.
    pub decision: TrackingId,
}

impl Registration {
    /// The hub of the device, if it has one.
    pub fn hub(&self) -> Option<&HubName> {
        match &self.outcome {
            Outcome::Assigned(assignment) => Some(&assignment.hub),
            Outcome::Failed { .. } => None,
        }
    }

    /// The device's assignment, if it has one.
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.outcome {
            Outcome::Assigned(assignment) => Some(assignment),
            Outcome::Failed { .. } => None,
        }
    }

    /// The version of this state.
    pub fn version(&self) -> Version {
        Version { generation: self.generation, decision: self.decision }
    }

    /// The entity tag of this state, without quotes.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.generation, self.decision)
    }
}
