//! What is done for a device that is not enrolled, so that its refusal takes as long as that of one that is.
//!
//! The store reads a neighbour's enrollment where an id has none; here are the keys that are opened and tried then.

use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_domain::clock::Ambient;
use landfall_domain::enrollment::{EnrollmentRef, SealedKeys};
use landfall_domain::names::IdScope;
use landfall_domain::secret::sealing::{SealError, SealingKey};

/// Symmetric keys that no enrollment has, and what opens them.
pub(in crate::provisioning) struct Decoy {
    sealed: SealedKeys,
    owner: EnrollmentRef,
    scope: IdScope,
    sealing: SealingKey,
}

impl Decoy {
    /// New ones, which are kept nowhere. (That there are none is not possible: 32 bytes are a key, and the names are names.)
    pub(crate) fn new(ambient: &Ambient) -> Option<Self> {
        let (owner, scope) = (EnrollmentRef::Individual("nobody".parse().ok()?), "0neNOBODY".parse().ok()?);
        let sealing = SealingKey::new(&ambient.random::<32>()).ok()?;
        let keys = [SymmetricKey::generate(ambient.random()), SymmetricKey::generate(ambient.random())];
        let sealed = SealedKeys::seal(&keys, &owner, &scope, &sealing, ambient);
        Some(Self { sealed, owner, scope, sealing })
    }

    /// Opens the keys: the same work as for keys that are there.
    pub(in crate::provisioning) fn open(&self) -> Result<[SymmetricKey; 2], SealError> {
        self.sealed.open(&self.owner, &self.scope, &self.sealing)
    }
}
