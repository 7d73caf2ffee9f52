//! Steps 1 and 2: who is this, and may it come in?
//!
//! Two factors, always: the credential, proven now on this connection, and the manufacturing record, imported
//! beforehand by somebody else. The order is fixed (select the enrollment, verify the credential as it says, compare
//! the names, read the record, compare the evidence, compare the key with the one the id is bound to) and nothing is
//! decided by what the device merely says.

use std::sync::Arc;

use super::refusal::{Cause, RegisterError};
use super::{Credential, Request};
use crate::attestation::x509::{self, PresentedChain, VerifyPolicy};
use crate::catalogue::{BoundAllocation, ScopeCatalogue};
use crate::enrollment::selection::{self, Selected, SelectionError};
use crate::enrollment::{EnrollmentRef, IndividualAttestation, KeyChange, Manufacturing, Terms};
use crate::ledger::Factors;
use crate::names::{DeviceId, Digest, ManufacturerId};
use crate::policy::call::Label;
use crate::registration::Registration;
use crate::registry::{ManufacturingRecord, RecordState};
use crate::service::Service;

/// A device that both factors admit.
pub struct Admitted {
    /// Its tenant as it was when it came.
    pub scope: Arc<ScopeCatalogue>,
    /// What becomes of it.
    pub terms: Arc<Terms>,
    /// The policies that decide.
    pub allocation: Arc<BoundAllocation>,
    /// Its id in the hub, when its individual enrollment says so.
    pub device_id: Option<DeviceId>,
    /// What admitted it.
    pub factors: Factors,
    /// What its credential proved.
    pub claims: Vec<Label>,
    /// The second factor.
    pub record: Option<ManufacturingRecord>,
    /// An operator has named this very certificate, so its key needs no further binding.
    pub pinned: bool,
    /// Its registration as it is now.
    pub before: Option<Registration>,
}

/// Admits the device or says why not.
pub(super) async fn admit(service: &Service, request: &Request) -> Result<Admitted, RegisterError> {
    let scope = service.scope(&request.scope).ok_or_else(|| Cause::UnknownScope(request.scope.clone()))?;
    let chain = match &request.credential {
        Credential::X509(chain) => chain,
        Credential::Unreadable(reason) => {
            return Err(Cause::UnreadableCertificate(reason.clone()).into());
        }
        Credential::None => return Err(Cause::NoCredential.into()),
    };
    let selected = selection::select(&*service.store, &scope, &request.registration_id, chain).await?;
    let enrolled = attest(service, request, &scope, selected, chain)?;
    named_so(request, chain)?;
    let (record, evidence) = second_factor(service, request, &enrolled, chain).await?;
    let before = service.store.registration(&request.scope, &request.registration_id).await?;
    bound_key(&enrolled, before.as_ref(), request, chain)?;
    Ok(Admitted {
        terms: enrolled.terms,
        allocation: enrolled.allocation,
        device_id: enrolled.device_id,
        pinned: enrolled.pinned,
        factors: Factors {
            enrollment: enrolled.enrollment,
            credential: enrolled.credential,
            key_identity: chain.leaf().spki_sha256(),
            manufacturer: record.as_ref().map(|record| record.manufacturer.clone()),
            evidence,
        },
        claims: chain.leaf().claims().into_iter().map(|(key, value)| Label { key, value }).collect(),
        record,
        before,
        scope,
    })
}

/// An enrollment whose demands the credential meets.
struct Enrolled {
    enrollment: EnrollmentRef,
    terms: Arc<Terms>,
    allocation: Arc<BoundAllocation>,
    device_id: Option<DeviceId>,
    credential: String,
    /// An operator has named this very certificate, so its key needs no further binding.
    pinned: bool,
}

fn attest(
    service: &Service,
    request: &Request,
    scope: &ScopeCatalogue,
    selected: Selected,
    chain: &PresentedChain,
) -> Result<Enrolled, Cause> {
    let policy = VerifyPolicy { now: request.received_at, ..service.verify_policy() };
    match selected {
        Selected::Individual(individual) => {
            let name = format!("the individual enrollment {}", individual.registration_id);
            // Found by the certificate and not by the id: the operator must learn which enrollment stands there. It
            // keeps its certificate from coming in elsewhere, and admits nobody but the device that it names: a pin
            // needs no further binding, so it would hand over another device's id with whatever key was pinned.
            let own = individual.registration_id == request.registration_id;
            match (own, individual.terms.enabled) {
                (true, true) => {}
                (true, false) => return Err(Cause::EnrollmentDisabled(name)),
                (false, false) => return Err(Cause::CertificateBlocked(name)),
                (false, true) => return Err(Cause::CertificateOfAnother(name)),
            }
            let IndividualAttestation::X509 { primary, secondary } = &individual.attestation;
            let pins: Vec<Digest> = std::iter::once(primary).chain(secondary).map(|pin| pin.sha256).collect();
            x509::verify_pinned(chain, &pins, &policy)
                .map_err(|reason| Cause::Certificate { enrollment: name, reason })?;
            Ok(Enrolled {
                enrollment: EnrollmentRef::Individual(individual.registration_id.clone()),
                allocation: Arc::new(scope.bind(&individual.terms.allocation)),
                device_id: individual.device_id.clone(),
                credential: format!("X.509, pinned certificate {}", chain.leaf().sha256().short()),
                terms: Arc::new(individual.terms),
                pinned: true,
            })
        }
        Selected::Group(bound) => {
            let group = &bound.group;
            let name = format!("enrollment group {}", group.id);
            if !group.terms.enabled {
                return Err(Cause::EnrollmentDisabled(name));
            }
            x509::verify_group(chain, &bound.anchors, &policy)
                .map_err(|reason| Cause::Certificate { enrollment: name, reason })?;
            Ok(Enrolled {
                enrollment: EnrollmentRef::Group(group.id.clone()),
                terms: Arc::clone(&bound.terms),
                allocation: Arc::clone(&bound.allocation),
                device_id: None,
                credential: format!("X.509, issued by {}", chain.leaf().issuer()),
                pinned: false,
            })
        }
    }
}

/// The certificate's CN is the registration id, and there is no second place to take a name from.
fn named_so(request: &Request, chain: &PresentedChain) -> Result<(), Cause> {
    match chain.leaf().registration_id() {
        Ok(id) if id == request.registration_id => Ok(()),
        Ok(id) => Err(Cause::OtherName { cn: id.to_string(), id: request.registration_id.clone() }),
        Err(reason) => Err(Cause::UnreadableCertificate(reason.to_string())),
    }
}

async fn second_factor(
    service: &Service,
    request: &Request,
    enrolled: &Enrolled,
    chain: &PresentedChain,
) -> Result<(Option<ManufacturingRecord>, Vec<String>), RegisterError> {
    let id = &request.registration_id;
    let Some(record) = service.store.record(&request.scope, id).await? else {
        return match enrolled.terms.manufacturing {
            Manufacturing::Required => Err(Cause::NoRecord(id.clone()).into()),
            Manufacturing::Optional => Ok((None, Vec::new())),
        };
    };
    let relied_on = enrolled.terms.manufacturers.as_ref();
    if let Some(relied_on) = relied_on.filter(|relied_on| !relied_on.contains(&record.manufacturer)) {
        let names: Vec<&str> = relied_on.iter().map(ManufacturerId::as_str).collect();
        return Err(Cause::RecordOfAnother {
            id: id.clone(),
            manufacturer: record.manufacturer,
            enrollment: enrolled.enrollment.to_string(),
            relied_on: names.join(", "),
        }
        .into());
    }
    match record.state {
        RecordState::Active => {}
        RecordState::Quarantined => return Err(Cause::Quarantined(id.clone()).into()),
        RecordState::Retired => return Err(Cause::Retired(id.clone()).into()),
    }
    let mut matched = Vec::new();
    let leaf = chain.leaf();
    let shown = [
        ("certificate", record.evidence.certificate_sha256, Some(leaf.sha256())),
        ("public key", record.evidence.public_key_sha256, Some(leaf.spki_sha256())),
        ("endorsement key", record.evidence.endorsement_key_sha256, None),
    ];
    for (what, expected, shown) in shown {
        match (expected, shown) {
            (None, _) => {}
            (Some(expected), Some(shown)) if expected == shown => matched.push(what.to_owned()),
            (Some(expected), shown) => {
                let shown = shown.map_or_else(|| "none".to_owned(), |shown| shown.to_string());
                return Err(Cause::EvidenceMismatch { what, expected, shown }.into());
            }
        }
    }
    Ok((Some(record), matched))
}

/// A registration id belongs to the key that registered it first.
fn bound_key(
    enrolled: &Enrolled,
    before: Option<&Registration>,
    request: &Request,
    chain: &PresentedChain,
) -> Result<(), Cause> {
    let shown = chain.leaf().spki_sha256();
    let Some(bound) = before.and_then(|registration| registration.key_identity) else {
        return Ok(());
    };
    if bound == shown || enrolled.pinned || enrolled.terms.key_change == KeyChange::Allow {
        return Ok(());
    }
    Err(Cause::KeyChanged { id: request.registration_id.clone(), bound, shown })
}

impl From<SelectionError> for RegisterError {
    fn from(error: SelectionError) -> Self {
        match error {
            SelectionError::Refused(cause) => Self::Refused(cause),
            SelectionError::Store(error) => Self::Store(error),
        }
    }
}
