//! A decision: what the policies answered, and all that they were told.
//!
//! Complete on purpose. From a decision, the contents that it names by digest (settings, hubs, components) and an
//! engine of the same fingerprint, every call can be run again and must give the same bytes; with another component
//! in its place, the same calls say what would have become of the device.

pub mod call;
pub mod content;
pub mod entry;
pub mod exchange;
pub mod failure;
pub mod log;
pub mod transcript;
pub mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::call::{Call, CallReport, Candidate, Device, Outcome, Placement};
pub use self::content::Content;
pub use self::entry::{Entry, EntryKind};
use crate::clock::Timestamp;
use crate::enrollment::EnrollmentRef;
use crate::names::{DeviceId, Digest, HubName, IssuerName, ManufacturerId, PluginName};
use crate::registration::IssuedCertificate;
use crate::registry::SerialNumber;

/// What was decided about a device, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The two factors that admitted it.
    pub factors: Factors,
    /// What the policies were told of it.
    pub device: Device,
    /// The linked hubs as they were: the SHA-256 of a kept content, a JSON list in the order that candidates name.
    pub hubs: Digest,
    /// The engine that ran the policies: the fingerprint of its version and settings.
    pub engine: Digest,
    /// The calls in the order in which they were made.
    pub calls: Vec<PolicyCall>,
    /// The certificate that was issued to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedNote>,
    /// What came of them.
    pub verdict: Verdict,
}

/// A certificate that was issued, as far as it must be known to find it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct IssuedNote {
    /// The issuer's name in `landfall.toml`.
    pub issuer: IssuerName,
    /// The certificate's number.
    pub serial: SerialNumber,
    /// SHA-256 of its DER.
    pub sha256: Digest,
    pub not_after: Timestamp,
}

impl IssuedNote {
    /// Of a certificate.
    pub fn of(issued: &IssuedCertificate) -> Self {
        Self {
            issuer: issued.issuer.clone(),
            serial: issued.serial.clone(),
            sha256: Digest::of(&issued.der),
            not_after: issued.not_after,
        }
    }
}

/// What admitted a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct Factors {
    pub enrollment: EnrollmentRef,
    /// How it proved its credential, in a sentence.
    pub credential: String,
    /// The SHA-256 of the public key that it proved.
    pub key_identity: Digest,
    /// Who made it, as the manufacturing record says; absent when the enrollment demands no record and none is there.
    pub manufacturer: Option<ManufacturerId>,
    /// Which parts of the record's evidence matched.
    pub evidence: Vec<String>,
}

/// One call of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct PolicyCall {
    pub step: Step,
    /// The plugin's name.
    pub plugin: PluginName,
    /// The SHA-256 of its component.
    pub revision: Digest,
    /// The settings: the SHA-256 of a kept content.
    pub settings: Digest,
    /// What was ambient.
    pub call: Call,
    /// The hubs that it was shown; for grouping the one that was chosen.
    pub candidates: Arc<[Candidate]>,
    /// Its answer, and what it took.
    pub report: CallReport<Answer>,
    /// What it might use: the SHA-256 of a kept content. Absent in records of versions that kept none.
    #[serde(default)]
    pub budget: Option<Digest>,
    /// In whose place it was asked; absent for the policy that the enrollment names.
    #[serde(default)]
    pub instead: Option<Instead>,
}

/// Why a policy was asked that the enrollment does not name for this step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instead {
    /// What the plugin's rules call it: `previous-revision` or `shipped`.
    pub resort: String,
    /// The kind of failure of the one before it.
    pub because: String,
}

/// What a policy was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Step {
    Selection,
    /// A hub, after the first policy abstained.
    Fallback,
    /// A place; the number counts the enrollment's grouping policies from 0.
    Grouping(u32),
}

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Answer {
    /// To hub selection.
    Selected(Outcome),
    Placed(Placement),
}

/// What came of the calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Verdict {
    /// The device has a hub and a place.
    Assigned {
        hub: HubName,
        /// Its id there.
        device_id: DeviceId,
        group_path: Vec<String>,
    },
    /// A policy refused it; its registration failed.
    Rejected {
        /// The policy's code.
        code: String,
        /// The policy's sentence.
        detail: String,
    },
    /// No hub that it may get is linked, active and has room; its registration failed.
    NoRoom {
        /// How many hubs are linked, and why each could not take it.
        detail: String,
    },
    /// It waits and asks again.
    Postponed {
        /// When it may.
        until: Timestamp,
        /// Why, for programs: `deferred` or the kind of failure.
        kind: String,
        detail: String,
    },
}
