//! One registration, start to end.
//!
//! ```text
//! 1 attest     what has the device proven?                 admission
//! 2 admit      is it known, allowed, enabled?              admission
//! 3 decide     the policies: a hub, then a place           decide
//! 4 commit     registration, count and decision at once    commit
//! 5 announce   the log, metrics, and whoever waits         announce
//! ```
//!
//! The device is told an operation id as soon as it is admitted. Steps 3 to 5 then run whether the device waits, polls
//! or disconnects. A policy that cannot answer makes the device wait; it never refuses a device for good.
//!
//! The [`desk`] keeps what must be remembered of a device between its requests. Everything else that is used here
//! belongs to the [`Service`].

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::decision::Verdict;
use landfall_domain::names::OperationId;
use landfall_domain::registration::{Outcome, Registration};
use landfall_store::StoreError;

use self::admission::grounds::Grounds;
use self::announce::Ending;
use self::commit::Written;
use self::decide::{HubChoice, Place, Wish};
use self::desk::operations::{Claimant, Operation, Progress, RequestKind};
use self::postponement::Postponement;
use self::registration_job::RegistrationJob;
use crate::service::Service;

mod admission;
mod announce;
mod commit;
mod decide;
mod deliberation;
pub mod desk;
mod joining;
mod placement;
mod postponement;
mod refusal;
mod registration_job;
mod request;

pub use admission::Admitted;
pub use desk::operations::WaitingDevice;
pub use desk::throttle::TooOften;
pub use refusal::{Cause, RegisterError};
pub use request::{Credential, Request, Status};

/// Registers devices: runs the five steps and keeps the operations that are under way.
pub struct Provisioning {
    service: Arc<Service>,
    desk: desk::Desk,
}

impl Provisioning {
    /// Starts with the challenges that were open before a restart. `key` makes this installation's operation ids and
    /// the keys for hubs.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn start(service: Arc<Service>, key: &[u8; 32]) -> Result<Arc<Self>, StoreError> {
        let counters = Arc::clone(service.counters());
        let desk = desk::Desk::new(service.config(), service.ambient().clone(), key, counters);
        let desk = desk.ok_or_else(|| StoreError::Read("no keys could be made for decoys".to_owned()))?;
        let kept = service.store().challenges().await?;
        desk.take_up_challenges(kept, service.sealing());
        Ok(Arc::new(Self { service, desk }))
    }

    /// The parts of the server that registrations use.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// What is remembered of devices between their requests.
    pub fn desk(&self) -> &desk::Desk {
        &self.desk
    }

    /// Registers a device. Waits for its result for at most `wait`.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]. What the device is told of it is decided by the transport.
    pub async fn register(
        self: &Arc<Self>,
        request: Request,
        wait: Duration,
    ) -> Result<(OperationId, Status), RegisterError> {
        let grounds = self.grounds();
        let admitted = self.throttle_and_admit(&grounds, &request).await?;
        // This check comes before the answer to a challenge is spent: without room, the device would have to be
        // challenged again.
        if !self.desk.operations().has_room(&Claimant::of(&request, &admitted)) {
            return Err(RegisterError::Busy);
        }
        if let Err(error) = admission::spend_challenge(&grounds, &request).await {
            if let RegisterError::Refused(cause) = &error {
                refusal::report(self, &request, cause);
            }
            return Err(error);
        }
        if let Some(csr) = &request.csr {
            // This check comes after the proof: a stranger must not learn what an enrollment says.
            if admitted.terms.certificate_issuer.is_none() {
                return Err(RegisterError::NoIssuer);
            }
            csr.proves_its_key(&request.registration_id)?;
        }
        let (scope, id, kind) = (&request.scope, &request.registration_id, request.said().kind());
        let operation = self.desk.operations().new_id(scope, id, request.tracking_id, kind);
        self.begin_or_join(request, admitted, operation, RequestKind::Register, wait).await
    }

    /// Answers how far an operation has come. If the operation is no longer known and its result is not on disk, it
    /// begins again.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    pub async fn poll(
        self: &Arc<Self>,
        mut request: Request,
        operation: OperationId,
        wait: Duration,
    ) -> Result<(OperationId, Status), RegisterError> {
        let admitted = self.throttle_and_admit(&self.grounds(), &request).await?;
        let begun = self.desk.operations().begun(&operation, &request.scope, &request.registration_id);
        let begun = begun.ok_or(RegisterError::NotFound)?;
        if let Some(known) = self.desk.operations().find(&Claimant::of(&request, &admitted)) {
            if !matches!(known.progress(), Progress::Waiting(_)) {
                return Ok((operation, self.wait_for_other(&request, &known, wait).await?));
            }
        } else if let Some(result) = joining::result(admitted.before.as_ref(), &operation, begun.at) {
            return Ok((operation, Status::Finished(Arc::new(result.clone()))));
        } else {
            joining::say_again(&self.service, &mut request, begun).await?;
        }
        self.begin_or_join(request, admitted, operation, RequestKind::Poll, wait).await
    }

    /// Reads the device's registration as it is now. Starts no registration.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    pub async fn look_up(self: &Arc<Self>, request: Request) -> Result<Registration, RegisterError> {
        self.throttle_and_admit(&self.grounds(), &request).await?.before.ok_or(RegisterError::NotFound)
    }

    /// Runs steps 1 and 2. The operator is told of a refusal only after the device has its answer, so that the device
    /// cannot tell one cause from another by the time that a write to disk takes.
    async fn throttle_and_admit(
        self: &Arc<Self>,
        grounds: &Grounds<'_>,
        request: &Request,
    ) -> Result<Admitted, RegisterError> {
        self.desk.admit_request(request.source, &request.scope, &request.registration_id)?;
        let admitted = admission::admit(grounds, request).await;
        if admitted.is_ok() {
            request.standing.has_proven();
        }
        if let Err(RegisterError::Refused(cause) | RegisterError::NotNow(cause)) = &admitted {
            refusal::report(self, request, cause);
        }
        admitted
    }

    /// Runs steps 3 to 5, whether or not the device still waits. Then does the same for the registration that follows,
    /// if there is one.
    async fn carry_out(self: Arc<Self>, claimant: Claimant, mut job: Box<RegistrationJob>, operation: Operation) {
        loop {
            let request = job.request.clone();
            let ending = Ending::new(&self.desk, claimant.clone(), operation.clone(), request.tracking_id);
            let progress = match self.decide_and_commit(&mut job).await {
                Ok(progress) => progress,
                Err(RegisterError::Refused(cause)) => {
                    refusal::report(&self, &request, &cause);
                    Progress::Refused(Arc::new(cause))
                }
                Err(error) => {
                    tracing::error!(tracking_id = %request.tracking_id, %error, "a registration failed here; its device may ask again");
                    Progress::Failed
                }
            };
            announce::log(&request, &progress);
            match ending.conclude(progress) {
                Some(next) => job = next,
                None => return,
            }
        }
    }

    /// Runs steps 3 and 4. What the policies chose may be out of date at the commit: the hub is full or gone, or
    /// another request of the same device was faster. Then the policies are asked again, with the current counts and
    /// the current registration. After [`MAX_ATTEMPTS`] attempts the device waits.
    async fn decide_and_commit(&self, job: &mut RegistrationJob) -> Result<Progress, RegisterError> {
        for attempt in 0..MAX_ATTEMPTS {
            let wish = decide::decide(&self.service, job, attempt).await;
            match self.grant(job, wish, attempt).await? {
                Written::Registered(registration) => return Ok(Progress::Finished(registration)),
                Written::Waits(wait) => return Ok(Progress::Waiting(Arc::new(wait))),
                Written::NoRoom => {}
                Written::Overtaken(now) => job.begin_from(now.map(|now| *now))?,
            }
        }
        let detail = "each hub that the policy chose filled up, or another request was faster, every time".to_owned();
        let wait = self.postpone(job, Postponement::soon("contended", detail)).await?;
        Ok(Progress::Waiting(Arc::new(wait)))
    }

    /// Commits what the policies chose, if it is still possible.
    async fn grant(&self, job: &mut RegistrationJob, wish: Wish, attempt: u32) -> Result<Written, RegisterError> {
        match wish {
            Wish::Hub(choice) => self.take_first_with_room(job, choice, attempt).await,
            Wish::Postpone(postponement) => Ok(Written::Waits(self.postpone(job, postponement).await?)),
            // A device that has a place keeps it until there is another one. If a hub is unlinked by mistake, devices
            // that register again must not lose their assignments.
            Wish::NoRoom { detail } if job.has_a_place() => {
                let postponement = Postponement::until_mended("no-room", detail);
                Ok(Written::Waits(self.postpone(job, postponement).await?))
            }
            Wish::NoRoom { detail } => self.commit(job, NO_HUB.into(), Verdict::NoRoom { detail }).await,
            Wish::Reject { code, detail } => {
                self.commit(job, REJECTED.into(), Verdict::Rejected { code, detail }).await
            }
        }
    }

    /// Takes the first of the hubs that the policy named which still has room at the commit.
    async fn take_first_with_room(
        &self,
        job: &mut RegistrationJob,
        choice: HubChoice,
        attempt: u32,
    ) -> Result<Written, RegisterError> {
        let HubChoice { first, alternates, device_id } = choice;
        let mut alternates = alternates.into_iter();
        let mut next = Some(first);
        while let Some(Place { hub, placement, _pending }) = next {
            let placed = match placement {
                Ok(placed) => placed,
                Err(postponement) => return Ok(Written::Waits(self.postpone(job, postponement).await?)),
            };
            if let Err(error) = job.issue(&self.service).await {
                let postponement = Postponement::until_mended("issuer", error.to_string());
                return Ok(Written::Waits(self.postpone(job, postponement).await?));
            }
            announce::warn_of_an_odd_reply(&self.desk, job.request.tracking_id, placed.as_ref());
            let assignment = placement::assignment(job, &hub, device_id.clone(), placed)?;
            let (hub, device_id) = (assignment.hub.clone(), assignment.device_id.clone());
            let verdict = Verdict::Assigned { hub, device_id, group_path: assignment.group_path.clone() };
            match self.commit(job, Outcome::Assigned(assignment), verdict).await? {
                Written::NoRoom => {}
                done @ (Written::Registered(_) | Written::Waits(_) | Written::Overtaken(_)) => return Ok(done),
            }
            next = match alternates.next() {
                Some(hub) => decide::place(&self.service, job, hub, attempt).await,
                None => None,
            };
        }
        Ok(Written::NoRoom)
    }

    /// Waits until the registrations under way have ended, for at most the time that connections have to drain.
    pub async fn finish(&self) {
        let drain = Duration::from_secs(self.service.config().limits.listener.drain_seconds);
        let ended = async {
            while self.desk.registrations_under_way() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(drain, ended).await.is_err() {
            tracing::warn!("registrations under way were left; their devices ask again");
        }
    }
}

/// A registration that failed for good. The device must register again to try once more.
struct Failure {
    /// The error code of DPS.
    code: u32,
    /// What the device is told.
    message: &'static str,
}

impl From<Failure> for Outcome {
    fn from(Failure { code, message }: Failure) -> Self {
        Self::Failed { code, message: message.to_owned() }
    }
}

/// How often the policy is asked before the device has to wait.
const MAX_ATTEMPTS: u32 = 4;

/// An allocation policy refused the device.
const REJECTED: Failure =
    Failure { code: 400_207, message: "Custom allocation failed: the policy does not take this device" };

/// No hub can take the device.
const NO_HUB: Failure = Failure { code: 400_208, message: "No hub can take this device" };
