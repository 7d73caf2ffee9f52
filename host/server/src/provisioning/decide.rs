//! Step 3: the policies decide.
//!
//! This step collects what the enrollment's policies need, has a worker ask them, and keeps every call, so that the
//! decision can be run again. Nothing is written here and no place is taken. The result is a wish, which the commit
//! grants or not.

use std::sync::Arc;

use landfall_domain::decision::call::Placement;
use landfall_domain::decision::failure::HostFailure;
use landfall_domain::names::{DeviceId, HubName};
use landfall_domain::registration::Registration;
use landfall_policy::{Payers, Visit};
use landfall_store::Lane;

use super::deliberation::Deliberation;
use super::postponement::Postponement;
use super::registration_job::RegistrationJob;
use crate::catalogue::candidates::Pending;
use crate::service::Service;

/// What the policies chose.
#[derive(Debug)]
pub(super) enum Wish {
    Hub(HubChoice),
    Postpone(Postponement),
    Reject {
        code: String,
        detail: String,
    },
    /// No hub can take the device.
    NoRoom {
        /// Why each hub cannot.
        detail: String,
    },
}

/// The hubs that the device may get.
#[derive(Debug)]
pub(super) struct HubChoice {
    /// The hub to try first.
    pub(super) first: Place,
    /// The other hubs, in the order of preference.
    pub(super) alternates: Vec<HubName>,
    /// The device's id in its hub, if the policy names one.
    pub(super) device_id: Option<DeviceId>,
}

/// A hub, and the device's place on it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) hub: HubName,
    /// What the grouping policies answered; `None` if there are no grouping policies.
    pub(super) placement: Result<Option<Placement>, Postponement>,
    /// Tells other decisions that a place in the hub is being taken. Dropping it takes the announcement back.
    pub(super) _pending: Pending,
}

/// Asks the policies for a hub, and for the device's place on it.
pub(super) async fn decide(service: &Service, work: &mut RegistrationJob, attempt: u32) -> Wish {
    let deliberation = deliberation(service, work, attempt).await;
    let (waits, payers) = (deliberation.may_wait(), deliberation.payers());
    match visit(service, waits, payers, move |visit| deliberation.decide(visit)).await {
        Ok((wish, calls)) => {
            work.keep(calls);
            wish
        }
        Err(failure) => Wish::Postpone(Postponement::without_worker(failure)),
    }
}

/// Asks the grouping policies for the device's place on another hub than the first.
pub(super) async fn place(service: &Service, work: &mut RegistrationJob, hub: HubName, attempt: u32) -> Option<Place> {
    let pending = work.admitted.scope.hubs.get(&hub)?.pending();
    let deliberation = deliberation(service, work, attempt).await;
    let there = hub.clone();
    let (waits, payers) = (deliberation.may_wait(), deliberation.payers());
    let placement = match visit(service, waits, payers, move |visit| deliberation.place(&there, visit)).await {
        Ok((placement, calls)) => {
            work.keep(calls);
            placement
        }
        Err(failure) => Err(Postponement::without_worker(failure)),
    };
    Some(Place { hub, placement, _pending: pending })
}

/// Runs work on a worker. Work that may wait for a service runs on the threads that are reserved for that.
async fn visit<R: Send + 'static>(
    service: &Service,
    waits: bool,
    payers: Payers,
    calls: impl FnOnce(&Visit) -> R + Send + 'static,
) -> Result<R, HostFailure> {
    if waits {
        service.policies().run_connected(payers, calls).await
    } else {
        service.policies().run(payers, calls).await
    }
}

async fn deliberation(service: &Service, work: &RegistrationJob, attempt: u32) -> Deliberation {
    let allocation = Arc::clone(&work.admitted.allocation);
    let mut images = Vec::with_capacity(2 + allocation.grouping.len());
    for policy in allocation.policies() {
        let mut chain = Vec::with_capacity(1 + policy.stand_ins.len());
        for (_, policy) in policy.chain() {
            let image = service.images().get(Lane::Device, policy).await;
            chain.push(image.map_err(|error| Postponement::without_image(policy, &error)));
        }
        images.push(chain);
    }
    let current = work.admitted.before.as_ref().and_then(Registration::assignment);
    Deliberation {
        scope: Arc::clone(&work.admitted.scope),
        terms: Arc::clone(&work.admitted.terms),
        allocation,
        images,
        current: current.map(|place| (place.hub.clone(), place.device_id.clone())),
        device: Arc::clone(&work.device),
        device_id: work.admitted.device_id.clone(),
        call: work.call(attempt),
        counts: service.group_counts(&work.request.scope),
        host: Arc::clone(service.policies()),
        memory: Arc::default(),
    }
}
