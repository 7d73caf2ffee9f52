//! The work that is done for a device that is not enrolled, so that its refusal takes as long as that of an enrolled
//! device.
//!
//! If an id has no enrollment, the store reads a neighbour's. This module has the keys that are opened and tried in
//! that case.

use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_domain::clock::Ambient;
use landfall_domain::enrollment::{EnrollmentRef, SealedKeys};
use landfall_domain::names::IdScope;
use landfall_domain::secret::sealing::{SealError, SealingKey};

/// Symmetric keys that belong to no enrollment, and the sealing key that opens them.
pub(in crate::provisioning) struct Decoy {
    sealed: SealedKeys,
    owner: EnrollmentRef,
    scope: IdScope,
    sealing: SealingKey,
}

impl Decoy {
    /// New keys, which are stored nowhere. `None` cannot happen: 32 bytes are always a key, and both names are valid.
    pub(crate) fn new(ambient: &Ambient) -> Option<Self> {
        let (owner, scope) = (EnrollmentRef::Individual("nobody".parse().ok()?), "0neNOBODY".parse().ok()?);
        let sealing = SealingKey::new(&ambient.random::<32>()).ok()?;
        let keys = [SymmetricKey::generate(ambient.random()), SymmetricKey::generate(ambient.random())];
        let sealed = SealedKeys::seal(&keys, &owner, &scope, &sealing, ambient);
        Some(Self { sealed, owner, scope, sealing })
    }

    /// Opens the decoy keys. It is the same work as opening the keys of an enrollment.
    pub(in crate::provisioning) fn open(&self) -> Result<[SymmetricKey; 2], SealError> {
        self.sealed.open(&self.owner, &self.scope, &self.sealing)
    }
}
