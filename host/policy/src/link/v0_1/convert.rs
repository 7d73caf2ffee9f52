//! Conversions between the host's types and those of `landfall:policy@0.1`.

use landfall_domain::decision::call::{
    Attestation, Call, Candidate, Choice, Deferral, Device, EnrollmentKind, Fault, Hub, HubHandle, Label, Outcome,
    Placement, Reason,
};

use super::bindings::exports::landfall::policy::{control, grouping, hub_selection};
use super::bindings::landfall::policy::{log, types};
use crate::image::{Description, Problem};
use crate::log::LogLevel;

pub(super) fn call(call: &Call) -> types::Call<'_> {
    types::Call {
        decision_id: &call.decision_id,
        now: call.now,
        seed: call.seed,
        catalog_revision: call.catalog_revision,
        attempt: call.attempt,
    }
}

pub(super) fn hub<'a>((handle, hub, candidate): (HubHandle, &'a Hub, &Candidate)) -> types::Hub<'a> {
    types::Hub {
        handle: handle.0,
        name: &hub.name,
        weight: hub.weight,
        capacity: hub.capacity,
        assigned: candidate.assigned,
        pending: candidate.pending,
        location: hub.location.map(|at| types::Location { latitude: at.latitude, longitude: at.longitude }),
    }
}

/// A device whose lists are lent to the bindings, as slices of the bindings' types.
pub(super) struct LentDevice<'a> {
    device: &'a Device,
    facts: Vec<types::LabelParam<'a>>,
    claims: Vec<types::LabelParam<'a>>,
    tags: Vec<types::LabelParam<'a>>,
    group_path: Vec<&'a str>,
}

impl<'a> LentDevice<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        let path = device.prior.as_ref().map(|prior| prior.group_path.as_slice()).unwrap_or_default();
        Self {
            device,
            facts: lent(&device.facts),
            claims: lent(&device.claims),
            tags: lent(&device.tags),
            group_path: path.iter().map(String::as_str).collect(),
        }
    }

    pub(super) fn device(&self) -> types::Device<'_> {
        let device = self.device;
        types::Device {
            registration_id: &device.registration_id,
            attestation: match device.attestation {
                Attestation::X509 => types::Attestation::X509,
                Attestation::Tpm => types::Attestation::Tpm,
                Attestation::SymmetricKey => types::Attestation::SymmetricKey,
                Attestation::Token => types::Attestation::Token,
            },
            enrollment: match device.enrollment {
                EnrollmentKind::Individual => types::EnrollmentKind::Individual,
                EnrollmentKind::Group => types::EnrollmentKind::Group,
            },
            enrollment_id: &device.enrollment_id,
            facts: &self.facts,
            claims: &self.claims,
            tags: &self.tags,
            payload: device.payload.as_deref(),
            prior: device.prior.as_ref().map(|prior| types::Prior {
                hub: &prior.hub,
                group_path: &self.group_path,
                since: prior.since,
            }),
        }
    }
}

fn lent(labels: &[Label]) -> Vec<types::LabelParam<'_>> {
    labels.iter().map(|label| types::LabelParam { key: &label.key, value: &label.value }).collect()
}

pub(super) fn outcome(outcome: hub_selection::Outcome) -> Outcome {
    match outcome {
        hub_selection::Outcome::Assign(choice) => Outcome::Assign(Choice {
            hub: HubHandle(choice.hub),
            alternates: choice.alternates.into_iter().map(HubHandle).collect(),
            device_id: choice.device_id,
            reasons: choice.reasons.into_iter().map(reason).collect(),
        }),
        hub_selection::Outcome::Defer(deferral) => {
            Outcome::Defer(Deferral { retry_after_ms: deferral.retry_after_ms, reason: reason(deferral.reason) })
        }
        hub_selection::Outcome::Reject(why) => Outcome::Reject(reason(why)),
        hub_selection::Outcome::Abstain(why) => Outcome::Abstain(reason(why)),
    }
}

pub(super) fn placement(placement: grouping::Placement) -> Placement {
    Placement {
        group_path: placement.group_path,
        tags: placement.tags.into_iter().map(label).collect(),
        desired: placement.desired,
        reply: placement.reply,
        reasons: placement.reasons.into_iter().map(reason).collect(),
    }
}

pub(super) fn fault(fault: types::Fault) -> Fault {
    match fault {
        types::Fault::Unsupported(text) => Fault::Unsupported(text),
        types::Fault::BadInput(text) => Fault::BadInput(text),
        types::Fault::Internal(text) => Fault::Internal(text),
    }
}

pub(super) fn description(description: control::Description) -> Description {
    let control::Description { name, version, summary, settings_schema } = description;
    Description { name, version, summary, settings_schema }
}

pub(super) fn problem(problem: control::Problem) -> Problem {
    Problem { pointer: problem.pointer, message: problem.message }
}

pub(super) fn label(label: types::LabelResult) -> Label {
    Label { key: label.key, value: label.value }
}

pub(super) fn label_out(label: &Label) -> types::LabelResult {
    types::LabelResult { key: label.key.clone(), value: label.value.clone() }
}

pub(super) fn level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Trace => LogLevel::Trace,
        log::Level::Debug => LogLevel::Debug,
        log::Level::Info => LogLevel::Info,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    }
}

fn reason(reason: types::Reason) -> Reason {
    Reason { code: reason.code, detail: reason.detail }
}
