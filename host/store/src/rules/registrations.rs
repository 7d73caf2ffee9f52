//! Whether a registration may be written, and what is written.

use landfall_domain::hub::HubState;
use landfall_domain::names::{HubName, TrackingId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;
use landfall_domain::registry::record::admit_alike;

use super::contents::Named;
use super::{Scoped, admissions};
use crate::{AdmissionBasis, CommitOutcome, StoreError};
use landfall_domain::registration::Version;

/// The parts of a [`RegistrationCommit`](crate::RegistrationCommit) that are judged.
pub(crate) struct Wish<'a> {
    pub(crate) registration: &'a Registration,
    pub(crate) expected: Option<Version>,
    pub(crate) record: Option<&'a ManufacturingRecord>,
    pub(crate) basis: &'a AdmissionBasis,
    pub(crate) answered: Option<TrackingId>,
    /// The contents that the ledger entry names.
    pub(crate) named: &'a Named,
}

/// A registration that passed all conditions.
pub(crate) struct Judged {
    /// The stored registration.
    pub(crate) current: Option<Registration>,
    /// The registration to write; its list of earlier decisions is not updated yet.
    pub(crate) next: Registration,
}

/// Checks all conditions of a commit.
pub(crate) fn commit(scope: &impl Scoped, wish: &Wish<'_>) -> Result<Result<Judged, CommitOutcome>, StoreError> {
    let id = &wish.registration.registration_id;
    let current = scope.registration(id)?;
    if current.as_ref().map(Registration::version) != wish.expected {
        return Ok(Err(CommitOutcome::Overtaken(current.map(Box::new))));
    }
    if !admit_alike(wish.record, scope.record(id)?.as_ref()) {
        return Ok(Err(CommitOutcome::RecordChanged));
    }
    if admissions::have_changed(scope, id, wish.basis)? {
        return Ok(Err(CommitOutcome::AdmissionChanged(scope.revision()?)));
    }
    if let Some(challenge) = wish.answered {
        match scope.is_spent(challenge)? {
            Some(false) => {}
            Some(true) => return Ok(Err(CommitOutcome::ChallengeSpent)),
            None => return Ok(Err(CommitOutcome::ChallengeGone)),
        }
    }
    for component in wish.named.components() {
        if !scope.has_component(*component)? {
            return Ok(Err(CommitOutcome::RevisionGone));
        }
    }
    if let Some(shown) = wish.registration.key_identity
        && let Some(other) = scope.owner_of_key(shown)?.filter(|owner| owner != id)
    {
        return Ok(Err(CommitOutcome::KeyOfAnother(other)));
    }
    let mut next = wish.registration.clone();
    next.generation = current.as_ref().map_or(0, |r| r.generation).saturating_add(1);
    next.initial_hub = current.as_ref().and_then(|r| r.initial_hub.clone());
    if let Some(current) = &current {
        next.registration_id = current.registration_id.clone();
    }
    if let Some(hub) = wish.registration.hub() {
        if !may_be_on(scope, hub, current.as_ref())? {
            return Ok(Err(CommitOutcome::NoRoom));
        }
        next.initial_hub.get_or_insert_with(|| hub.clone());
    }
    if let Some(place) = next.assignment()
        && let Some(other) =
            scope.owner_of_identity(&place.hub, &place.device_id)?.filter(|owner| *owner != next.registration_id)
    {
        return Ok(Err(CommitOutcome::IdentityTaken(other)));
    }
    Ok(Ok(Judged { current, next }))
}

/// Whether the hub accepts the device. A hub that the device is on already does, even if it is draining or full.
fn may_be_on(scope: &impl Scoped, hub: &HubName, current: Option<&Registration>) -> Result<bool, StoreError> {
    let Some(linked) = scope.hub(hub)? else { return Ok(false) };
    if current.and_then(Registration::hub) == Some(hub) {
        return Ok(true);
    }
    Ok(linked.state == HubState::Active && scope.hub_load(hub)? < linked.capacity)
}

/// Splits the earlier decisions, the newest first: the last few are kept, and the others are removed.
pub(crate) fn earlier(
    before: Option<Registration>,
    now: TrackingId,
    most: usize,
) -> (Vec<TrackingId>, Vec<TrackingId>) {
    let Some(before) = before else { return (Vec::new(), Vec::new()) };
    let mut earlier = before.earlier;
    if before.decision != now {
        earlier.insert(0, before.decision);
    }
    let gone = earlier.split_off(most.min(earlier.len()));
    (earlier, gone)
}

/// The registration without its binding to a key and a TPM. The generation increases, so that a pending decision for
/// the old key does not bind it again.
pub(crate) fn released(bound: Registration) -> Registration {
    let generation = bound.generation.saturating_add(1);
    Registration { key_identity: None, chip: None, generation, ..bound }
}
