//! A symmetric key that the device and the service share.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::SecretText;
use crate::text::hex;

/// A key of 16 to 64 bytes. Nothing prints it by accident.
#[derive(Clone)]
pub struct SymmetricKey(Zeroizing<Vec<u8>>);

/// The text is not a key. The error does not repeat the text, which may be most of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a symmetric key is the base64 (RFC 4648, section 4, with padding) of 16 to 64 bytes")]
pub struct KeyError;

impl SymmetricKey {
    /// Parses base64. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// When the text is not base64, or the key has too few or too many bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError)?);
        Self::of_bytes(bytes)
    }

    /// The key with these bytes, which were kept.
    ///
    /// # Errors
    ///
    /// When there are too few or too many.
    pub fn of_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        if (MIN_BYTES..=MAX_BYTES).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(KeyError) }
    }

    /// A new key of random bytes.
    pub fn generate(random: [u8; MAX_BYTES]) -> Self {
        let random = Zeroizing::new(random);
        Self(Zeroizing::new(random.to_vec()))
    }

    /// The key of one device in the group that has this key: HMAC-SHA256 over the device's registration id, as it is
    /// written.
    pub fn derive(&self, registration_id: &str) -> Self {
        Self(Zeroizing::new(self.sign(registration_id.as_bytes()).as_ref().to_vec()))
    }

    /// The key in base64, as devices and people get it.
    pub fn to_base64(&self) -> SecretText {
        SecretText::new(STANDARD.encode(self.0.as_slice()))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A fingerprint of 16 hexadecimal digits. It distinguishes keys and reveals nothing about them.
    pub fn fingerprint(&self) -> String {
        hex(self.sign(b"landfall fingerprint").as_ref().get(..8).unwrap_or_default())
    }

    /// HMAC-SHA256 of a text.
    pub fn sign(&self, text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), text)
    }
}

/// Prints nothing of the key, not even its length.
impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey")
    }
}

const MIN_BYTES: usize = 16;
const MAX_BYTES: usize = 64;
