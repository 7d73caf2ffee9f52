//! What the policies are asked, one after the other, on a worker's thread.
//!
//! The enrollment's policies in order: selection, its fallback when it abstains, then each grouping policy for the hub
//! that was chosen. All of it is a function of what the deliberation was made with, and of how full hubs and groups are
//! when a policy is shown them, which the calls record. One visit to a worker for all calls of a decision: each
//! crossing from thread to thread costs as much as a small policy.

use std::sync::Arc;
use std::time::Duration;

use super::decide::{Place, Postponement, Wish};
use crate::catalogue::{Bound, BoundAllocation, ScopeCatalogue};
use crate::enrollment::Terms;
use crate::hub::LinkedHub;
use crate::ledger::{Answer, PolicyCall, Step};
use crate::names::{DeviceId, HubName};
use crate::policy::call::{
    Call, CallReport, Candidate, Candidates, Choice, Device, HubHandle, Outcome, PlaceInput, Placement, SelectInput,
};
use crate::policy::catalogue::{GroupCounts, LiveCatalogue};
use crate::policy::http::Memory;
use crate::policy::image::{Image, Tier};
use crate::policy::{PolicyHost, verdict};

/// What a decision is made from.
pub(super) struct Deliberation {
    pub(super) scope: Arc<ScopeCatalogue>,
    pub(super) terms: Arc<Terms>,
    pub(super) allocation: Arc<BoundAllocation>,
    /// What runs the allocation's policies, in their order, or why one cannot run.
    pub(super) images: Vec<Result<Arc<Image>, Postponement>>,
    /// The hub that the device is on.
    pub(super) current: Option<HubName>,
    pub(super) device: Arc<Device>,
    /// The operator's word on the device's id in its hub.
    pub(super) device_id: Option<DeviceId>,
    pub(super) call: Call,
    pub(super) counts: Arc<dyn GroupCounts>,
    /// What runs the policies, and knows which of them may ask a service.
    pub(super) host: Arc<PolicyHost>,
    /// What its policies were answered by services.
    pub(super) memory: Arc<Memory>,
}

/// What the grouping policies answered together.
type Placed = Result<Option<Placement>, Postponement>;

impl Deliberation {
    /// Asks for a hub and then for the device's place there.
    pub(super) fn decide(&self, waited: Duration) -> (Wish, Vec<PolicyCall>) {
        let mut calls = Calls::new(waited);
        let (candidates, refusals) = self.candidates();
        if candidates.is_empty() {
            let none = "no hub is linked; link one with `landfall hub link`".to_owned();
            let detail = if refusals.is_empty() { none } else { refusals.join("; ") };
            return (Wish::NoRoom { detail }, calls.made);
        }
        let first = self.ask(0, &self.allocation.selection, Step::Selection, &candidates, &mut calls);
        let answer = match (first, &self.allocation.fallback) {
            (Ok(Outcome::Abstain(_)), Some(fallback)) => self.ask(1, fallback, Step::Fallback, &candidates, &mut calls),
            (first, _) => first,
        };
        let wish = match answer {
            Ok(Outcome::Assign(choice)) => self.chosen(&candidates, choice, &mut calls),
            Ok(Outcome::Defer(deferral)) => Wish::Postpone(Postponement {
                retry_after: Duration::from_millis(deferral.retry_after_ms.into()),
                kind: "deferred",
                detail: format!("{}: {}", deferral.reason.code, deferral.reason.detail),
            }),
            Ok(Outcome::Reject(reason)) => Wish::Reject { code: reason.code, detail: reason.detail },
            Ok(Outcome::Abstain(reason)) => {
                let detail = format!("no policy has an opinion: {}: {}", reason.code, reason.detail);
                Wish::Postpone(Postponement::until_mended("abstained", detail))
            }
            Err(postponement) => Wish::Postpone(postponement),
        };
        (wish, calls.made)
    }

    /// Asks where the device belongs on this hub.
    pub(super) fn place(&self, hub: &HubName, waited: Duration) -> (Placed, Vec<PolicyCall>) {
        let mut calls = Calls::new(waited);
        (self.placed(hub, &mut calls), calls.made)
    }

    /// The hubs that the device may get now, and why the others are none.
    fn candidates(&self) -> (Candidates, Vec<String>) {
        let (hubs, current) = (&self.scope.hubs, self.current.as_ref());
        // A device that is never to be re-provisioned has one candidate: its hub, as long as that is linked.
        let stays = current.filter(|hub| !self.terms.reprovision.update_hub_assignment && hubs.get(hub).is_some());
        let allowed = match stays {
            Some(hub) => Some(std::slice::from_ref(hub)),
            None => self.terms.hubs.as_deref(),
        };
        let mut shown = Vec::with_capacity(hubs.len());
        let mut refusals = Vec::new();
        for (position, linked) in (0..).zip(hubs.iter()) {
            match linked.refusal(allowed, current) {
                Some(why) => refusals.push(format!("{} is {why}", linked.hub.name)),
                None => shown.push(linked.candidate(position)),
            }
        }
        (Candidates::new(Arc::clone(hubs.told()), shown), refusals)
    }

    /// One call of a selection policy.
    fn ask(
        &self,
        number: usize,
        policy: &Bound,
        step: Step,
        candidates: &Candidates,
        calls: &mut Calls,
    ) -> Result<Outcome, Postponement> {
        let image = self.image(number)?;
        let (call, device) = (self.call.clone(), Arc::clone(&self.device));
        let catalogue = self.catalogue(policy, image, candidates.clone());
        let input = SelectInput { call, device, candidates: candidates.clone() };
        let report = image.select_hub(&input, catalogue);
        let result = report.result.clone();
        calls.keep(policy, image, step, input.call, Arc::clone(candidates.shown()), answered(report, Answer::Selected));
        result.map_err(|failure| Postponement::after(policy, &failure))
    }

    /// The hubs behind a choice, which the verdict gate has checked, and the device's place on the first of them.
    fn chosen(&self, candidates: &Candidates, choice: Choice, calls: &mut Calls) -> Wish {
        let linked = |handle: &HubHandle| {
            let (_, candidate) = candidates.get(*handle)?;
            self.scope.hubs.iter().nth(usize::try_from(candidate.hub).ok()?)
        };
        let Some(first) = linked(&choice.hub) else {
            let detail = format!("the chosen hub {} is none of the candidates", choice.hub.0);
            return Wish::Postpone(Postponement::soon("host", detail));
        };
        // Announced before grouping runs, so that decisions beside this one see it.
        let pending = first.pending();
        let hub = first.hub.name.clone();
        Wish::Hub {
            first: Place { placement: self.placed(&hub, calls), hub, _pending: pending },
            alternates: choice
                .alternates
                .iter()
                .filter_map(linked)
                .map(|linked: &LinkedHub| linked.hub.name.clone())
                .collect(),
            // The individual enrollment's device id is the operator's word and stands above the policy's.
            device_id: match &self.device_id {
                Some(id) => Some(id.clone()),
                None => choice.device_id.as_deref().and_then(|id| id.parse().ok()),
            },
        }
    }

    /// Asks each grouping policy and joins the answers. None when nobody is to be asked.
    fn placed(&self, hub: &HubName, calls: &mut Calls) -> Placed {
        let mut placements = Vec::with_capacity(self.allocation.grouping.len());
        let before = 1 + usize::from(self.allocation.fallback.is_some());
        for (number, policy) in self.allocation.grouping.iter().enumerate() {
            let image = self.image(before + number)?;
            let Some((hub, candidate)) = self.scope.hubs.candidate(hub) else {
                return Err(Postponement::soon("host", format!("the chosen hub {hub} is not linked any more")));
            };
            let shown = Candidates::new(Arc::clone(self.scope.hubs.told()), [candidate]);
            let catalogue = self.catalogue(policy, image, shown.clone());
            let (call, device) = (self.call.clone(), Arc::clone(&self.device));
            let input = PlaceInput { call, device, hub: hub.clone(), candidate };
            let report = image.place(&input, catalogue);
            let result = report.result.clone();
            let step = Step::Grouping(u32::try_from(number).unwrap_or(u32::MAX));
            calls.keep(policy, image, step, input.call, Arc::clone(shown.shown()), answered(report, Answer::Placed));
            match result {
                Ok(placement) => placements.push((policy.plugin.as_str(), placement)),
                Err(failure) => return Err(Postponement::after(policy, &failure)),
            }
        }
        if placements.is_empty() {
            return Ok(None);
        }
        let merged = verdict::merge(&placements);
        merged.map(Some).map_err(|conflict| Postponement::until_mended("conflict", conflict.to_string()))
    }

    /// Whether any of the policies may wait for a service.
    pub(super) fn may_wait(&self) -> bool {
        self.images.iter().flatten().any(|image| image.revision().card().tier == Tier::Recorded)
    }

    fn catalogue(&self, policy: &Bound, image: &Image, candidates: Candidates) -> Arc<LiveCatalogue> {
        let live = LiveCatalogue::new(candidates, Arc::clone(&self.counts));
        let key = (image.revision().digest(), image.settings_digest());
        Arc::new(live.connected(self.host.connection(&policy.plugin, key, &self.memory)))
    }

    fn image(&self, number: usize) -> Result<&Image, Postponement> {
        match self.images.get(number) {
            Some(Ok(image)) => Ok(image),
            Some(Err(postponement)) => Err(postponement.clone()),
            None => Err(Postponement::soon("host", format!("policy {number} of the enrollment was not made ready"))),
        }
    }
}

/// The calls of one visit to a worker.
struct Calls {
    made: Vec<PolicyCall>,
    /// Microseconds that the visit waited for its worker, until a call bears them.
    waited_us: u64,
}

impl Calls {
    fn new(waited: Duration) -> Self {
        Self { made: Vec::new(), waited_us: u64::try_from(waited.as_micros()).unwrap_or(u64::MAX) }
    }

    /// Keeps a call for the ledger. The first one bears the time in the queue.
    fn keep(
        &mut self,
        policy: &Bound,
        image: &Image,
        step: Step,
        call: Call,
        candidates: Arc<[Candidate]>,
        mut report: CallReport<Answer>,
    ) {
        report.usage.queue_us = std::mem::take(&mut self.waited_us);
        let (plugin, settings) = (policy.plugin.clone(), policy.settings_digest);
        let revision = image.revision().digest();
        self.made.push(PolicyCall { step, plugin, revision, settings, call, candidates, report });
    }
}

/// The same report with its answer as the ledger keeps it.
fn answered<T>(report: CallReport<T>, answer: impl FnOnce(T) -> Answer) -> CallReport<Answer> {
    let CallReport { result, usage, transcript, log } = report;
    CallReport { result: result.map(answer), usage, transcript, log }
}
