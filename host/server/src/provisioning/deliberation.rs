//! Asks the policies of a decision, one after the other, on a worker's thread.
//!
//! The order is that of the enrollment: selection, its fallback if selection abstains, then each grouping policy for
//! the chosen hub. If a policy gives no answer, the policies that the operator named for that case (its stand-ins) are
//! asked in its place, one after the other, in the same visit. Every attempt is a call that is kept. The result depends
//! only on what the deliberation was made with, and on how full hubs and groups are when a policy is shown them, which
//! the calls record. All calls of a decision run in one visit to a worker, because passing work from thread to thread
//! costs as much as running a small policy.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::decision::call::{
    Call, CallReport, Candidates, Choice, Device, HubHandle, Outcome, PlaceInput, Placement, SelectInput, Usage,
};
use landfall_domain::decision::failure::{CallFailure, HostFailure};
use landfall_domain::decision::{Answer, Content, Instead, PolicyCall, Step};
use landfall_domain::enrollment::Terms;
use landfall_domain::names::{DeviceId, HubName};
use landfall_domain::plugin::card::Tier;
use landfall_policy::host_view::{GroupCounts, LiveCatalogue};
use landfall_policy::http::Memory;
use landfall_policy::image::Image;
use landfall_policy::watch::meter::Interface;
use landfall_policy::{Payers, PolicyHost, Visit, verdict};

use super::decide::{HubChoice, Place, Wish};
use super::postponement::Postponement;
use crate::catalogue::candidates::LinkedHub;
use crate::catalogue::{BoundAllocation, BoundPolicy, ScopeCatalogue};
use crate::service::images::ReadyImage;

/// The inputs of a decision.
pub(super) struct Deliberation {
    pub(super) scope: Arc<ScopeCatalogue>,
    pub(super) terms: Arc<Terms>,
    pub(super) allocation: Arc<BoundAllocation>,
    /// For each of the allocation's policies, in their order: the image that runs it and then the images of its
    /// stand-ins, or why one cannot run.
    pub(super) images: Vec<Vec<Result<Arc<ReadyImage>, Postponement>>>,
    /// The hub that the device is on now, and its id there.
    pub(super) current: Option<(HubName, DeviceId)>,
    pub(super) device: Arc<Device>,
    /// The device's id in its hub, if the operator has set it in the individual enrollment.
    pub(super) device_id: Option<DeviceId>,
    pub(super) call: Call,
    pub(super) counts: Arc<dyn GroupCounts>,
    /// Runs the policies, and knows which of them may call a service.
    pub(super) host: Arc<PolicyHost>,
    /// Answers of services that were kept for policies.
    pub(super) memory: Arc<Memory>,
}

/// The joined answer of the grouping policies.
type Placed = Result<Option<Placement>, Postponement>;

impl Deliberation {
    /// Asks for a hub and then for the device's place on it.
    pub(super) fn decide(&self, visit: &Visit) -> (Wish, Made) {
        let mut calls = Calls::new(visit);
        if let Some(wish) = self.stay(&mut calls) {
            return (wish, calls.made);
        }
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

    /// Asks for the device's place on this hub.
    pub(super) fn place(&self, hub: &HubName, visit: &Visit) -> (Placed, Made) {
        let mut calls = Calls::new(visit);
        (self.placed(hub, &mut calls), calls.made)
    }

    /// A device that is never to be moved stays on its hub, as long as that hub is linked, and no policy chooses one: a
    /// policy that refuses today must not cost the device its place.
    ///
    /// A policy that gets both answers from one call of a service is still asked, with this hub as the only candidate,
    /// as DPS calls a custom allocation function: the service's answer also holds the place. Its choice of a hub does
    /// not count.
    fn stay(&self, calls: &mut Calls<'_>) -> Option<Wish> {
        let (hub, device_id) = self.current.clone().filter(|_| !self.terms.reprovision.update_hub_assignment)?;
        let linked = self.scope.hubs.get(&hub)?;
        let pending = linked.pending();
        let selection = &self.allocation.selection;
        if self.allocation.grouping.iter().any(|policy| policy.is_the_same_as(selection))
            && self.images.first().into_iter().flatten().flatten().any(|image| waits_for_a_service(image))
            && let Some((_, candidate)) = self.scope.hubs.candidate(&hub)
        {
            let shown = Candidates::new(Arc::clone(self.scope.hubs.for_policies()), [candidate]);
            let _unheeded = self.ask(0, selection, Step::Selection, &shown, calls);
        }
        let first = Place { placement: self.placed(&hub, calls), hub, _pending: pending };
        Some(Wish::Hub(HubChoice { first, alternates: Vec::new(), device_id: Some(device_id) }))
    }

    /// The hubs that the device may get now, and why it may not get the others.
    fn candidates(&self) -> (Candidates, Vec<String>) {
        let (hubs, current) = (&self.scope.hubs, self.current.as_ref().map(|(hub, _)| hub));
        let allowed = self.terms.hubs.as_deref();
        let mut shown = Vec::with_capacity(hubs.len());
        let mut refusals = Vec::new();
        if let Some(own) = current.filter(|own| hubs.get(own).is_none()) {
            refusals.push(format!("the device's own hub {own} is linked no more"));
        }
        for (position, linked) in (0..).zip(hubs.iter()) {
            match linked.refusal(allowed, current) {
                Some(why) => refusals.push(format!("{} is {why}", linked.hub.name)),
                None => shown.push(linked.candidate(position)),
            }
        }
        (Candidates::new(Arc::clone(hubs.for_policies()), shown), refusals)
    }

    /// Asks a selection policy.
    fn ask(
        &self,
        number: usize,
        policy: &BoundPolicy,
        step: Step,
        candidates: &Candidates,
        calls: &mut Calls<'_>,
    ) -> Result<Outcome, Postponement> {
        let (call, device) = (self.call.clone(), Arc::clone(&self.device));
        let input = SelectInput { call, device, candidates: candidates.clone() };
        let select =
            |policy: &BoundPolicy, image: &Image| image.select_hub(&input, self.catalogue(policy, image, candidates));
        self.first_answer(&Question { number, policy, step, shown: candidates }, select, Answer::Selected, calls)
    }

    /// The first answer of a policy or one of its stand-ins. An answer of a policy is final, whatever it is. The next
    /// stand-in is asked only if a policy broke or could not answer.
    fn first_answer<T: Clone>(
        &self,
        question: &Question<'_>,
        ask: impl Fn(&BoundPolicy, &Image) -> CallReport<T>,
        answer: fn(T) -> Answer,
        calls: &mut Calls<'_>,
    ) -> Result<T, Postponement> {
        let chain = self.images.get(question.number).map(Vec::as_slice).unwrap_or_default();
        let mut none: Option<Postponement> = None;
        let mut because = None;
        for ((resort, policy), image) in question.policy.chain().zip(chain) {
            let failed = match image {
                Err(postponement) => postponement.clone(),
                Ok(image) => {
                    let report = self.watched(policy, calls.visit, || ask(policy, image));
                    let result = report.result.clone();
                    let instead = resort.zip(because);
                    calls.keep(question, policy, image, instead, self.call.clone(), answered(report, answer));
                    match result {
                        Ok(answer) => return Ok(answer),
                        Err(failure) => {
                            let failed = Postponement::after(policy, &failure);
                            if !is_followed(&failure) {
                                return Err(failed);
                            }
                            failed
                        }
                    }
                }
            };
            because = Some(failed.kind);
            none = Some(match (none, resort) {
                (Some(first), Some(resort)) => first.and_then(resort, &failed),
                _ => failed,
            });
        }
        let number = question.number;
        Err(none.unwrap_or_else(|| {
            Postponement::soon("host", format!("policy {number} of the enrollment was not made ready"))
        }))
    }

    /// Whether any of the policies, or of their stand-ins, may wait for a service.
    pub(super) fn may_wait(&self) -> bool {
        self.images.iter().flatten().flatten().any(|image| waits_for_a_service(image))
    }

    /// Who pays for the policies' time: everything that may be asked in this decision.
    pub(super) fn payers(&self) -> Payers {
        let chains = self.allocation.policies().zip(&self.images);
        let asked = chains.flat_map(|(policy, images)| policy.chain().map(|(_, policy)| policy).zip(images));
        let payers = asked.filter_map(|(policy, image)| {
            let waits = image.as_ref().is_ok_and(|image| waits_for_a_service(image));
            Some((policy.watch.as_ref()?.payer, waits))
        });
        Payers::of(self.scope.scope.clone(), payers)
    }

    /// Asks a policy unless its breaker is open, and reports the result to the breaker.
    fn watched<T>(&self, policy: &BoundPolicy, visit: &Visit, ask: impl FnOnce() -> CallReport<T>) -> CallReport<T> {
        let Some(watch) = &policy.watch else { return ask() };
        // A device chooses the spelling of its id. So the breaker counts under the lower-case form.
        let device = self.device.registration_id.to_ascii_lowercase();
        match watch.admit(&device) {
            Ok(pass) => {
                let report = visit.paid_by(watch.payer, ask);
                watch.tell(pass, &device, &report.result);
                report
            }
            Err(skipped) => CallReport::never_began(skipped),
        }
    }

    fn catalogue(&self, policy: &BoundPolicy, image: &Image, shown: &Candidates) -> Arc<LiveCatalogue> {
        let live = LiveCatalogue::new(shown.clone(), Arc::clone(&self.counts));
        let key = (image.revision().digest(), image.settings_digest());
        Arc::new(live.connected(self.host.connection(&self.scope.scope, &policy.plugin, key, &self.memory)))
    }

    /// The hubs of a choice that the verdict gate has checked, and the device's place on the first of them.
    fn chosen(&self, candidates: &Candidates, choice: Choice, calls: &mut Calls<'_>) -> Wish {
        let linked = |handle: &HubHandle| {
            let (_, candidate) = candidates.get(*handle)?;
            self.scope.hubs.iter().nth(usize::try_from(candidate.hub).ok()?)
        };
        let Some(first) = linked(&choice.hub) else {
            let detail = format!("the chosen hub {} is none of the candidates", choice.hub.0);
            return Wish::Postpone(Postponement::soon("host", detail));
        };
        // The place is announced before grouping runs, so that concurrent decisions see it.
        let pending = first.pending();
        let hub = first.hub.name.clone();
        Wish::Hub(HubChoice {
            first: Place { placement: self.placed(&hub, calls), hub, _pending: pending },
            alternates: choice
                .alternates
                .iter()
                .filter_map(linked)
                .map(|linked: &LinkedHub| linked.hub.name.clone())
                .collect(),
            // The device id of an individual enrollment comes from the operator, and takes precedence over the
            // policy's.
            device_id: match &self.device_id {
                Some(id) => Some(id.clone()),
                None => choice.device_id.as_deref().and_then(|id| id.parse().ok()),
            },
        })
    }

    /// Asks each grouping policy and joins the answers. Answers `None` if there is no grouping policy.
    fn placed(&self, hub: &HubName, calls: &mut Calls<'_>) -> Placed {
        let mut placements = Vec::with_capacity(self.allocation.grouping.len());
        let before = 1 + usize::from(self.allocation.fallback.is_some());
        for (number, policy) in self.allocation.grouping.iter().enumerate() {
            let Some((hub, candidate)) = self.scope.hubs.candidate(hub) else {
                return Err(Postponement::soon("host", format!("the chosen hub {hub} is not linked any more")));
            };
            let shown = Candidates::new(Arc::clone(self.scope.hubs.for_policies()), [candidate]);
            let (call, device) = (self.call.clone(), Arc::clone(&self.device));
            let input = PlaceInput { call, device, hub: hub.clone(), candidate };
            let place =
                |policy: &BoundPolicy, image: &Image| image.place(&input, self.catalogue(policy, image, &shown));
            let step = Step::Grouping(u32::try_from(number).unwrap_or(u32::MAX));
            let question = Question { number: before + number, policy, step, shown: &shown };
            let placement = self.first_answer(&question, place, Answer::Placed, calls)?;
            placements.push((policy.plugin.as_str(), placement));
        }
        if placements.is_empty() {
            return Ok(None);
        }
        let merged = verdict::merge(&placements);
        merged.map(Some).map_err(|conflict| Postponement::until_mended("conflict", conflict.to_string()))
    }
}

/// The question that a policy is asked.
struct Question<'a> {
    /// The policy's index among the allocation's policies.
    number: usize,
    policy: &'a BoundPolicy,
    step: Step,
    /// The hubs that the policy is shown.
    shown: &'a Candidates,
}

/// Whether the image may wait for a service.
fn waits_for_a_service(image: &Image) -> bool {
    image.revision().card().tier == Tier::Recorded
}

/// Whether the next of a policy's stand-ins is asked. If the host failed, it would fail for the stand-ins too, so none
/// is asked. A stand-in that does not implement this half of a decision is skipped.
fn is_followed(failure: &CallFailure) -> bool {
    match failure {
        CallFailure::Fault(_) | CallFailure::Broke(_) => true,
        CallFailure::Host(failure) => {
            use HostFailure::{BreakerOpen, DeviceHeld, NotExported};
            matches!(failure, NotExported { .. } | BreakerOpen { .. } | DeviceHeld { .. })
        }
    }
}

/// Calls, and the contents that they name by digest.
#[derive(Default)]
pub(super) struct Made {
    pub(super) calls: Vec<PolicyCall>,
    pub(super) contents: Vec<Content>,
}

/// Collects the calls of one visit to a worker.
struct Calls<'a> {
    visit: &'a Visit,
    made: Made,
    /// Microseconds that the visit waited for its worker. The first call that is kept takes them.
    waited_us: Option<u64>,
}

impl<'a> Calls<'a> {
    fn new(visit: &'a Visit) -> Self {
        let waited_us = u64::try_from(visit.waited.as_micros()).unwrap_or(u64::MAX);
        Self { visit, made: Made::default(), waited_us: Some(waited_us) }
    }

    /// Keeps a call for the ledger. The first call carries the time in the queue.
    fn keep(
        &mut self,
        question: &Question<'_>,
        policy: &BoundPolicy,
        image: &ReadyImage,
        instead: Option<(&'static str, &'static str)>,
        call: Call,
        mut report: CallReport<Answer>,
    ) {
        let began = report.usage != Usage::default();
        let waited = self.waited_us.take_if(|_| began);
        report.usage.queue_us = waited.unwrap_or_default();
        if let Some(watch) = &policy.watch {
            let interface = match question.step {
                Step::Selection | Step::Fallback => Interface::HubSelection,
                Step::Grouping(_) => Interface::Grouping,
            };
            watch.meters.count(interface, &report, waited.is_some());
        }
        self.made.contents.extend([image.settings.clone(), image.budget.clone()]);
        self.made.calls.push(PolicyCall {
            step: question.step,
            plugin: policy.plugin.clone(),
            revision: image.revision().digest(),
            settings: policy.settings_digest,
            call,
            candidates: Arc::clone(question.shown.shown()),
            report,
            budget: Some(image.budget.digest()),
            instead: instead
                .map(|(resort, because)| Instead { resort: resort.to_owned(), because: because.to_owned() }),
        });
    }
}

/// The same report, with its answer in the form that the ledger keeps.
fn answered<T>(report: CallReport<T>, answer: impl FnOnce(T) -> Answer) -> CallReport<Answer> {
    let CallReport { result, usage, transcript, log } = report;
    CallReport { result: result.map(answer), usage, transcript, log }
}
