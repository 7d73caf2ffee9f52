//! Secrets at rest.
//!
//! A secret that must be kept and that a reader could use (a symmetric key) is sealed before it reaches the store. The
//! sealing key is not in the database, so a copy of the database alone reveals nothing. The cipher is AES-256-GCM
//! (NIST SP 800-38D) with a random nonce for each secret. The row of a secret is bound in as associated data, so a
//! sealed value that is moved to another row cannot be opened there. The name of the sealing key stands before the
//! value, so that a wrong key and a damaged value give different errors.
//!
//! The key comes from `sealing.key` in the data folder, or from the environment for operators who keep keys elsewhere.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::text::hex;

/// The key that seals secrets.
pub struct SealingKey {
    key: LessSafeKey,
    name: KeyName,
}

/// The name of a sealing key: the first bytes of its SHA-256.
type KeyName = [u8; 4];

/// A sealed secret: the key's name, the nonce, and the ciphertext with its tag.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    key: KeyName,
    nonce: [u8; NONCE_LEN],
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

/// Why a secret cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with another key.
    #[error(
        "it was sealed with the key {}, and sealing.key is the key {}: bring the right one back, or give the secret anew",
        hex(sealed),
        hex(here)
    )]
    OtherKey {
        /// The name of the key with which it was sealed.
        sealed: KeyName,
        /// The name of the key that is configured.
        here: KeyName,
    },
    /// The value was changed, or moved to another row.
    #[error("it was changed, or it stood elsewhere when it was sealed: restore the database, or give the secret anew")]
    Damaged,
}

impl SealingKey {
    /// A sealing key from 32 random bytes.
    ///
    /// # Errors
    ///
    /// When there are not exactly 32 bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, WrongLength> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| WrongLength)?;
        let digest = digest::digest(&digest::SHA256, bytes);
        let mut name = KeyName::default();
        for (to, from) in name.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Ok(Self { key: LessSafeKey::new(key), name })
    }

    /// Seals a secret for the place where it is kept. The nonce must be random and is used once.
    pub fn seal(&self, secret: &[u8], place: &str, nonce: [u8; NONCE_LEN]) -> Sealed {
        let mut text = secret.to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.as_bytes()),
            &mut text,
        );
        // Encryption fails only for texts of 64 GiB and more. Nothing of such a text is kept.
        let ciphertext = sealed.map(|()| text).unwrap_or_default();
        Sealed { key: self.name, nonce, ciphertext }
    }

    /// Opens a secret that was sealed for this place.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn open(&self, sealed: &Sealed, place: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.key != self.name {
            return Err(SealError::OtherKey { sealed: sealed.key, here: self.name });
        }
        let mut text = Zeroizing::new(sealed.ciphertext.clone());
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut text);
        let length = opened.map_err(|_| SealError::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }
}

/// The sealing key does not have 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key has 32 bytes")]
pub struct WrongLength;

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", hex(&self.name))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed(by {})", hex(&self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_where_it_was_sealed_and_nowhere_else() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        let sealed = key.seal(b"secret", "scope/group/primary", [1; 12]);
        assert_eq!(key.open(&sealed, "scope/group/primary").unwrap().as_slice(), b"secret");
        assert_eq!(key.open(&sealed, "scope/group/secondary").unwrap_err(), SealError::Damaged);
        let other = SealingKey::new(&[8; 32]).unwrap();
        assert!(matches!(other.open(&sealed, "scope/group/primary"), Err(SealError::OtherKey { .. })));
        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert_eq!(key.open(&changed, "scope/group/primary").unwrap_err(), SealError::Damaged);
        let kept = rmp_serde::to_vec_named(&sealed).unwrap();
        assert!(!kept.windows(6).any(|window| window == b"secret"));
        assert_eq!(rmp_serde::from_slice::<Sealed>(&kept).unwrap(), sealed);
        assert!(SealingKey::new(&[7; 31]).is_err());
    }
}
