//! Which revisions are accepted: detached signatures over a plugin's name, its version and the component's digest.
//!
//! Whoever may publish decides where devices go. A token proves who calls. A signature proves who has read and built
//! the component, and it can be made on a machine that no token ever reaches. If `plugins.require_signature` is set, a
//! revision needs the signature of one of `plugins.trusted_keys` each time that it is loaded. So when a key is removed
//! from the list, the revisions with its signature are no longer accepted after the next start.
//!
//! - Signatures are Ed25519 (RFC 8032) over a short text that contains its purpose and all three values
//!   ([`Statement::text`](landfall_domain::plugin::statement::Statement::text)). So a signature for another purpose can never be used for a revision, and a revision that
//!   was signed for tests, or under another name, is not accepted under this name.
//! - The name and the digest are compared before anything inspects the component; the version is compared after the
//!   component has stated its own.
//! - Keys are files in the formats of RFC 8410: `PUBLIC KEY` and `PRIVATE KEY` in PEM, which OpenSSL and most other
//!   tools write and read.
//! - A revision may carry several signatures. A signature by a key that is not trusted is ignored. A signature that
//!   names a trusted key but was not made with it causes a refusal, whether signatures are required or not: something
//!   was exchanged on the way. If all signatures of trusted keys are for something else, the revision is refused too.
//! - Components in the binary need no signature under their own names: the binary itself is trusted.
//! - Earlier versions signed the digest alone. What they published stays usable under the names that it had then
//!   ([`Over::BytesFor`]). Nothing is published with such a signature any more.

mod key;

use std::path::{Path, PathBuf};

use landfall_domain::names::Digest;
pub(crate) use landfall_domain::plugin::signature::{KeyId, Over, Signature};
pub(crate) use landfall_domain::plugin::statement::Subject;

pub use self::key::{KeyError, PublicKey, SigningKey};
use super::shipped;

/// The trusted keys, and whether a signature by one of them is required.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: Vec<PublicKey>,
    required: bool,
}

/// Why a revision is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum VerifyError {
    /// A signature is required, and there is none.
    #[error(
        "the component is not signed, and plugins.require_signature is set; sign it with `landfall plugin sign` and one \
         of the trusted keys ({trusted})"
    )]
    Unsigned {
        /// The ids of the trusted keys.
        trusted: String,
    },
    /// Only keys that are not trusted have signed the component.
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
    /// A signature was not made with the key that it names.
    #[error(
        "the signature that names the key {key} is not that key's: it was exchanged or damaged, or, of the older form, is \
         over other bytes than the component's ({digest}); sign the component again with `landfall plugin sign`"
    )]
    Wrong {
        /// The key that the signature names.
        key: KeyId,
        digest: Digest,
    },
    /// A trusted key has signed another statement.
    #[error("the signature of the key {key} is {differs}; sign the component for its name with `landfall plugin sign`")]
    Another {
        key: KeyId,
        /// How the signed statement differs from what is needed.
        differs: String,
    },
}

/// Why the configured keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TrustError {
    /// A file is not a public key.
    #[error("plugins.trusted_keys names {path}: {source}")]
    Key { path: PathBuf, source: KeyError },
    /// A signature is required and no key is trusted, so nothing could ever be published.
    #[error(
        "plugins.require_signature is set and plugins.trusted_keys is empty: nothing could be published; name the keys' files there"
    )]
    NoKeys,
}

impl Trust {
    /// Reads the keys of a configuration. Relative file names start from `folder`.
    ///
    /// # Errors
    ///
    /// The first file that is not an Ed25519 public key in PEM.
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

    /// Trust in these keys; `required` says whether a signature by one of them is demanded.
    #[must_use]
    pub fn new(keys: Vec<PublicKey>, required: bool) -> Self {
        Self { keys, required }
    }

    /// The trusted keys with a valid signature for the revision.
    ///
    /// # Errors
    ///
    /// A [`VerifyError`] if a signature is invalid, if all signatures of trusted keys are for something else, or if a
    /// signature is required and there is no valid one.
    pub fn verify(&self, subject: &Subject<'_>, signatures: &[Signature]) -> Result<Vec<KeyId>, VerifyError> {
        let digest = subject.digest;
        let (mut signers, mut another) = (Vec::new(), None);
        for signature in signatures {
            let Some(key) = self.key(signature) else { continue };
            if !key.has_signed(signature, digest) {
                return Err(VerifyError::Wrong { key: key.id(), digest });
            }
            match signature.differs(subject) {
                None if signers.contains(&key.id()) => {}
                None => signers.push(key.id()),
                // If no signature is required, a signature of the older form is ignored.
                Some(_) if !self.required && signature.over == Over::Bytes => {}
                Some(differs) => another = another.or(Some(VerifyError::Another { key: key.id(), differs })),
            }
        }
        match another {
            _ if !signers.is_empty() => return Ok(signers),
            Some(another) => return Err(another),
            None => {}
        }
        let ships = match subject.name {
            Some(name) => shipped::digest_of(name.as_str()) == Some(digest),
            None => shipped::is_shipped(digest),
        };
        match signatures {
            _ if ships || !self.required => Ok(signers),
            [] => Err(VerifyError::Unsigned { trusted: self.key_ids() }),
            signatures => {
                let found = listed(signatures.iter().map(|signature| signature.key));
                Err(VerifyError::Untrusted { found, trusted: self.key_ids() })
            }
        }
    }

    /// Whether a signature names a trusted key but was not made with it.
    #[must_use]
    pub fn disowns(&self, component: Digest, signature: &Signature) -> bool {
        self.key(signature).is_some_and(|key| !key.has_signed(signature, component))
    }

    /// The signatures of trusted keys; or all signatures if no key is trusted. So signatures that strangers added are
    /// not stored beside those that count.
    #[must_use]
    pub fn worth_keeping(&self, mut signatures: Vec<Signature>) -> Vec<Signature> {
        signatures.retain(|signature| self.keys.is_empty() || self.key(signature).is_some());
        signatures
    }

    fn key(&self, signature: &Signature) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == signature.key)
    }

    fn key_ids(&self) -> String {
        listed(self.keys.iter().map(PublicKey::id))
    }
}

fn listed(keys: impl Iterator<Item = KeyId>) -> String {
    keys.map(|key| key.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use landfall_domain::plugin::statement::Statement;

    use super::*;

    fn pair() -> (SigningKey, PublicKey) {
        let key = SigningKey::generate().unwrap();
        let public = key.public();
        (key, public)
    }

    fn statement(name: &str, version: &str, component: &[u8]) -> Statement {
        Statement { name: name.parse().unwrap(), version: version.to_owned(), digest: Digest::of(component) }
    }

    /// The subject that matches a statement.
    fn subject(statement: &Statement) -> Subject<'_> {
        let Statement { name, version, digest } = statement;
        Subject { digest: *digest, name: Some(name), version: Some(version) }
    }

    /// A signature as earlier versions made it.
    fn older(key: &SigningKey, component: &[u8], over: Over) -> Signature {
        let text = format!("landfall policy revision sha256:{}\n", Digest::of(component));
        Signature { key: key.public().id(), over, bytes: key.signed(text.as_bytes()) }
    }

    #[test]
    fn one_trusted_signature_among_others_is_enough() {
        let ((ours, public), (theirs, _)) = (pair(), pair());
        let asked = statement("sg", "1.0.0", b"component");
        let trust = Trust::new(vec![public.clone()], true);
        let for_another_name = ours.sign(statement("sg4", "1.0.0", b"component"));
        let [one, two] = [(); 2].map(|()| ours.sign(asked.clone()));
        let signatures = [theirs.sign(asked.clone()), for_another_name, one, two];
        assert_eq!(trust.verify(&subject(&asked), &signatures), Ok(vec![public.id()]));
    }

    #[test]
    fn what_is_missing_or_strange_is_said() {
        let ((ours, public), (theirs, other)) = (pair(), pair());
        let asked = statement("sg", "1.0.0", b"component");
        let trusted = public.id().to_string();
        let trust = Trust::new(vec![public], true);
        let verify = |signatures: &[Signature]| trust.verify(&subject(&asked), signatures);
        assert_eq!(verify(&[]), Err(VerifyError::Unsigned { trusted: trusted.clone() }));
        let found = other.id().to_string();
        assert_eq!(verify(&[theirs.sign(asked.clone())]), Err(VerifyError::Untrusted { found, trusted }));
        assert!(verify(&[ours.sign(asked.clone())]).is_ok());
    }

    #[test]
    fn a_signature_for_something_else_refuses_and_says_what_it_is_for() {
        let (ours, public) = pair();
        let asked = statement("sg", "1.0.0", b"component");
        for required in [true, false] {
            let trust = Trust::new(vec![public.clone()], required);
            for (signed, told) in [
                (statement("sg4", "1.0.0", b"component"), "is for the plugin sg4 and not for sg;"),
                (
                    statement("sg", "0.9.0", b"component"),
                    "is for version 0.9.0, and the component says that it is 1.0.0;",
                ),
                (statement("sg", "1.0.0", b"another"), "is for other bytes (their SHA-256"),
            ] {
                let error = trust.verify(&subject(&asked), &[ours.sign(signed)]).unwrap_err().to_string();
                assert!(error.contains(told), "{error}");
            }
            // Until the component has stated its version, only the name and the digest are compared.
            let unasked = Subject { version: None, ..subject(&asked) };
            assert!(trust.verify(&unasked, &[ours.sign(statement("sg", "0.9.0", b"component"))]).is_ok());
            assert!(trust.verify(&unasked, &[ours.sign(statement("sg4", "1.0.0", b"component"))]).is_err());
        }
    }

    #[test]
    fn a_wrong_signature_is_refused_even_where_none_is_needed() {
        let ((ours, public), asked) = (pair(), statement("sg", "1.0.0", b"component"));
        let trust = Trust::new(vec![public.clone()], false);
        assert_eq!(trust.verify(&subject(&asked), &[]), Ok(vec![]));
        let mut wrong = ours.sign(asked.clone());
        wrong.bytes[5] ^= 1;
        // The signature covers the statement that stands beside it.
        let mut renamed = ours.sign(statement("sg4", "1.0.0", b"component"));
        renamed.over = Over::Revision(asked.clone());
        for wrong in [wrong, renamed] {
            assert!(trust.disowns(asked.digest, &wrong));
            let refused = trust.verify(&subject(&asked), &[ours.sign(asked.clone()), wrong]);
            assert_eq!(refused, Err(VerifyError::Wrong { key: public.id(), digest: asked.digest }));
        }
    }

    #[test]
    fn the_older_form_counts_for_what_was_published_with_it_alone() {
        let ((ours, public), asked) = (pair(), statement("sg", "1.0.0", b"component"));
        let required = Trust::new(vec![public.clone()], true);
        let bare = older(&ours, b"component", Over::Bytes);
        let error = required.verify(&subject(&asked), std::slice::from_ref(&bare)).unwrap_err().to_string();
        assert!(error.contains("older form") && error.contains("landfall plugin sign"), "{error}");
        assert_eq!(Trust::new(vec![public.clone()], false).verify(&subject(&asked), &[bare]), Ok(vec![]));

        let kept = older(&ours, b"component", Over::BytesFor("sg".parse().unwrap()));
        let verify = |asked: &Statement| required.verify(&subject(asked), std::slice::from_ref(&kept));
        assert_eq!(verify(&asked), Ok(vec![public.id()]));
        let error = verify(&statement("sg4", "1.0.0", b"component")).unwrap_err().to_string();
        assert!(error.contains("for the plugin sg and not for sg4"), "{error}");
        assert!(matches!(verify(&statement("sg", "1.0.0", b"another")), Err(VerifyError::Wrong { .. })));
    }

    #[test]
    fn what_strangers_add_is_kept_only_where_nobody_is_trusted() {
        let ((ours, public), (theirs, _)) = (pair(), pair());
        let asked = statement("sg", "1.0.0", b"component");
        let both = vec![ours.sign(asked.clone()), theirs.sign(asked)];
        assert_eq!(Trust::new(vec![public], false).worth_keeping(both.clone()), both[..1]);
        assert_eq!(Trust::default().worth_keeping(both.clone()), both);
    }

    #[test]
    fn shipped_policies_need_no_signature_under_their_own_names() {
        let (_, public) = pair();
        let trust = Trust::new(vec![public], true);
        let component = shipped::component("fixed").unwrap();
        assert_eq!(trust.verify(&subject(&statement("fixed", "0.1.0", component)), &[]), Ok(vec![]));
        let under_another = trust.verify(&subject(&statement("weighted", "0.1.0", component)), &[]);
        assert!(matches!(under_another, Err(VerifyError::Unsigned { .. })));
    }

    #[test]
    fn to_require_what_nobody_can_give_is_a_mistake() {
        assert!(matches!(Trust::load(Path::new("."), &[], true), Err(TrustError::NoKeys)));
    }
}
