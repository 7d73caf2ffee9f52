//! What a credential has proven, and the enrollment whose demands it meets.

use std::sync::Arc;

use landfall_domain::decision::call::{Attestation, Label};
use landfall_domain::enrollment::{EnrollmentRef, Individual, Terms};
use landfall_domain::names::{DeviceId, Digest, RegistrationId};
use landfall_domain::registry::{Part, SerialNumber};

use crate::catalogue::{BoundAllocation, BoundGroup, ScopeCatalogue};

/// An enrollment whose demands the credential meets, and what the credential has shown.
pub(super) struct Proven {
    /// The device's id as its credential proves it. The URL has the same id, perhaps with another case of letters.
    pub(super) name: RegistrationId,
    pub(super) enrollment: EnrollmentRef,
    pub(super) terms: Arc<Terms>,
    pub(super) allocation: Arc<BoundAllocation>,
    pub(super) device_id: Option<DeviceId>,
    /// The credential, in words for the ledger.
    pub(super) credential: String,
    /// An operator has named this very credential, so its key needs no further binding.
    pub(super) pinned: bool,
    pub(super) shown: Shown,
    pub(super) claims: Vec<Label>,
}

impl Proven {
    /// What the credential of an individual enrollment proves. An operator has named this very credential.
    pub(super) fn by_individual(
        individual: Individual,
        scope: &ScopeCatalogue,
        credential: String,
        shown: Shown,
        claims: Vec<Label>,
    ) -> Self {
        Self {
            enrollment: EnrollmentRef::Individual(individual.registration_id.clone()),
            name: individual.registration_id,
            allocation: Arc::new(scope.bind(&individual.terms.allocation)),
            terms: Arc::new(individual.terms),
            device_id: individual.device_id,
            credential,
            pinned: true,
            shown,
            claims,
        }
    }

    /// What the credential of a device of a group proves. `name` is the device's id.
    pub(super) fn by_group(
        bound: &BoundGroup,
        name: RegistrationId,
        credential: String,
        shown: Shown,
        claims: Vec<Label>,
    ) -> Self {
        Self {
            enrollment: EnrollmentRef::Group(bound.group.id.clone()),
            name,
            allocation: Arc::clone(&bound.allocation),
            terms: Arc::clone(&bound.terms),
            device_id: None,
            credential,
            pinned: false,
            shown,
            claims,
        }
    }
}

/// What a credential shows: it is compared with the evidence of the manufacturing record, and the id is bound to it.
pub(super) struct Shown {
    pub(super) mechanism: Attestation,
    pub(super) of: Evidential,
    pub(super) key_identity: Digest,
}

/// The parts of a credential that a manufacturing record can name.
pub(super) enum Evidential {
    Certificate {
        sha256: Digest,
        public_key: Digest,
        issuer: String,
        serial: SerialNumber,
    },
    EndorsementKey(Digest),
    Token {
        issuer: String,
        subject: String,
    },
    /// A symmetric key has no such parts: only the enrollment knows the key.
    SharedKey,
}

impl Shown {
    /// The value of this part, which must be the value in a record that names the part.
    pub(super) fn part(&self, part: Part) -> Option<String> {
        match (&self.of, part) {
            (Evidential::Certificate { sha256, .. }, Part::Certificate) => Some(sha256.to_string()),
            (Evidential::Certificate { public_key, .. }, Part::PublicKey) => Some(public_key.to_string()),
            (Evidential::Certificate { issuer, .. }, Part::CertificateIssuer) => Some(issuer.clone()),
            (Evidential::Certificate { serial, .. }, Part::CertificateSerial) => Some(serial.to_string()),
            (Evidential::EndorsementKey(digest), Part::EndorsementKey) => Some(digest.to_string()),
            (Evidential::Token { issuer, .. }, Part::TokenIssuer) => Some(issuer.clone()),
            (Evidential::Token { subject, .. }, Part::TokenSubject) => Some(subject.clone()),
            _ => None,
        }
    }
}
