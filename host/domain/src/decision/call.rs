//! The inputs and outputs of a policy, as the host keeps them.
//!
//! These are the host's own types, owned and complete. They are not the types that are generated from one version of
//! the WIT: decision records store them, so they must outlive every version. Adapters in the policy host convert them
//! to and from the types of a version. Field order is the stored order. Compact encodings write structs as arrays, so
//! fields are only ever added at the end, and no field is left out when it is empty.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::failure::CallFailure;
use super::log::Log;
use super::transcript::{Exchange, Transcript};
pub use crate::hub::Location;
use crate::text::one_line;

/// Everything that hub selection is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct SelectInput {
    /// The ambient inputs.
    pub call: Call,
    pub device: Arc<Device>,
    /// The hubs that may be chosen.
    pub candidates: Candidates,
}

/// Everything that grouping is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct PlaceInput {
    /// The ambient inputs.
    pub call: Call,
    pub device: Arc<Device>,
    /// The hub that was chosen; its handle is 0.
    pub hub: Hub,
    /// How many devices the hub has.
    pub candidate: Candidate,
}

/// All ambient inputs on which a decision may depend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyInputCall)]
pub struct Call {
    /// The id under which the decision is kept.
    pub decision_id: String,
    /// Milliseconds since 1970-01-01 UTC. WASI's wall clock shows this time during the whole call.
    pub now: u64,
    /// The only source of randomness. WASI's random numbers are derived from it.
    pub seed: u64,
    /// Changes whenever the operator changes the hubs.
    pub catalog_revision: u64,
    /// Above 0 when the policy is asked again because the hubs it chose had no room left.
    pub attempt: u32,
}

/// The device that registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyDevice)]
pub struct Device {
    /// The registration id.
    pub registration_id: String,
    /// How the credential was proved.
    pub attestation: Attestation,
    /// Which kind of entry admitted the device.
    pub enrollment: EnrollmentKind,
    /// The registration id of an individual enrollment, or the id of the group.
    pub enrollment_id: String,
    /// What the manufacturing record says, sorted by key.
    pub facts: Vec<Label>,
    /// What the credential proved, sorted by key.
    pub claims: Vec<Label>,
    /// Top-level members of the enrollment's initial-twin tags, sorted by key; values are JSON text.
    pub tags: Vec<Label>,
    /// What the device says about itself: JSON text, untrusted.
    pub payload: Option<String>,
    /// Where the device was before.
    pub prior: Option<Prior>,
}

/// How a device proved its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of the attestation mechanisms")]
#[schema(as = PolicyAttestation)]
pub enum Attestation {
    X509,
    Tpm,
    SymmetricKey,
    Token,
}

/// Whether one device or a group of devices is enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of the enrollments")]
pub enum EnrollmentKind {
    Individual,
    Group,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Label {
    /// What is told.
    pub key: String,
    /// What is told of it.
    pub value: String,
}

/// Where a device was before this registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PriorPlace)]
pub struct Prior {
    /// The hub's name; it may no longer be among the candidates.
    pub hub: String,
    /// Its path of groups, outermost first.
    pub group_path: Vec<String>,
    /// When it was assigned, in milliseconds since 1970-01-01 UTC.
    pub since: u64,
}

/// The hubs that one call may choose. All calls of one time share what the operator says about the hubs: otherwise
/// threads that decide in parallel would wait for each other's reference counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidates {
    linked: Arc<[Hub]>,
    shown: Arc<[Candidate]>,
}

/// A hub as it was shown to a policy: its position among the linked hubs, and the numbers that change from call to
/// call. A hub's handle is the position of its candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its position among the linked hubs.
    pub hub: u32,
    /// Number of devices that are assigned to it.
    pub assigned: u64,
    /// Number of registrations that had chosen it and were not yet committed.
    pub pending: u32,
}

/// What the operator says of a linked hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hub {
    /// Its host name.
    pub name: Arc<str>,
    /// The operator's weight, 1 to 1000.
    pub weight: u32,
    /// How many devices it takes.
    pub capacity: u64,
    /// Where the hub is.
    pub location: Option<Location>,
    /// The operator's labels, sorted by key. They are not passed along with the candidates; a policy asks for them.
    pub labels: Arc<[Label]>,
}

/// The position of a hub among the candidates of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct HubHandle(pub u32);

/// What hub selection decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SelectionOutcome)]
pub enum Outcome {
    /// This hub.
    Assign(Choice),
    /// Not now.
    Defer(Deferral),
    /// The device is refused for good: the registration fails.
    Reject(Reason),
    /// No opinion: the enrollment's fallback policy decides.
    Abstain(Reason),
}

/// The hub that was chosen for the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The chosen hub.
    pub hub: HubHandle,
    /// The hubs to try, in this order, when the chosen hub has no room left.
    pub alternates: Vec<HubHandle>,
    /// The id of the device in its hub, when it differs from the registration id.
    pub device_id: Option<String>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// When the device is to ask again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deferral {
    /// Milliseconds until the device asks again.
    pub retry_after_ms: u32,
    /// Why.
    pub reason: Reason,
}

/// A reason that a policy gives for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// For programs.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Where a device belongs, and the tags and properties that it starts with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The path of groups, from the outermost inwards. Empty: the policy has no opinion.
    pub group_path: Vec<String>,
    /// Top-level members of the initial twin's tags; values are JSON text.
    pub tags: Vec<Label>,
    /// The initial twin's desired properties: a JSON object as text.
    pub desired: Option<String>,
    /// What the device is told in its registration's payload: JSON text.
    pub reply: Option<String>,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// The policy could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PolicyFault)]
pub enum Fault {
    /// The policy does not handle devices or candidates of this kind.
    #[error("unsupported: {}", one_line(.0))]
    Unsupported(String),
    /// Something that the policy was given is wrong.
    #[error("bad input: {}", one_line(.0))]
    BadInput(String),
    /// Anything else.
    #[error("internal: {}", one_line(.0))]
    Internal(String),
}

/// The result of one call, and everything that is known about how it was produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallReport<T> {
    /// The checked answer, or why there is no answer.
    #[schema(value_type = CallResult<T>)]
    pub result: Result<T, CallFailure>,
    /// What the call used.
    pub usage: Usage,
    /// What the catalogue answered.
    #[schema(value_type = Vec<Exchange>)]
    pub transcript: Transcript,
    /// What the policy logged.
    pub log: Log,
}

/// How the result of a [`CallReport`] is written: for the OpenAPI document.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is used: utoipa knows no `Result`")]
enum CallResult<T> {
    /// The checked answer.
    Ok(T),
    /// Why there is none.
    Err(CallFailure),
}

/// What a call took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyUsage)]
pub struct Usage {
    /// Units of fuel, calls into the host included.
    pub fuel: u64,
    /// The largest linear memory, in bytes.
    pub peak_memory_bytes: u64,
    /// Microseconds that the call waited in the executor's queue.
    pub queue_us: u64,
    /// Microseconds to create the instance.
    pub instantiate_us: u64,
    /// Microseconds in the policy, passing arguments and results included.
    pub guest_us: u64,
}

impl Candidates {
    /// The candidates `shown` among the linked hubs.
    pub fn new(linked: Arc<[Hub]>, shown: impl Into<Arc<[Candidate]>>) -> Self {
        Self { linked, shown: shown.into() }
    }

    /// All of these hubs as candidates, each with the number of devices that are assigned to it.
    pub fn all(hubs: impl IntoIterator<Item = (Hub, u64)>) -> Self {
        let (linked, assigned): (Vec<Hub>, Vec<u64>) = hubs.into_iter().unzip();
        let shown = (0..).zip(assigned).map(|(hub, assigned)| Candidate { hub, assigned, pending: 0 });
        Self { shown: shown.collect(), linked: linked.into() }
    }

    /// The hubs and candidates with their handles.
    pub fn iter(&self) -> impl Iterator<Item = (HubHandle, &Hub, &Candidate)> {
        (0..).zip(&*self.shown).filter_map(|(handle, candidate)| {
            Some((HubHandle(handle), self.linked.get(usize::try_from(candidate.hub).ok()?)?, candidate))
        })
    }

    /// The hub and candidate of a handle.
    pub fn get(&self, handle: HubHandle) -> Option<(&Hub, &Candidate)> {
        let candidate = self.shown.get(usize::try_from(handle.0).ok()?)?;
        Some((self.linked.get(usize::try_from(candidate.hub).ok()?)?, candidate))
    }

    /// The candidates in the form that decisions keep.
    pub fn shown(&self) -> &Arc<[Candidate]> {
        &self.shown
    }

    /// The number of candidates.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether there are no candidates.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl<T> CallReport<T> {
    /// The same report, with the result mapped by `check`.
    pub fn and_then<U>(self, check: impl FnOnce(T) -> Result<U, CallFailure>) -> CallReport<U> {
        let Self { result, usage, transcript, log } = self;
        CallReport { result: result.and_then(check), usage, transcript, log }
    }

    /// A report of a call that never began.
    pub fn never_began(failure: CallFailure) -> Self {
        Self { result: Err(failure), usage: Usage::default(), transcript: Transcript::default(), log: Log::default() }
    }
}
