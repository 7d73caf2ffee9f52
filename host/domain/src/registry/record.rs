//! The manufacturing record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Evidence;
use crate::clock::Timestamp;
use crate::names::{ManufacturerId, RegistrationId};

/// What the manufacturer says of one device: that it made it, how its credential can be recognised, and facts that
/// policies may use. Keyed by id scope and registration id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ManufacturingRecord {
    pub registration_id: RegistrationId,
    /// Who imported it, and alone may change it.
    pub manufacturer: ManufacturerId,
    /// Whether it may be provisioned.
    pub state: RecordState,
    /// What the credential must match, if anything is said of it.
    #[serde(default)]
    pub evidence: Evidence,
    /// Free facts, such as `model` or `region`, sorted by key.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// When it was first imported.
    pub imported_at: Timestamp,
    /// When it or its state last changed.
    pub updated_at: Timestamp,
    /// Who else says that it made the device. Of several the last one; the record is not theirs, and stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// A manufacturer that says it made a device whose record is another's. One of the two is wrong, and only an operator can
/// know which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Claim {
    pub manufacturer: ManufacturerId,
    /// When it first said so.
    pub at: Timestamp,
}

impl ManufacturingRecord {
    /// Whether two imports say the same of the device; state and times are not the manufacturer's to say.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.registration_id.as_str() == other.registration_id.as_str()
            && self.manufacturer == other.manufacturer
            && self.evidence == other.evidence
            && self.facts == other.facts
    }
}

/// Whether two readings of a device's record, or its absence, let the same credential in.
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
