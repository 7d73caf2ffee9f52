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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::names::RegistrationId;
use crate::secret::SecretText;

mod token;

pub use token::{SasToken, TokenFlaw};

/// A key of 16 to 64 bytes. Nothing prints it by accident.
#[derive(Clone)]
pub struct SymmetricKey(Zeroizing<Vec<u8>>);

/// A text that is no key. The text is not repeated: it may be most of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a symmetric key is the base64 (RFC 4648, section 4, with padding) of 16 to 64 bytes")]
pub struct KeyError;

impl SymmetricKey {
    /// Reads base64; white space around it is not part of it.
    ///
    /// # Errors
    ///
    /// When it is no base64, or of too few or too many bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError)?);
        Self::of_bytes(bytes)
    }

    /// A key of bytes that were kept.
    ///
    /// # Errors
    ///
    /// When they are too few or too many.
    pub fn of_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        if (MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(KeyError) }
    }

    /// A new key of random bytes.
    pub fn generate(random: [u8; MAX_BYTES]) -> Self {
        let random = Zeroizing::new(random);
        Self(Zeroizing::new(random.to_vec()))
    }

    /// The key of one device of the group that has this key: HMAC-SHA256 over its registration id, as it is written.
    pub fn derive(&self, registration_id: &str) -> Self {
        Self(Zeroizing::new(self.sign(registration_id.as_bytes()).as_ref().to_vec()))
    }

    /// The key as devices and people get it.
    pub fn to_base64(&self) -> SecretText {
        SecretText::new(STANDARD.encode(self.0.as_slice()))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// By which two keys can be told apart and nothing is learned of either: 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.sign(b"landfall fingerprint").as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether the token was signed with this key.
    pub fn has_signed(&self, token: &SasToken) -> bool {
        let signed = self.sign(token.signed_text().as_bytes());
        constant_time::verify_slices_are_equal(signed.as_ref(), token.signature()).is_ok()
    }

    fn sign(&self, text: &[u8]) -> hmac::Tag {
        tag(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), text)
    }
}

/// A group's key, made ready once for all the devices whose keys are derived from it.
#[derive(Clone)]
pub struct GroupKey(hmac::Key);

impl GroupKey {
    /// Makes a key ready.
    pub fn new(key: &SymmetricKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key.0))
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

/// Not even its length.
impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey")
    }
}

const MIN_BYTES: usize = 16;
const MAX_BYTES: usize = 64;

#[cfg(test)]
mod tests;
