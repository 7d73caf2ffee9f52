//! The symmetric keys of an enrollment, as the store keeps them.

use serde::{Deserialize, Serialize};

use super::EnrollmentRef;
use crate::clock::Ambient;
use crate::names::IdScope;
use crate::secret::sealing::{SealError, Sealed, SealingKey};
use crate::secret::symmetric_key::SymmetricKey;

/// The two keys of an enrollment, sealed. Both are valid, so that one can be changed while devices use the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SealedKeys {
    pub primary: Sealed,
    pub secondary: Sealed,
}

impl SealedKeys {
    /// Seals the two keys of an enrollment.
    pub fn seal(
        keys: &[SymmetricKey; 2],
        owner: &EnrollmentRef,
        scope: &IdScope,
        sealing: &SealingKey,
        ambient: &Ambient,
    ) -> Self {
        let [primary, secondary] = keys;
        let seal = |key: &SymmetricKey, slot| sealing.seal(key.expose(), &place(owner, scope, slot), ambient.random());
        Self { primary: seal(primary, "primary"), secondary: seal(secondary, "secondary") }
    }

    /// Opens the two keys.
    ///
    /// # Errors
    ///
    /// When they were sealed with another key, or for another enrollment.
    pub fn open(
        &self,
        owner: &EnrollmentRef,
        scope: &IdScope,
        sealing: &SealingKey,
    ) -> Result<[SymmetricKey; 2], SealError> {
        let open = |sealed: &Sealed, slot| {
            let bytes = sealing.open(sealed, &place(owner, scope, slot))?;
            SymmetricKey::of_bytes(bytes).map_err(|_| SealError::Damaged)
        };
        Ok([open(&self.primary, "primary")?, open(&self.secondary, "secondary")?])
    }
}

/// The row of a key, which is bound into its seal. For a registration id the lower-case form is used.
fn place(owner: &EnrollmentRef, scope: &IdScope, slot: &str) -> String {
    match owner {
        EnrollmentRef::Individual(id) => format!("{scope}/enrollments/{}/{slot}", id.key()),
        EnrollmentRef::Group(id) => format!("{scope}/enrollment-groups/{id}/{slot}"),
    }
}
