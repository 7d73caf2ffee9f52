//! A registration between its admission and its commit: the request, what was decided so far, and the calls that
//! explain it.

use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::call::{Call, Device, EnrollmentKind, Label, Prior};
use landfall_domain::decision::{Content, Decision, Entry, EntryKind, IssuedNote, PolicyCall, Verdict};
use landfall_domain::enrollment::{EnrollmentRef, KeyChange};
use landfall_domain::names::{Digest, OperationId, RegistrationId};
use landfall_domain::registration::{IssuedCertificate, Registration};

use super::deliberation::Made;
use super::desk::operations::Statement;
use super::refusal::{Cause, RegisterError};
use super::{Admitted, Request};
use crate::certificate_issuing::IssueError;
use crate::service::Service;

/// A registration between its admission and its commit.
pub(super) struct RegistrationJob {
    pub(super) request: Request,
    pub(super) admitted: Admitted,
    pub(super) operation: OperationId,
    /// What the policies are told about the device.
    pub(super) device: Arc<Device>,
    seed: u64,
    calls: Vec<PolicyCall>,
    /// The contents that the calls name by digest.
    contents: Vec<Content>,
    engine: Digest,
    /// The certificate that was issued for the device's request.
    issued: Option<IssuedCertificate>,
}

impl RegistrationJob {
    pub(super) fn new(service: &Service, request: Request, admitted: Admitted, operation: OperationId) -> Self {
        let device = Arc::new(device(&request, &admitted));
        let seed = u64::from_le_bytes(service.ambient().random());
        let engine = service.policies().fingerprint();
        Self {
            request,
            admitted,
            operation,
            device,
            seed,
            calls: Vec::new(),
            contents: Vec::new(),
            engine,
            issued: None,
        }
    }

    /// Continues an operation that began before, with what the device said then.
    pub(super) fn continue_operation(&mut self, operation: OperationId, said: Statement) {
        self.operation = operation;
        if self.request.said() != said {
            Statement { payload: self.request.payload, csr: self.request.csr } = said;
            self.device = Arc::new(device(&self.request, &self.admitted));
        }
    }

    /// The inputs of a call that come from outside. Every call of a decision has the same clock. The seed differs from
    /// attempt to attempt, so that a policy that chooses at random does not choose the same again.
    pub(super) fn call(&self, attempt: u32) -> Call {
        Call {
            decision_id: self.request.tracking_id.to_string(),
            now: self.request.received_at.as_millis(),
            seed: self.seed.wrapping_add(u64::from(attempt)),
            catalog_revision: self.admitted.scope.revision,
            attempt,
        }
    }

    /// Issues the certificate that the device asked for. A second call issues none.
    pub(super) async fn issue(&mut self, service: &Service) -> Result<(), IssueError> {
        let (None, Some(request)) = (&self.issued, &self.request.csr) else { return Ok(()) };
        let Some(name) = &self.admitted.terms.certificate_issuer else { return Ok(()) };
        let scope = &self.request.scope;
        let missing = || IssueError::Missing(name.clone(), scope.clone());
        let issuer = service.outside().certificate_issuing().get(scope, name).ok_or_else(missing)?;
        let (issuer, request, operation) = (Arc::clone(issuer), Arc::clone(request), self.operation.clone());
        let id = self.name().clone();
        let (now, number) = (service.ambient().now(), service.ambient().random());
        let issuing = move || issuer.issue(&request, &id, &operation, now, number);
        let issued = tokio::task::spawn_blocking(issuing).await;
        self.issued = Some(issued.unwrap_or_else(|error| Err(IssueError::Ended(error.to_string())))?);
        Ok(())
    }

    pub(super) fn issued(&self) -> Option<&IssuedCertificate> {
        self.issued.as_ref()
    }

    /// Keeps calls for the ledger, and the contents that they name.
    pub(super) fn keep(&mut self, made: Made) {
        self.calls.extend(made.calls);
        for content in made.contents {
            if !self.contents.contains(&content) {
                self.contents.push(content);
            }
        }
    }

    /// The contents that this registration's ledger entry names by digest.
    pub(super) fn contents(&self) -> Vec<Content> {
        self.contents.iter().chain([&self.admitted.scope.hubs_list]).cloned().collect()
    }

    /// Another request wrote this registration first: starts again from the current one.
    ///
    /// # Errors
    ///
    /// If that request proved another key: then the id is taken.
    pub(super) fn begin_from(&mut self, now: Option<Registration>) -> Result<(), RegisterError> {
        let shown = self.admitted.factors.key_identity;
        let bound = now.as_ref().and_then(|registration| registration.key_identity);
        if let Some(bound) = bound.filter(|bound| *bound != shown)
            && self.admitted.terms.key_change == KeyChange::Refuse
            && !self.admitted.pinned
        {
            let changed = Cause::KeyChanged { id: self.request.registration_id.clone(), bound, shown };
            return Err(changed.of(&self.admitted.factors.enrollment).into());
        }
        self.admitted.before = now;
        self.device = Arc::new(device(&self.request, &self.admitted));
        Ok(())
    }

    /// The ledger entry of what has happened so far, with this verdict.
    pub(super) fn entry(&self, verdict: Verdict) -> Entry {
        let decision = Decision {
            factors: self.admitted.factors.clone(),
            device: Device::clone(&self.device),
            hubs: self.admitted.scope.hubs_list.digest(),
            engine: self.engine,
            calls: self.calls.clone(),
            issued: self.issued.as_ref().map(IssuedNote::of),
            verdict,
        };
        Entry { kind: EntryKind::Decided(Box::new(decision)), ..entry_of(&self.request) }
    }

    /// The registration id, spelled as it was first registered, and otherwise as it is proven. Hubs distinguish ids by
    /// case, and may compare a device's id with its certificate, while the URL may have any case.
    pub(super) fn name(&self) -> &RegistrationId {
        self.admitted.before.as_ref().map_or(&self.admitted.name, |before| &before.registration_id)
    }

    /// Whether the device already has a place on a hub.
    pub(super) fn has_a_place(&self) -> bool {
        self.admitted.before.as_ref().is_some_and(|before| before.hub().is_some())
    }

    /// The time of this registration.
    pub(super) fn now(&self) -> Timestamp {
        self.request.received_at
    }
}

/// The ledger entry of a request, without its kind.
pub(super) fn entry_of(request: &Request) -> Entry {
    Entry {
        tracking_id: request.tracking_id,
        at: request.received_at,
        scope: Some(request.scope.clone()),
        registration_id: request.registration_id.to_string(),
        source: request.source.to_string(),
        kind: EntryKind::Refused { cause: String::new(), detail: String::new(), shown: Vec::new(), enrollment: None },
    }
}

/// The device as a policy sees it. Both lists are sorted by the keys of their labels.
fn device(request: &Request, admitted: &Admitted) -> Device {
    let (enrollment, enrollment_id) = match &admitted.factors.enrollment {
        EnrollmentRef::Individual(id) => (EnrollmentKind::Individual, id.to_string()),
        EnrollmentRef::Group(id) => (EnrollmentKind::Group, id.to_string()),
    };
    let facts = admitted.record.iter().flat_map(|record| &record.facts);
    let tags = &admitted.terms.initial_twin.tags;
    Device {
        registration_id: request.registration_id.to_string(),
        attestation: admitted.mechanism,
        enrollment,
        enrollment_id,
        facts: facts.map(|(key, value)| Label { key: key.clone(), value: value.clone() }).collect(),
        claims: admitted.claims.clone(),
        tags: tags.iter().map(|(key, value)| Label { key: key.clone(), value: value.to_string() }).collect(),
        payload: request.payload.as_ref().map(|payload| payload.as_str().to_owned()),
        prior: admitted.before.as_ref().and_then(Registration::assignment).map(|assignment| Prior {
            hub: assignment.hub.to_string(),
            group_path: assignment.group_path.clone(),
            since: assignment.since.as_millis(),
        }),
    }
}
