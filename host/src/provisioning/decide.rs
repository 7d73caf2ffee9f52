//! Step 3: the policies decide.
//!
//! Asks the enrollment's policies in order (selection, its fallback when it abstains, then each grouping policy) and
//! keeps every call, so that the decision can be run again. Nothing is written here and nothing is given away: what
//! comes out is a wish, which the commit grants or not.

use std::sync::Arc;
use std::time::Duration;

use super::refusal::RegisterError;
use super::under_way::UnderWay;
use crate::catalogue::Bound;
use crate::hub::LinkedHub;
use crate::ledger::{Answer, Candidate, Step};
use crate::names::{DeviceId, HubName};
use crate::policy::call::{CallReport, Choice, Hub, HubHandle, Outcome, PlaceInput, Placement, SelectInput};
use crate::policy::catalogue::LiveCatalogue;
use crate::policy::failure::CallFailure;
use crate::policy::image::Image;
use crate::policy::live::ImageError;
use crate::policy::verdict;
use crate::registration::Registration;
use crate::service::Service;

/// What the policies would have.
#[derive(Debug)]
pub(super) enum Wish {
    /// One of these hubs, the first if it can be.
    Hubs {
        /// In the order of preference.
        hubs: Vec<HubName>,
        /// The device's id in its hub, when the policy says.
        device_id: Option<DeviceId>,
    },
    /// Later.
    Postpone(Postponement),
    /// Never.
    Reject {
        /// For programs.
        code: String,
        /// For people.
        detail: String,
    },
    /// No hub can take it.
    NoRoom {
        /// Why each cannot.
        detail: String,
    },
}

/// Why a device has to wait, and how long.
#[derive(Debug)]
pub(super) struct Postponement {
    /// Until it may ask again.
    pub(super) retry_after: Duration,
    /// For programs.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) detail: String,
}

impl Postponement {
    /// For a cause that passes by itself.
    pub(super) fn soon(kind: &'static str, detail: String) -> Self {
        Self { retry_after: SOON, kind, detail }
    }

    /// For a cause that somebody has to mend.
    fn until_mended(kind: &'static str, detail: String) -> Self {
        Self { retry_after: UNTIL_MENDED, kind, detail }
    }

    /// For a call that gave no answer.
    fn after(policy: &Bound, failure: &CallFailure) -> Self {
        let detail = format!("policy {}: {failure}", policy.plugin);
        match failure {
            CallFailure::Fault(_) | CallFailure::Broke(_) => Self::until_mended(failure.kind(), detail),
            CallFailure::Host(_) => Self::soon(failure.kind(), detail),
        }
    }

    /// For a policy that cannot be run.
    fn without_image(policy: &Bound, error: &ImageError) -> Self {
        Self::until_mended("no-image", format!("policy {} cannot be run: {error}", policy.plugin))
    }
}

/// Asks for a hub.
pub(super) async fn select(service: &Service, work: &mut UnderWay, attempt: u32) -> Result<Wish, RegisterError> {
    let (candidates, refusals) = Candidates::of(work);
    if candidates.shown.is_empty() {
        let none = "no hub is linked; link one with `landfall hub link`".to_owned();
        return Ok(Wish::NoRoom { detail: if refusals.is_empty() { none } else { refusals.join("; ") } });
    }
    let allocation = Arc::clone(&work.admitted.allocation);
    let first = ask(service, work, &allocation.selection, Step::Selection, attempt, &candidates).await;
    let answer = match (first, &allocation.fallback) {
        (Ok(Outcome::Abstain(_)), Some(fallback)) => {
            ask(service, work, fallback, Step::Fallback, attempt, &candidates).await
        }
        (first, _) => first,
    };
    Ok(match answer {
        Ok(Outcome::Assign(choice)) => candidates.chosen(work, &choice),
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
    })
}

/// Asks where the device belongs, now that its hub is chosen, and joins the answers. None when nobody is to be asked.
pub(super) async fn place(
    service: &Service,
    work: &mut UnderWay,
    linked: &LinkedHub,
    attempt: u32,
) -> Result<Result<Option<Placement>, Postponement>, RegisterError> {
    let allocation = Arc::clone(&work.admitted.allocation);
    let mut placements = Vec::with_capacity(allocation.grouping.len());
    for (number, policy) in (0..).zip(&allocation.grouping) {
        let image = match service.images.get(policy).await {
            Ok(image) => image,
            Err(error) => return Ok(Err(Postponement::without_image(policy, &error))),
        };
        let hub = linked.shown();
        let candidate = Candidate { hub: work.position(linked), assigned: hub.assigned, pending: hub.pending };
        let catalogue = LiveCatalogue::new(std::slice::from_ref(&hub), service.group_counts(&work.request.scope));
        let call = work.call(attempt);
        let input = PlaceInput { call: call.clone(), device: Arc::clone(&work.device), hub };
        let report = service.policies.place(&image, Arc::new(input), Arc::new(catalogue)).await;
        let result = report.result.clone();
        work.keep(policy, &image, Step::Grouping(number), call, vec![candidate], answered(report, Answer::Placed));
        match result {
            Ok(placement) => placements.push((policy.plugin.as_str(), placement)),
            Err(failure) => return Ok(Err(Postponement::after(policy, &failure))),
        }
    }
    if placements.is_empty() {
        return Ok(Ok(None));
    }
    let merged = verdict::merge(&placements);
    Ok(merged.map(Some).map_err(|conflict| Postponement::until_mended("conflict", conflict.to_string())))
}

/// One call of a selection policy.
async fn ask(
    service: &Service,
    work: &mut UnderWay,
    policy: &Bound,
    step: Step,
    attempt: u32,
    candidates: &Candidates,
) -> Result<Outcome, Postponement> {
    let image: Arc<Image> = match service.images.get(policy).await {
        Ok(image) => image,
        Err(error) => return Err(Postponement::without_image(policy, &error)),
    };
    let call = work.call(attempt);
    let catalogue = LiveCatalogue::new(&candidates.shown, service.group_counts(&work.request.scope));
    let input =
        SelectInput { call: call.clone(), device: Arc::clone(&work.device), candidates: candidates.shown.clone() };
    let report = service.policies.select_hub(&image, Arc::new(input), Arc::new(catalogue)).await;
    let result = report.result.clone();
    work.keep(policy, &image, step, call, candidates.kept.clone(), answered(report, Answer::Selected));
    result.map_err(|failure| Postponement::after(policy, &failure))
}

/// The hubs that a device may get now.
struct Candidates {
    /// As the policy sees them; a handle is a position here.
    shown: Vec<Hub>,
    /// As the decision keeps them, in the same order.
    kept: Vec<Candidate>,
    names: Vec<HubName>,
}

impl Candidates {
    /// The candidates, and why the other hubs are none.
    fn of(work: &UnderWay) -> (Self, Vec<String>) {
        let hubs = &work.admitted.scope.hubs;
        let current = work.admitted.before.as_ref().and_then(Registration::hub);
        // A device that is never to be re-provisioned has one candidate: its hub, as long as that is linked.
        let stays =
            current.filter(|hub| !work.admitted.terms.reprovision.update_hub_assignment && hubs.get(hub).is_some());
        let allowed = match stays {
            Some(hub) => Some(std::slice::from_ref(hub)),
            None => work.admitted.terms.hubs.as_deref(),
        };
        let mut candidates = Self { shown: Vec::new(), kept: Vec::new(), names: Vec::new() };
        let mut refusals = Vec::new();
        for (position, linked) in (0..).zip(hubs.iter()) {
            if let Some(why) = linked.refusal(allowed, current) {
                refusals.push(format!("{} is {why}", linked.hub.name));
                continue;
            }
            let hub = linked.shown();
            candidates.kept.push(Candidate { hub: position, assigned: hub.assigned, pending: hub.pending });
            candidates.names.push(linked.hub.name.clone());
            candidates.shown.push(hub);
        }
        (candidates, refusals)
    }

    /// The names behind a choice, which the verdict gate has checked.
    fn chosen(&self, work: &UnderWay, choice: &Choice) -> Wish {
        let name = |handle: &HubHandle| self.names.get(usize::try_from(handle.0).ok()?).cloned();
        let hubs = std::iter::once(&choice.hub).chain(&choice.alternates).filter_map(name).collect();
        // The individual enrollment's device id is the operator's word and stands above the policy's.
        let device_id = match &work.admitted.device_id {
            Some(id) => Some(id.clone()),
            None => choice.device_id.as_deref().and_then(|id| id.parse().ok()),
        };
        Wish::Hubs { hubs, device_id }
    }
}

/// The same report with its answer as the ledger keeps it.
fn answered<T>(report: CallReport<T>, answer: impl FnOnce(T) -> Answer) -> CallReport<Answer> {
    let CallReport { result, usage, transcript, log } = report;
    CallReport { result: result.map(answer), usage, transcript, log }
}

/// What passes by itself: a full queue, a lost race.
const SOON: Duration = Duration::from_secs(2);

/// What somebody has to mend: a policy that breaks. Long enough not to run it in vain, short enough for a production line.
const UNTIL_MENDED: Duration = Duration::from_secs(10);
