//! A device's registration: what was decided about it last, and what it was told.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::enrollment::EnrollmentRef;
use crate::json::JsonText;
use crate::names::{DeviceId, Digest, HubName, IssuerName, OperationId, RegistrationId, TrackingId};
use crate::registry::SerialNumber;

/// The one registration that a registration id has. Written only by the transaction that also keeps its hub's count
/// and the decision that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Registration {
    /// The device, as first written.
    pub registration_id: RegistrationId,
    /// The enrollment that admitted it last.
    pub enrollment: EnrollmentRef,
    /// The SHA-256 of the public key to which the id is bound; absent once an operator has released it.
    pub key_identity: Option<Digest>,
    /// The operation that wrote this state; what a poll names.
    pub operation: OperationId,
    /// The ledger entry that explains it.
    pub decision: TrackingId,
    /// What became of it.
    pub outcome: Outcome,
    /// The first hub it ever had, to tell `reprovisionedToInitialAssignment`.
    pub initial_hub: Option<HubName>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// 1 for the first state, one more for each later one; guards against two writers.
    pub generation: u64,
    /// The decisions before this one that the ledger still holds, the latest first.
    #[serde(default)]
    pub earlier: Vec<TrackingId>,
    /// The certificate that was issued to the device last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedCertificate>,
    /// The TPM that registered, as it shows itself when it asks for a challenge
    /// (`Chip::digest` of `landfall-attestation`); absent for other credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<Digest>,
}

/// A certificate that was issued, as a registration keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IssuedCertificate {
    /// Who has issued it.
    pub issuer: IssuerName,
    /// The operation in which it was issued: its answers carry the certificate.
    pub operation: OperationId,
    #[serde(with = "serde_bytes")]
    pub der: Vec<u8>,
    pub serial: SerialNumber,
    pub not_after: Timestamp,
}

/// What became of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The device has a hub.
    Assigned(Assignment),
    /// The policy, or the lack of room, turned it down.
    Failed {
        /// DPS's error code, such as 400207.
        code: u32,
        /// What the device is told.
        message: String,
    },
}

/// A device's place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Assignment {
    pub hub: HubName,
    /// Its id there.
    pub device_id: DeviceId,
    /// Since when it is on this hub.
    pub since: Timestamp,
    /// How it came there.
    pub substatus: Substatus,
    /// The group in the solution, from the outermost inwards.
    pub group_path: Vec<String>,
    /// The initial twin's tags: a JSON object.
    pub tags: JsonText,
    /// The initial twin's desired properties: a JSON object.
    pub desired: JsonText,
    /// What the device is told in `payload`.
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

/// Tells two states of a registration apart. The generation alone does not: it begins anew when a registration has been
/// deleted, and what was decided before must not write over what a device with another key has registered since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts the writings.
    pub generation: u64,
    /// The last decision.
    pub decision: TrackingId,
}

impl Registration {
    /// The hub that it is on, if any.
    pub fn hub(&self) -> Option<&HubName> {
        match &self.outcome {
            Outcome::Assigned(assignment) => Some(&assignment.hub),
            Outcome::Failed { .. } => None,
        }
    }

    /// Its place, if it has one.
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.outcome {
            Outcome::Assigned(assignment) => Some(assignment),
            Outcome::Failed { .. } => None,
        }
    }

    /// Which writing of which registration this is.
    pub fn version(&self) -> Version {
        Version { generation: self.generation, decision: self.decision }
    }

    /// The entity tag of this state, without quotes.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.generation, self.decision)
    }
}
