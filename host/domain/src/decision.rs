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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The two factors that admitted it.
    pub factors: Factors,
    /// What the policies were told of it.
    pub device: Device,
    /// The linked hubs as they were: the SHA-256 of a kept content, a JSON list in the order that candidates name.
    #[schema(value_type = String)]
    pub hubs: Digest,
    /// The engine that ran the policies: the fingerprint of its version and settings.
    #[schema(value_type = String)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedNote {
    /// The issuer's name in `landfall.toml`.
    #[schema(value_type = String)]
    pub issuer: IssuerName,
    /// The certificate's number.
    #[schema(value_type = String)]
    pub serial: SerialNumber,
    /// SHA-256 of its DER.
    #[schema(value_type = String)]
    pub sha256: Digest,
    /// Its end, in milliseconds since 1970-01-01 UTC.
    #[schema(value_type = u64)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionFactors)]
pub struct Factors {
    /// The enrollment.
    #[schema(value_type = AdmittingEnrollment)]
    pub enrollment: EnrollmentRef,
    /// How it proved its credential, in a sentence.
    pub credential: String,
    /// The SHA-256 of the public key that it proved.
    #[schema(value_type = String)]
    pub key_identity: Digest,
    /// Who made it, as the manufacturing record says; absent when the enrollment demands no record and none is there.
    #[schema(value_type = Option<String>)]
    pub manufacturer: Option<ManufacturerId>,
    /// Which parts of the record's evidence matched.
    pub evidence: Vec<String>,
}

/// The enrollment that admitted a device, as it is written: for the OpenAPI document.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum AdmittingEnrollment {
    /// The individual enrollment of this registration id.
    Individual(String),
    /// The group of this id.
    Group(String),
}

/// One call of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCall {
    /// What for.
    pub step: Step,
    /// The plugin's name.
    #[schema(value_type = String)]
    pub plugin: PluginName,
    /// The SHA-256 of its component.
    #[schema(value_type = String)]
    pub revision: Digest,
    /// The settings: the SHA-256 of a kept content.
    #[schema(value_type = String)]
    pub settings: Digest,
    /// What was ambient.
    pub call: Call,
    /// The hubs that it was shown; for grouping the one that was chosen.
    #[schema(value_type = Vec<Candidate>)]
    pub candidates: Arc<[Candidate]>,
    /// Its answer, and what it took.
    pub report: CallReport<Answer>,
    /// What it might use: the SHA-256 of a kept content. Absent in records of versions that kept none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub budget: Option<Digest>,
    /// In whose place it was asked; absent for the policy that the enrollment names.
    #[serde(default)]
    pub instead: Option<Instead>,
}

/// Why a policy was asked that the enrollment does not name for this step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyInstead)]
pub struct Instead {
    /// What the plugin's rules call it: `previous-revision` or `shipped`.
    pub resort: String,
    /// The kind of failure of the one before it.
    pub because: String,
}

/// What a policy was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PolicyStep)]
pub enum Step {
    /// A hub.
    Selection,
    /// A hub, after the first policy abstained.
    Fallback,
    /// A place; the number counts the enrollment's grouping policies from 0.
    Grouping(u32),
}

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PolicyAnswer)]
pub enum Answer {
    /// To hub selection.
    Selected(Outcome),
    /// To grouping.
    Placed(Placement),
}

/// What came of the calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[schema(as = DecisionVerdict)]
pub enum Verdict {
    /// The device has a hub and a place.
    #[schema(rename_all = "camelCase")]
    Assigned {
        /// The hub.
        #[schema(value_type = String)]
        hub: HubName,
        /// Its id there.
        #[schema(value_type = String)]
        device_id: DeviceId,
        /// Its group.
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
        /// When it may, in milliseconds since 1970-01-01 UTC.
        #[schema(value_type = u64)]
        until: Timestamp,
        /// Why, for programs: `deferred` or the kind of failure.
        kind: String,
        /// Why.
        detail: String,
    },
}
