//! The manufacturing record of a device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Evidence;
use crate::clock::Timestamp;
use crate::names::{ManufacturerId, RegistrationId};

/// What the manufacturer says about one device: that it made the device, how the credential can be recognised, and
/// facts for policies. The key is the id scope and the registration id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ManufacturingRecord {
    pub registration_id: RegistrationId,
    /// The manufacturer that imported the record. No other manufacturer may change it.
    pub manufacturer: ManufacturerId,
    /// Whether the device may be provisioned.
    pub state: RecordState,
    /// What the credential must match, as far as the manufacturer says anything about it.
    #[serde(default)]
    pub evidence: Evidence,
    /// Facts, such as `model` or `region`, sorted by key. The manufacturer chooses them freely.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// When the record was first imported.
    pub imported_at: Timestamp,
    /// When the record or its state last changed.
    pub updated_at: Timestamp,
    /// Another manufacturer that says that it made the device: the last one, if there are several. Its import does not
    /// change the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// The claim of a manufacturer to have made a device whose record another manufacturer imported. One of them is wrong,
/// and only an operator can find out which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Claim {
    pub manufacturer: ManufacturerId,
    /// When the manufacturer first made the claim.
    pub at: Timestamp,
}

impl ManufacturingRecord {
    /// Whether two imports say the same about the device. State and times are not compared: the manufacturer does not
    /// set them.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.registration_id.as_str() == other.registration_id.as_str()
            && self.manufacturer == other.manufacturer
            && self.evidence == other.evidence
            && self.facts == other.facts
    }
}

/// Whether two states of a device's record (`None`: no record) admit the same credentials.
pub fn admit_alike(one: Option<&ManufacturingRecord>, other: Option<&ManufacturingRecord>) -> bool {
    let admits = |record: Option<&'_ ManufacturingRecord>| {
        record.map(|record| (record.manufacturer.clone(), record.state, record.evidence.clone()))
    };
    admits(one) == admits(other)
}

/// Whether a device may be provisioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// It may.
    #[default]
    Active,
    /// Not while somebody looks into it.
    Quarantined,
    /// Never again.
    Retired,
}
