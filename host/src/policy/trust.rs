//! Whose revisions are taken: detached signatures over a component's digest.
//!
//! Whoever may publish decides where devices go. A token says who calls; a signature says who has read and built what is
//! published, and it can be made on a machine that no token ever reaches. Where `plugins.require_signature` is set, a
//! revision needs the signature of one of `plugins.trusted_keys`, each time that it is loaded: a key that is taken out
//! of the list takes its revisions with it at the next start.
//!
//! - Signatures are Ed25519 (RFC 8032) over a short text that names its purpose and the digest ([`signed_text`]), so that
//!   a signature made for something else can never be one for a revision.
//! - Keys are files in the formats of RFC 8410: `PUBLIC KEY` and `PRIVATE KEY` in PEM, which OpenSSL and most others make
//!   and read.
//! - A revision may carry several signatures. One by a key that is not trusted counts for nothing, and does no harm. One
//!   that names a trusted key and is not that key's refuses the revision, whether signatures are required or not:
//!   something was exchanged on the way.
//! - What comes with the binary needs no signature: the binary is what is trusted already.

mod key;
mod signature;

use std::path::{Path, PathBuf};

pub use self::key::{KeyError, KeyId, PublicKey, SigningKey};
pub use self::signature::{Signature, SignatureError, read_signatures, write_signatures};
use super::shipped;
use crate::names::Digest;

/// The keys whose signatures count, and whether one is needed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    required: bool,
}

/// Why a revision is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no signature, and one is needed.
    #[error(
        "the component is not signed, and plugins.require_signature is set; sign it with `landfall plugin sign` and one \
         of the trusted keys ({trusted})"
    )]
    Unsigned {
        /// The ids of the trusted keys.
        trusted: String,
    },
    /// It is signed by others.
    #[error(
        "the component is signed by {found}, and none of these keys is trusted; the trusted ones are {trusted} \
         (plugins.trusted_keys)"
    )]
    Untrusted {
        /// The ids of the keys that signed.
        found: String,
        /// The ids of the trusted keys.
        trusted: String,
    },
    /// A signature is none.
    #[error(
        "the signature that names the key {key} is not that key's over {digest}: the component or the signature was \
         exchanged or damaged; sign this very file"
    )]
    Wrong {
        /// The key that it names.
        key: KeyId,
        /// The component.
        digest: Digest,
    },
}

/// The keys of the configuration cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file is no public key.
    #[error("plugins.trusted_keys names {path}: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// Nothing could ever be published.
    #[error(
        "plugins.require_signature is set and plugins.trusted_keys is empty: nothing could be published; name the keys' files there"
    )]
    NoKeys,
}

impl Trust {
    /// Reads the keys of a configuration; files are named from `folder`.
    ///
    /// # Errors
    ///
    /// The first file that is no Ed25519 public key in PEM.
    pub fn load(folder: &Path, files: &[PathBuf], required: bool) -> Result<Self, TrustError> {
        if required && files.is_empty() {
            return Err(TrustError::NoKeys);
        }
        let key = |file: &PathBuf| {
            let path = folder.join(file);
            PublicKey::read(&path).map_err(|source| TrustError::Key { path, source })
        };
        Ok(Self { keys: files.iter().map(key).collect::<Result<_, _>>()?, required })
    }

    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>, required: bool) -> Self {
        Self { keys, required }
    }

    /// The trusted keys whose signatures the revision carries.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] when one is wrong, or none counts and one is needed.
    pub fn verify(&self, digest: Digest, signatures: &[Signature]) -> Result<Vec<KeyId>, VerifyError> {
        let mut signers = Vec::new();
        for signature in signatures {
            let Some(key) = self.keys.iter().find(|key| key.id() == signature.key) else { continue };
            if !key.verifies(signed_text(digest).as_bytes(), &signature.bytes) {
                return Err(VerifyError::Wrong { key: key.id(), digest });
            }
            if !signers.contains(&key.id()) {
                signers.push(key.id());
            }
        }
        let needs_none = !self.required || !signers.is_empty() || shipped::is_shipped(digest);
        match (needs_none, signatures.is_empty()) {
            (true, _) => Ok(signers),
            (false, true) => Err(VerifyError::Unsigned { trusted: self.key_ids() }),
            (false, false) => {
                let found = listed(signatures.iter().map(|signature| signature.key));
                Err(VerifyError::Untrusted { found, trusted: self.key_ids() })
            }
        }
    }

    fn key_ids(&self) -> String {
        listed(self.keys.iter().map(PublicKey::id))
    }
}

/// What is signed: one line that says what for, and which component.
#[must_use]
pub fn signed_text(digest: Digest) -> String {
    format!("landfall policy revision sha256:{digest}\n")
}

fn listed(keys: impl Iterator<Item = KeyId>) -> String {
    keys.map(|key| key.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (SigningKey, PublicKey) {
        let key = SigningKey::generate().unwrap();
        let public = key.public();
        (key, public)
    }

    #[test]
    fn one_trusted_signature_among_others_is_enough() {
        let ((ours, public), (theirs, _)) = (pair(), pair());
        let digest = Digest::of(b"component");
        let trust = Trust::new(vec![public.clone()], true);
        let signatures = [theirs.sign(digest), ours.sign(digest), ours.sign(digest)];
        assert_eq!(trust.verify(digest, &signatures), Ok(vec![public.id()]));
    }

    #[test]
    fn what_is_missing_or_strange_is_said() {
        let ((ours, public), (theirs, other)) = (pair(), pair());
        let digest = Digest::of(b"component");
        let trusted = public.id().to_string();
        let trust = Trust::new(vec![public.clone()], true);
        assert_eq!(trust.verify(digest, &[]), Err(VerifyError::Unsigned { trusted: trusted.clone() }));
        let found = other.id().to_string();
        assert_eq!(trust.verify(digest, &[theirs.sign(digest)]), Err(VerifyError::Untrusted { found, trusted }));
        let for_another = ours.sign(Digest::of(b"another component"));
        assert_eq!(trust.verify(digest, &[for_another]), Err(VerifyError::Wrong { key: public.id(), digest }));
    }

    #[test]
    fn a_wrong_signature_is_refused_even_where_none_is_needed() {
        let ((ours, public), digest) = (pair(), Digest::of(b"component"));
        let trust = Trust::new(vec![public], false);
        assert_eq!(trust.verify(digest, &[]), Ok(vec![]));
        let mut wrong = ours.sign(digest);
        wrong.bytes[5] ^= 1;
        assert!(matches!(trust.verify(digest, &[wrong]), Err(VerifyError::Wrong { .. })));
    }

    #[test]
    fn shipped_policies_need_no_signature() {
        let (_, public) = pair();
        let digest = Digest::of(shipped::component("weighted").unwrap());
        assert_eq!(Trust::new(vec![public], true).verify(digest, &[]), Ok(vec![]));
    }

    #[test]
    fn to_require_what_nobody_can_give_is_a_mistake() {
        assert!(matches!(Trust::load(Path::new("."), &[], true), Err(TrustError::NoKeys)));
    }
}
