//! What goes into a policy and what comes out, as the host keeps it.
//!
//! These are the host's own types, owned and complete, and not those generated from one version of the WIT: they are
//! what a decision record stores, so they outlive every version. Adapters of the policy host turn them into a version's types
//! and back. Field order is the stored order; compact encodings write structs as arrays, so fields are only ever added
//! at the end, and none is left out when it is empty.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::failure::CallFailure;
use super::log::Log;
use super::transcript::{Exchange, Transcript};
pub use crate::hub::Location;
use crate::text::one_line;

/// All that hub selection is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectInput {
    /// What is ambient.
    pub call: Call,
    /// Who registers.
    pub device: Arc<Device>,
    /// The hubs that may be chosen.
    pub candidates: Candidates,
}

/// All that grouping is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceInput {
    /// What is ambient.
    pub call: Call,
    /// Who registers.
    pub device: Arc<Device>,
    /// The hub that was chosen; its handle is 0.
    pub hub: Hub,
    /// How full it is.
    pub candidate: Candidate,
}

/// Everything ambient that a decision may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PolicyInputCall)]
pub struct Call {
    /// The id under which the decision is kept.
    pub decision_id: String,
    /// Milliseconds since 1970-01-01 UTC. WASI's wall clock stands at it for the whole call.
    pub now: u64,
    /// The only randomness; WASI's is drawn from it.
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
    /// What the manufacturer said, sorted by key.
    pub facts: Vec<Label>,
    /// What the credential proved, sorted by key.
    pub claims: Vec<Label>,
    /// Top-level members of the enrollment's initial-twin tags, sorted by key; values are JSON text.
    pub tags: Vec<Label>,
    /// What the device says of itself: JSON text, untrusted.
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

/// The hubs that one call may choose. What the operator says of them is shared by all calls of its time: threads that
/// decide side by side would otherwise wait for each other's counts of references.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidates {
    linked: Arc<[Hub]>,
    shown: Arc<[Candidate]>,
}

/// A hub as it was shown to a policy: its place among the linked hubs, and what changes from call to call. A hub's
/// handle is the place of its candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its position among the linked hubs.
    pub hub: u32,
    /// Devices assigned to it.
    pub assigned: u64,
    /// Registrations that had chosen it and were not yet committed.
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
    /// Where it stands.
    pub location: Option<Location>,
    /// The operator's labels, sorted by key. Not handed over with the candidates; a policy pulls them.
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
    /// Never: the registration fails.
    Reject(Reason),
    /// No opinion: the enrollment's fallback policy decides.
    Abstain(Reason),
}

/// A hub for the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The chosen hub.
    pub hub: HubHandle,
    /// Taken in this order when the chosen hub has no room left.
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

/// Why something was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// For programs.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Where a device belongs and what it starts with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// From the outermost group inwards; empty for no opinion.
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
    /// It does not handle such devices or candidates.
    #[error("unsupported: {}", one_line(.0))]
    Unsupported(String),
    /// Something it was given is wrong.
    #[error("bad input: {}", one_line(.0))]
    BadInput(String),
    /// Anything else.
    #[error("internal: {}", one_line(.0))]
    Internal(String),
}

/// One call's result, and all that is to be known of how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallReport<T> {
    /// The checked answer, or why there is none.
    #[schema(value_type = CallResult<T>)]
    pub result: Result<T, CallFailure>,
    /// What it took.
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
    /// Microseconds in the executor's queue.
    pub queue_us: u64,
    /// Microseconds to make the instance.
    pub instantiate_us: u64,
    /// Microseconds in the policy, handing over included.
    pub guest_us: u64,
}

impl Candidates {
    /// These of the linked hubs.
    pub fn new(linked: Arc<[Hub]>, shown: impl Into<Arc<[Candidate]>>) -> Self {
        Self { linked, shown: shown.into() }
    }

    /// All of these hubs, with the numbers of devices that are assigned to them.
    pub fn all(hubs: impl IntoIterator<Item = (Hub, u64)>) -> Self {
        let (linked, assigned): (Vec<Hub>, Vec<u64>) = hubs.into_iter().unzip();
        let shown = (0..).zip(assigned).map(|(hub, assigned)| Candidate { hub, assigned, pending: 0 });
        Self { shown: shown.collect(), linked: linked.into() }
    }

    /// With their handles.
    pub fn iter(&self) -> impl Iterator<Item = (HubHandle, &Hub, &Candidate)> {
        (0..).zip(&*self.shown).filter_map(|(handle, candidate)| {
            Some((HubHandle(handle), self.linked.get(usize::try_from(candidate.hub).ok()?)?, candidate))
        })
    }

    /// The one that a handle means.
    pub fn get(&self, handle: HubHandle) -> Option<(&Hub, &Candidate)> {
        let candidate = self.shown.get(usize::try_from(handle.0).ok()?)?;
        Some((self.linked.get(usize::try_from(candidate.hub).ok()?)?, candidate))
    }

    /// As decisions keep them.
    pub fn shown(&self) -> &Arc<[Candidate]> {
        &self.shown
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }
}

impl<T> CallReport<T> {
    /// The same report with its result changed.
    pub fn and_then<U>(self, check: impl FnOnce(T) -> Result<U, CallFailure>) -> CallReport<U> {
        let Self { result, usage, transcript, log } = self;
        CallReport { result: result.and_then(check), usage, transcript, log }
    }

    /// A report of a call that never began.
    pub fn never_began(failure: CallFailure) -> Self {
        Self { result: Err(failure), usage: Usage::default(), transcript: Transcript::default(), log: Log::default() }
    }
}
