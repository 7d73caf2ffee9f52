//! A decision: what the policies answered, and everything that they were told.
//!
//! A decision is complete on purpose. Together with the contents that it names by digest (settings, hubs, components)
//! and an engine with the same fingerprint, every call can be run again and must give the same bytes. With another
//! component in place of the original one, the same calls show what would have become of the device.

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

/// What was decided about a device, and from which inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The two factors that admitted the device.
    pub factors: Factors,
    /// What the policies were told about the device.
    pub device: Device,
    /// The linked hubs at that time: the SHA-256 of a kept content, a JSON list. The candidates refer to hubs by their
    /// position in it.
    #[schema(value_type = String)]
    pub hubs: Digest,
    /// The engine that ran the policies: the fingerprint of its version and settings.
    #[schema(value_type = String)]
    pub engine: Digest,
    /// The calls in the order in which they were made.
    pub calls: Vec<PolicyCall>,
    /// The certificate that was issued to the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<IssuedNote>,
    /// What the calls led to.
    pub verdict: Verdict,
}

/// A certificate that was issued: only what is needed to find it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedNote {
    /// The issuer's name in `landfall.toml`.
    #[schema(value_type = String)]
    pub issuer: IssuerName,
    /// The certificate's serial number.
    #[schema(value_type = String)]
    pub serial: SerialNumber,
    /// SHA-256 of the certificate's DER.
    #[schema(value_type = String)]
    pub sha256: Digest,
    /// Its end, in milliseconds since 1970-01-01 UTC.
    #[schema(value_type = u64)]
    pub not_after: Timestamp,
}

impl IssuedNote {
    /// The note about an issued certificate.
    pub fn of(issued: &IssuedCertificate) -> Self {
        Self {
            issuer: issued.issuer.clone(),
            serial: issued.serial.clone(),
            sha256: Digest::of(&issued.der),
            not_after: issued.not_after,
        }
    }
}

/// The two factors that admitted a device: its credential and its manufacturing record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DecisionFactors)]
pub struct Factors {
    /// The enrollment.
    #[schema(value_type = AdmittingEnrollment)]
    pub enrollment: EnrollmentRef,
    /// How the device proved its credential, as a sentence.
    pub credential: String,
    /// The SHA-256 of the public key that the device proved.
    #[schema(value_type = String)]
    pub key_identity: Digest,
    /// The manufacturer, as the manufacturing record says. `None` when the enrollment does not demand a record and
    /// there is none.
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
    /// The ambient inputs of the call: time, seed and the like.
    pub call: Call,
    /// The hubs that the policy was shown. For grouping: the hub that was chosen.
    #[schema(value_type = Vec<Candidate>)]
    pub candidates: Arc<[Candidate]>,
    /// The policy's answer, and what the call used.
    pub report: CallReport<Answer>,
    /// What the call was allowed to use: the SHA-256 of a kept content. `None` in records of older versions, which did
    /// not keep it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub budget: Option<Digest>,
    /// Set when the policy was asked as a resort after another one failed. `None` for the policy that the enrollment
    /// names.
    #[serde(default)]
    pub instead: Option<Instead>,
}

/// Why a policy was asked although the enrollment does not name it for this step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyInstead)]
pub struct Instead {
    /// The resort, as the plugin's rules name it: `previous-revision` or `shipped`.
    pub resort: String,
    /// The kind of failure of the policy that was asked before.
    pub because: String,
}

/// What a policy was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PolicyStep)]
pub enum Step {
    /// A hub.
    Selection,
    /// Choose a hub, after the first policy abstained.
    Fallback,
    /// Choose a place. The number is the position among the enrollment's grouping policies, from 0.
    Grouping(u32),
}

/// A policy's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PolicyAnswer)]
pub enum Answer {
    /// An answer to hub selection.
    Selected(Outcome),
    /// To grouping.
    Placed(Placement),
}

/// The result of a decision.
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
        /// The device's id in that hub.
        #[schema(value_type = String)]
        device_id: DeviceId,
        /// Its group.
        group_path: Vec<String>,
    },
    /// A policy refused the device. The registration failed.
    Rejected {
        /// The code that the policy gave.
        code: String,
        /// The sentence that the policy gave.
        detail: String,
    },
    /// No hub that the device may be assigned to is linked, active and has room. The registration failed.
    NoRoom {
        /// How many hubs are linked, and why each could not take it.
        detail: String,
    },
    /// The device waits and asks again.
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
