//! Symmetric keys: the device signs a token with a key that the service has too.
//!
//! An individual enrollment has the device's own two keys. A group has two keys that no device ever gets: the key of
//! each device is derived from one of them and the device's registration id. That is done in the factory (`landfall
//! key derive`), and again here to verify the token. A token names neither the group nor the key that signed it, so
//! all keys are tried. All tries are made even after one succeeded, so that the time reveals nothing.
//!
//! This is a weak mechanism: the secret is in two places, and whoever has a token can use it until it expires. The
//! manufacturing record is demanded as with every other mechanism.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use landfall_domain::names::RegistrationId;
pub use landfall_domain::secret::symmetric_key::{KeyError, SymmetricKey};

mod token;

pub use token::{SasToken, TokenFlaw};

/// A group's key, prepared once for all devices whose keys are derived from it.
#[derive(Clone)]
pub struct GroupKey(hmac::Key);

impl GroupKey {
    /// Prepares a key.
    pub fn new(key: &SymmetricKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// Whether the token was signed by the device with this id, in the group that has this key. Some factories derived
    /// keys from the id as it is written, others from its lower-case form. Both are tried where they differ.
    pub fn has_let_sign(&self, token: &SasToken, id: &RegistrationId) -> bool {
        let derived_from = |id: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, tag(&self.0, id.as_bytes()).as_ref());
            let signed = tag(&key, token.signed_text().as_bytes());
            constant_time::verify_slices_are_equal(signed.as_ref(), token.signature()).is_ok()
        };
        // Both are computed, even if the first one matches, so that the time reveals nothing. The spelling of an id is
        // no secret.
        derived_from(id.key()) | (id.as_str() != id.key() && derived_from(id.as_str()))
    }
}

/// Computes one HMAC. All costs of this module are calls of this function.
fn tag(key: &hmac::Key, text: &[u8]) -> hmac::Tag {
    #[cfg(test)]
    tests::TAGS.set(tests::TAGS.get() + 1);
    hmac::sign(key, text)
}

/// Prints nothing of the key.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey")
    }
}

#[cfg(test)]
mod tests;
