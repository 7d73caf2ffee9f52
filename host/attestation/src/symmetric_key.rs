//! Symmetric keys: the device signs a token with a key that the service has too.
//!
//! An individual enrollment holds the device's own two keys. A group holds two keys that no device ever has: each
//! device's key is derived from one of them and its registration id, on the factory floor (`landfall key derive`), and
//! is derived again here to check the token. A token names neither the group nor which of the keys signed it, so all of
//! them are tried; every trial is made, whichever succeeds, so that the time tells nothing.
//!
//! It is the weakest of the mechanisms: the secret is in two places, and a token is good for whoever has it until it
//! expires. The manufacturing record stands beside it as beside every other.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use landfall_domain::names::RegistrationId;
pub use landfall_domain::secret::symmetric_key::{KeyError, SymmetricKey};

mod token;

pub use token::{SasToken, TokenFlaw};

/// A group's key, made ready once for all the devices whose keys are derived from it.
#[derive(Clone)]
pub struct GroupKey(hmac::Key);

impl GroupKey {
    /// Makes a key ready.
    pub fn new(key: &SymmetricKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// Whether the token was signed by the device of that id, in the group that has this key. Factories have derived
    /// keys from the id as it is written and from its lower case; both are tried, where they differ.
    pub fn has_let_sign(&self, token: &SasToken, id: &RegistrationId) -> bool {
        let derived_from = |id: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, tag(&self.0, id.as_bytes()).as_ref());
            let signed = tag(&key, token.signed_text().as_bytes());
            constant_time::verify_slices_are_equal(signed.as_ref(), token.signature()).is_ok()
        };
        // Both are computed, whichever has signed: no short cut. How an id is written is no secret.
        derived_from(id.key()) | (id.as_str() != id.key() && derived_from(id.as_str()))
    }
}

/// What all of it costs: one HMAC.
fn tag(key: &hmac::Key, text: &[u8]) -> hmac::Tag {
    #[cfg(test)]
    tests::TAGS.set(tests::TAGS.get() + 1);
    hmac::sign(key, text)
}

/// Nothing of it.
impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey")
    }
}

#[cfg(test)]
mod tests;
