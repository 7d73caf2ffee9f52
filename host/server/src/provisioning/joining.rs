//! How a request meets its device's operation: it begins one, joins the one that runs, or comes next.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::EntryKind;
use landfall_domain::json::JsonText;
use landfall_domain::names::{OperationId, TrackingId};
use landfall_domain::registration::Registration;

use super::desk::operations::{BeginResult, Begun, Claimant, Operation, Progress, RequestKind, StatementKind};
use super::registration_job::RegistrationJob;
use super::{Admitted, Provisioning, RegisterError, Request, Status, refusal};
use crate::service::Service;

impl Provisioning {
    /// Begins the operation, or joins the one that runs.
    pub(super) async fn begin_or_join(
        self: &Arc<Self>,
        request: Request,
        admitted: Admitted,
        new_id: OperationId,
        asked: RequestKind,
        wait: Duration,
    ) -> Result<(OperationId, Status), RegisterError> {
        let claimant = Claimant::of(&request, &admitted);
        let mut job = Box::new(RegistrationJob::new(&self.service, request, admitted, new_id));
        let operations = self.desk.operations();
        let operation = loop {
            let (id, said) = (job.operation.clone(), job.request.said());
            match operations.begin(&claimant, id, self.service.ambient().instant(), asked, &said) {
                BeginResult::Mine(operation) => {
                    job.continue_operation(operation.id.clone(), operation.said());
                    tokio::spawn(Arc::clone(self).carry_out(claimant, job, operation.clone()));
                    break operation;
                }
                BeginResult::Theirs(operation) => {
                    let status = self.wait_for_other(&job.request, &operation, wait).await?;
                    return Ok((operation.id, status));
                }
                BeginResult::Behind => match operations.follow(&claimant, job) {
                    Ok(operation) => break operation,
                    // The operation has ended in the meantime.
                    Err(again) => job = again,
                },
                BeginResult::Full => return Err(RegisterError::Busy),
            }
        };
        let progress = operation.settled(wait).await;
        Ok((operation.id.clone(), self.status(&progress)?))
    }

    /// Waits for an operation that another request began. If the operation is refused, this request is refused under
    /// its own tracking id, and the operator finds the cause under that id as well.
    pub(super) async fn wait_for_other(
        self: &Arc<Self>,
        request: &Request,
        operation: &Operation,
        wait: Duration,
    ) -> Result<Status, RegisterError> {
        let progress = operation.settled(wait).await;
        if let Progress::Refused(cause) = &progress {
            refusal::report(self, request, cause);
        }
        self.status(&progress)
    }

    fn status(&self, progress: &Progress) -> Result<Status, RegisterError> {
        match progress {
            Progress::Running => {
                Ok(Status::Assigning { retry_after: self.service.config().limits.device.poll_seconds })
            }
            Progress::Waiting(wait) => {
                let seconds =
                    wait.until.saturating_duration_since(self.service.ambient().instant()).as_millis().div_ceil(1000);
                Ok(Status::Assigning { retry_after: u64::try_from(seconds).unwrap_or(u64::MAX).max(1) })
            }
            Progress::Finished(registration) => Ok(Status::Finished(Arc::clone(registration))),
            Progress::Refused(cause) => Err(RegisterError::Refused((**cause).clone())),
            Progress::Failed => Err(RegisterError::Failed),
        }
    }
}

impl Claimant {
    /// The device and the key that a request's operation belongs to.
    pub(super) fn of(request: &Request, admitted: &Admitted) -> Self {
        let (scope, id) = (request.scope.clone(), request.registration_id.clone());
        Self { scope, id, key: admitted.factors.key_identity }
    }
}

/// The result of this operation or of a later one. The time alone would not be enough: the clock may have been set
/// back.
pub(super) fn result<'a>(
    registration: Option<&'a Registration>,
    operation: &OperationId,
    begun: Timestamp,
) -> Option<&'a Registration> {
    registration.filter(|known| known.operation == *operation || known.updated_at >= begun)
}

/// Fills a poll with what its device said when it registered. This is needed when the server was restarted since, or
/// the operation had to make room.
///
/// # Errors
///
/// [`RegisterError::NotFound`] if that is no longer known: then the device has to register again.
pub(super) async fn say_again(service: &Service, request: &mut Request, begun: Begun) -> Result<(), RegisterError> {
    match begun.kind {
        StatementKind::Nothing => Ok(()),
        StatementKind::Payload => {
            let said = payload_of(service, begun.request).await?;
            request.payload = Some(said.ok_or(RegisterError::NotFound)?);
            Ok(())
        }
        StatementKind::Csr => Err(RegisterError::NotFound),
    }
}

/// What a device said in a request whose decision is in the ledger.
async fn payload_of(service: &Service, request: TrackingId) -> Result<Option<JsonText>, RegisterError> {
    let limits = &service.config().limits.device;
    let said = match service.store().ledger_entry(request).await?.map(|entry| entry.kind) {
        Some(EntryKind::Decided(decision)) => decision.device.payload,
        Some(EntryKind::Refused { .. } | EntryKind::Answered { .. }) | None => None,
    };
    Ok(said.and_then(|text| JsonText::parse(text, limits.max_body_bytes, limits.json_depth).ok()))
}
