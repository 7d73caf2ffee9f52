//! Step 4: the decision is written, all in one transaction: the registration, its change to the counts, and the
//! decision that explains it. If a registration cannot go on now, only its decision is written, and the device waits.

use std::sync::Arc;

use landfall_domain::clock::Stopwatch;
use landfall_domain::decision::Verdict;
use landfall_domain::names::{DeviceId, HubName, RegistrationId, TrackingId};
use landfall_domain::registration::{Outcome, Registration};
use landfall_store::{CommitOutcome, RegistrationCommit};

use super::desk::operations::Wait;
use super::postponement::Postponement;
use super::refusal::{Cause, RegisterError};
use super::registration_job::RegistrationJob;
use super::{Provisioning, Request, placement};

/// The result of trying to write a registration.
pub(super) enum Written {
    /// The registration is on disk.
    Registered(Arc<Registration>),
    /// The device has to wait. The ledger says why.
    Waits(Wait),
    /// The hub has no room for the device. Nothing was written.
    NoRoom,
    /// Another request wrote a registration first: this is the current one. Nothing was written.
    Overtaken(Option<Box<Registration>>),
}

impl Provisioning {
    /// Writes a registration, if everything that the admission rests on is still as it was when it was read.
    pub(super) async fn commit(
        &self,
        job: &RegistrationJob,
        outcome: Outcome,
        verdict: Verdict,
    ) -> Result<Written, RegisterError> {
        let registration = self.with_its_chip(job, placement::registration(job, outcome));
        let identity = registration.assignment().map(|place| (place.hub.clone(), place.device_id.clone()));
        let commit = RegistrationCommit {
            scope: job.request.scope.clone(),
            expected: job.admitted.before.as_ref().map(Registration::version),
            record: job.admitted.record.clone(),
            basis: job.admitted.basis.clone(),
            answered: self.answered_challenge(job),
            registration,
            entry: job.entry(verdict),
            contents: job.contents(),
        };
        let began = Stopwatch::start(&self.service.ambient().clock);
        let committed = self.service.store().commit_registration(commit).await?;
        if let Some(watch) = &job.admitted.allocation.selection.watch {
            watch.meters.committed(began.elapsed());
        }
        let postponement = match committed {
            CommitOutcome::Committed(registration) => return Ok(Written::Registered(Arc::from(registration))),
            CommitOutcome::NoRoom => return Ok(Written::NoRoom),
            CommitOutcome::Overtaken(now) if was_taken_back(job, now.as_deref()) => {
                let detail = "an operator removed or released the registration meanwhile; the device is admitted anew";
                Postponement::soon("taken-back", detail.to_owned())
            }
            CommitOutcome::Overtaken(now) => return Ok(Written::Overtaken(now)),
            CommitOutcome::KeyOfAnother(owner) => {
                let (id, shown) = (job.request.registration_id.clone(), job.admitted.factors.key_identity);
                return Err(Cause::KeyOfAnother { id, shown, owner }.of(&job.admitted.factors.enrollment).into());
            }
            // The desk refuses an answer that was used here before anything is decided; this one was used at another host.
            CommitOutcome::ChallengeSpent => {
                let id = job.request.registration_id.clone();
                return Err(Cause::AnsweredBefore(id).of(&job.admitted.factors.enrollment).into());
            }
            // The store removes challenges by the clock on the wall, which may have been set forward.
            CommitOutcome::ChallengeGone => {
                let detail = "the challenge that its TPM has answered is over; it is challenged anew".to_owned();
                Postponement::soon("challenge-over", detail)
            }
            CommitOutcome::RecordChanged => {
                let detail = "its manufacturing record was changed meanwhile; the device is admitted anew".to_owned();
                Postponement::soon("record-changed", detail)
            }
            CommitOutcome::RevisionGone => {
                let detail = "a revision that decided was removed meanwhile; it is decided anew".to_owned();
                Postponement::soon("revision-gone", detail)
            }
            CommitOutcome::AdmissionChanged(revision) => {
                self.service.catch_up(&job.request.scope, revision);
                let detail = "what admitted the device (its enrollment, an authority, a revocation) was changed meanwhile; \
                              the device is admitted anew";
                Postponement::soon("admission-changed", detail.to_owned())
            }
            CommitOutcome::IdentityTaken(owner) => identity_taken(job, identity, &owner),
        };
        Ok(Written::Waits(self.postpone(job, postponement).await?))
    }

    /// Has the device wait, and writes the reason to the ledger for the operator.
    pub(super) async fn postpone(
        &self,
        job: &RegistrationJob,
        postponement: Postponement,
    ) -> Result<Wait, RegisterError> {
        let Postponement { kind, detail, retry_after } = postponement;
        let (again_at, until) =
            (self.service.ambient().now().plus(retry_after), self.service.ambient().instant() + retry_after);
        let Request { tracking_id, registration_id, .. } = &job.request;
        tracing::warn!(%tracking_id, %registration_id, kind, detail, "a registration waits");
        let verdict = Verdict::Postponed { until: again_at, kind: kind.to_owned(), detail: detail.clone() };
        self.service.store().record_entry(job.entry(verdict), job.contents()).await?;
        Ok(Wait { until, again_at, decision: *tracking_id, kind, detail })
    }

    /// The challenge whose answer began this registration. An answer begins one registration only.
    fn answered_challenge(&self, job: &RegistrationJob) -> Option<TrackingId> {
        let token = job.request.credential.token()?;
        self.desk.challenge_of((&job.request.scope, &job.request.registration_id), token)
    }

    /// The registration with the TPM that answered. Strangers cannot push out the next challenge of that TPM.
    fn with_its_chip(&self, job: &RegistrationJob, mut registration: Registration) -> Registration {
        let token = job.request.credential.token();
        let answered = |token| self.desk.chip_that_answered((&job.request.scope, &job.request.registration_id), token);
        registration.chip = token.and_then(answered).map(|chip| chip.digest()).or(registration.chip);
        registration
    }
}

/// The id that was chosen for the device in its hub belongs to another device.
fn identity_taken(
    job: &RegistrationJob,
    identity: Option<(HubName, DeviceId)>,
    owner: &RegistrationId,
) -> Postponement {
    let (enrollment, id) = (&job.admitted.factors.enrollment, &job.request.registration_id);
    let place = identity.map(|(hub, device_id)| format!("{device_id} in the hub {hub}")).unwrap_or_default();
    let detail = format!(
        "{id} would be {place}, and so is {owner} already: two devices must not share one identity; see that {enrollment} \
         and its policies name another device id, or free this one: landfall registration delete {owner}"
    );
    Postponement::until_mended("device-id-taken", detail)
}

/// Whether an operator removed the registration, or released it from its key, after the device was admitted. An older
/// admission may not bind the id again: perhaps the operator acted because of this very device.
fn was_taken_back(job: &RegistrationJob, now: Option<&Registration>) -> bool {
    let bound = |registration: Option<&Registration>| registration.is_some_and(|known| known.key_identity.is_some());
    bound(job.admitted.before.as_ref()) && !bound(now)
}
