//! Step 4: what was decided is written down, all of it in one transaction.
//!
//! The policy's wish may have been overtaken: its hub is full or gone, or another request of the same device was
//! faster. A full hub makes the next of the policy's alternates count, then the policy is asked again with fresh
//! numbers, a few times, and then the device waits. Another request makes this one begin from what stands there
//! now, unless the other one proved another key: then the id is taken.

use std::sync::Arc;

use landfall_domain::clock::Stopwatch;
use landfall_domain::decision::Verdict;
use landfall_domain::enrollment::KeyChange;
use landfall_domain::hub::Connector;
use landfall_domain::names::{DeviceId, HubName, RegistrationId};
use landfall_domain::registration::{Outcome, Registration};
use landfall_store::{CommitOutcome, RegistrationCommit};

use super::decide::{self, Place, Postponement, Wish};
use super::operations::{Progress, Wait};
use super::refusal::{Cause, RegisterError};
use super::registration_job::RegistrationJob;
use super::{Request, placement};
use crate::service::Service;

/// Asks the policies and commits what they wish.
pub(super) async fn decide_and_commit(
    service: &Arc<Service>,
    mut work: RegistrationJob,
) -> Result<Progress, RegisterError> {
    for attempt in 0..MAX_ATTEMPTS {
        let written = match decide::decide(service, &mut work, attempt).await {
            Wish::Hub { first, alternates, device_id } => {
                take_first_with_room(service, &mut work, first, alternates, device_id, attempt).await?
            }
            Wish::Postpone(postponement) => return postpone(service, &work, postponement).await,
            // A device that has a place keeps it until there is another: a hub that was unlinked by mistake must not cost
            // a fleet its assignments when it starts anew.
            Wish::NoRoom { detail } if work.has_a_place() => {
                return postpone(service, &work, Postponement::until_mended("no-room", detail)).await;
            }
            Wish::NoRoom { detail } => fail(service, &work, NO_HUB, Verdict::NoRoom { detail }).await?,
            Wish::Reject { code, detail } => fail(service, &work, REJECTED, Verdict::Rejected { code, detail }).await?,
        };
        match written {
            Written::Done(progress) => return Ok(progress),
            Written::NoRoom => {}
            Written::RecordChanged => {
                let detail = "its manufacturing record was changed meanwhile; the device is admitted anew".to_owned();
                return postpone(service, &work, Postponement::soon("record-changed", detail)).await;
            }
            Written::RevisionGone => {
                let detail = "a revision that decided was removed meanwhile; it is decided anew".to_owned();
                return postpone(service, &work, Postponement::soon("revision-gone", detail)).await;
            }
            Written::AdmissionChanged(revision) => {
                service.catch_up(&work.request.scope, revision);
                let detail = "what admitted the device (its enrollment, an authority, a revocation) was changed meanwhile; \
                              the device is admitted anew";
                return postpone(service, &work, Postponement::soon("admission-changed", detail.to_owned())).await;
            }
            Written::Overtaken(now) if was_taken_back(&work, now.as_deref()) => {
                let detail = "an operator removed or released the registration meanwhile; the device is admitted anew";
                return postpone(service, &work, Postponement::soon("taken-back", detail.to_owned())).await;
            }
            Written::Overtaken(now) => begin_from(&mut work, now.map(|now| *now))?,
        }
    }
    let detail = "each hub that the policy chose filled up, or another request was faster, every time".to_owned();
    postpone(service, &work, Postponement::soon("contended", detail)).await
}

/// What came of trying to write.
enum Written {
    /// The registration has come as far as it can now.
    Done(Progress),
    /// No hub that the policy wished had room.
    NoRoom,
    /// Another request wrote the registration; this stands there.
    Overtaken(Option<Box<Registration>>),
    /// The manufacturing record may not admit the device any more.
    RecordChanged,
    /// A revision that decided is not there any more.
    RevisionGone,
    /// What else admitted the device is another now; the id scope's admission revision.
    AdmissionChanged(u64),
}

async fn take_first_with_room(
    service: &Service,
    work: &mut RegistrationJob,
    first: Place,
    alternates: Vec<HubName>,
    device_id: Option<DeviceId>,
    attempt: u32,
) -> Result<Written, RegisterError> {
    let mut alternates = alternates.into_iter();
    let mut next = Some(first);
    while let Some(Place { hub, placement, _pending }) = next {
        let placed = match placement {
            Ok(placed) => placed,
            Err(postponement) => return Ok(Written::Done(postpone(service, work, postponement).await?)),
        };
        if let Err(error) = work.issue(service).await {
            let postponement = Postponement::until_mended("issuer", error.to_string());
            return Ok(Written::Done(postpone(service, work, postponement).await?));
        }
        if let Some(reply) = placed
            .as_ref()
            .and_then(|placed| placed.reply.as_deref())
            .filter(|reply| !reply.trim_start().starts_with('{'))
            && let Some(unsaid) = service.odd_replies.may_be_said()
        {
            let tracking_id = &work.request.tracking_id;
            tracing::warn!(%tracking_id, reply, unsaid, "a policy's reply is no JSON object: devices with the SDK for Java or C fail on it; wrap it, as {{\"message\": ...}}");
        }
        let assignment = placement::assignment(work, &hub, device_id.clone(), placed)?;
        let connector = work.admitted.scope.hubs.get(&hub).map_or(Connector::None, |linked| linked.hub.connector);
        let (hub, device_id) = (assignment.hub.clone(), assignment.device_id.clone());
        let verdict = Verdict::Assigned { hub, device_id, group_path: assignment.group_path.clone() };
        match write(service, work, Outcome::Assigned(assignment), verdict).await? {
            Written::NoRoom => {}
            done @ (Written::Done(_)
            | Written::Overtaken(_)
            | Written::RecordChanged
            | Written::RevisionGone
            | Written::AdmissionChanged(_)) => {
                // Step 5. A hub that needs no telling has learned of the device when the device connects.
                match connector {
                    Connector::None => return Ok(done),
                }
            }
        }
        next = match alternates.next() {
            Some(hub) => decide::place(service, work, hub, attempt).await,
            None => None,
        };
    }
    Ok(Written::NoRoom)
}

async fn fail(
    service: &Service,
    work: &RegistrationJob,
    (code, message): (u32, &str),
    verdict: Verdict,
) -> Result<Written, RegisterError> {
    write(service, work, Outcome::Failed { code, message: message.to_owned() }, verdict).await
}

/// The one transaction: the registration, what it does to the counts, and the decision that explains it.
async fn write(
    service: &Service,
    work: &RegistrationJob,
    outcome: Outcome,
    verdict: Verdict,
) -> Result<Written, RegisterError> {
    let before = work.admitted.before.as_ref();
    let mut registration = placement::registration(work, outcome);
    let identity = registration.assignment().map(|place| (place.hub.clone(), place.device_id.clone()));
    let (scope, id) = (&work.request.scope, &work.request.registration_id);
    let token = work.request.credential.token();
    let answered = token.and_then(|token| service.challenges.name(scope, id, token, service.ambient.instant()));
    let chip = token.and_then(|token| service.challenges.answered(scope, id, token, service.ambient.instant()));
    registration.chip = chip.map(|chip| chip.digest()).or(registration.chip);
    let commit = RegistrationCommit {
        scope: work.request.scope.clone(),
        expected: before.map(Registration::version),
        record: work.admitted.record.clone(),
        basis: work.admitted.basis.clone(),
        answered,
        registration,
        entry: work.entry(verdict),
        contents: work.contents(),
    };
    let began = Stopwatch::start(&service.ambient.clock);
    let committed = service.store.commit_registration(commit).await?;
    if let Some(watch) = &work.admitted.allocation.selection.watch {
        watch.meters.committed(began.elapsed());
    }
    match committed {
        CommitOutcome::Committed(registration) => Ok(Written::Done(Progress::Finished(Arc::from(registration)))),
        CommitOutcome::RecordChanged => Ok(Written::RecordChanged),
        CommitOutcome::RevisionGone => Ok(Written::RevisionGone),
        CommitOutcome::AdmissionChanged(revision) => Ok(Written::AdmissionChanged(revision)),
        CommitOutcome::IdentityTaken(owner) => {
            let postponement = identity_taken(work, identity, &owner);
            Ok(Written::Done(postpone(service, work, postponement).await?))
        }
        CommitOutcome::NoRoom => Ok(Written::NoRoom),
        CommitOutcome::Overtaken(now) => Ok(Written::Overtaken(now)),
        CommitOutcome::KeyOfAnother(owner) => {
            let (id, shown) = (work.request.registration_id.clone(), work.admitted.factors.key_identity);
            Err(Cause::KeyOfAnother { id, shown, owner }.of(&work.admitted.factors.enrollment).into())
        }
    }
}

/// The device waits; the operator can read why.
async fn postpone(
    service: &Service,
    work: &RegistrationJob,
    postponement: Postponement,
) -> Result<Progress, RegisterError> {
    let Postponement { kind, detail, retry_after } = postponement;
    let (again_at, until) = (service.ambient.now().plus(retry_after), service.ambient.instant() + retry_after);
    let Request { tracking_id, registration_id, .. } = &work.request;
    tracing::warn!(%tracking_id, %registration_id, kind, detail, "a registration waits");
    let verdict = Verdict::Postponed { until: again_at, kind: kind.to_owned(), detail: detail.clone() };
    service.store.record_entry(work.entry(verdict), work.contents()).await?;
    Ok(Progress::Waiting(Arc::new(Wait { until, again_at, decision: *tracking_id, kind, detail })))
}

/// The id in the hub that was chosen for the device is another's.
fn identity_taken(
    work: &RegistrationJob,
    identity: Option<(HubName, DeviceId)>,
    owner: &RegistrationId,
) -> Postponement {
    let (enrollment, id) = (&work.admitted.factors.enrollment, &work.request.registration_id);
    let place = identity.map(|(hub, device_id)| format!("{device_id} in the hub {hub}")).unwrap_or_default();
    let detail = format!(
        "{id} would be {place}, and so is {owner} already: two devices must not share one identity; see that {enrollment} \
         and its policies name another device id, or free this one: landfall registration delete {owner}"
    );
    Postponement::until_mended("device-id-taken", detail)
}

/// Whether an operator removed the registration, or released it from its key, after the device had been admitted. What was
/// admitted then may not bind it again: perhaps that is why.
fn was_taken_back(work: &RegistrationJob, now: Option<&Registration>) -> bool {
    let bound = |registration: Option<&Registration>| registration.is_some_and(|known| known.key_identity.is_some());
    bound(work.admitted.before.as_ref()) && !bound(now)
}

fn begin_from(work: &mut RegistrationJob, now: Option<Registration>) -> Result<(), RegisterError> {
    let shown = work.admitted.factors.key_identity;
    let bound = now.as_ref().and_then(|registration| registration.key_identity);
    if let Some(bound) = bound.filter(|bound| *bound != shown)
        && work.admitted.terms.key_change == KeyChange::Refuse
        && !work.admitted.pinned
    {
        let changed = Cause::KeyChanged { id: work.request.registration_id.clone(), bound, shown };
        return Err(changed.of(&work.admitted.factors.enrollment).into());
    }
    work.overtaken_by(now);
    Ok(())
}

/// How often the policy is asked before the device has to wait.
const MAX_ATTEMPTS: u32 = 4;

/// DPS's code for an allocation policy that answered no, and what the device is told.
const REJECTED: (u32, &str) = (400_207, "Custom allocation failed: the policy does not take this device");

/// DPS's code for want of a hub, and what the device is told.
const NO_HUB: (u32, &str) = (400_208, "No hub can take this device");
