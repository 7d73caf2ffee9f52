//! How filters of listings are applied.

use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::RegistrationId;
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;

use crate::{DecisionFilter, DecisionSummary, RecordFilter, RegistrationFilter};

impl RegistrationFilter {
    /// Whether a registration passes the filter.
    pub(crate) fn shows(&self, registration: &Registration) -> bool {
        let is_of = |group| matches!(&registration.enrollment, EnrollmentRef::Group(id) if id == group);
        self.hub.as_ref().is_none_or(|hub| registration.hub() == Some(hub))
            && self.assigned.is_none_or(|assigned| assigned == registration.hub().is_some())
            && self.group.as_ref().is_none_or(is_of)
    }
}

impl RecordFilter {
    /// Whether a record passes the filter.
    pub(crate) fn shows(&self, record: &ManufacturingRecord) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default().to_ascii_lowercase();
        self.manufacturer.as_ref().is_none_or(|manufacturer| *manufacturer == record.manufacturer)
            && self.state.is_none_or(|state| state == record.state)
            && record.registration_id.key().starts_with(&prefix)
    }
}

impl DecisionFilter {
    /// Whether an entry of the requested id scope passes the filter.
    pub(crate) fn shows(&self, entry: &Entry) -> bool {
        let Self { from, to, device, enrollment, hub: _, policy: _, result: _ } = self;
        from.is_none_or(|from| entry.at >= from)
            && to.is_none_or(|to| entry.at < to)
            && device.as_ref().is_none_or(|device| device_of(entry).as_ref() == Some(device))
            && enrollment.as_ref().is_none_or(|enrollment| is_of(entry, enrollment))
            && self.fits(&DecisionSummary::of(entry))
    }

    /// Whether the summary of a decision passes the filter.
    pub(crate) fn fits(&self, summary: &DecisionSummary) -> bool {
        self.result.is_none_or(|result| summary.result == Some(result))
            && self.hub.as_ref().is_none_or(|hub| summary.hub.as_ref() == Some(hub))
            && self.policy.as_ref().is_none_or(|policy| policy.was_asked(summary))
    }
}

/// The device that an entry is about, if the device stated a valid registration id.
pub(crate) fn device_of(entry: &Entry) -> Option<RegistrationId> {
    entry.registration_id.parse().ok()
}

/// The enrollment that applied to a request, if it was found.
pub(crate) fn enrollment_of(entry: &Entry) -> Option<String> {
    match &entry.kind {
        EntryKind::Refused { enrollment, .. } => enrollment.clone(),
        EntryKind::Decided(decision) => Some(decision.factors.enrollment.to_string()),
        EntryKind::Answered { .. } => None,
    }
}

/// Whether an enrollment applied to the request of an entry. Registration ids are compared without regard to case,
/// group ids with regard to case.
pub(crate) fn is_of(entry: &Entry, enrollment: &EnrollmentRef) -> bool {
    let (Some(named), wanted) = (enrollment_of(entry), enrollment.to_string()) else { return false };
    match enrollment {
        EnrollmentRef::Individual(_) => named.eq_ignore_ascii_case(&wanted),
        EnrollmentRef::Group(_) => named == wanted,
    }
}
