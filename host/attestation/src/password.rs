//! Username and password (RFC 7617), for devices that support nothing better. Not recommended, and off by default.
//!
//! A password is the weakest credential here: it is sent with every request, it can be guessed, and people write it
//! down. So it is stored as an Argon2id hash (RFC 9106). The number of tries for an account is limited. Hashes are
//! computed on threads of their own, because one hash costs about as much as a hundred TLS handshakes. When a device
//! that was admitted a moment ago polls, its password is not hashed again: a tag that only this process can make is
//! remembered instead.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::enrollment::PasswordHash;
use landfall_domain::names::{IdScope, RegistrationId};
use landfall_domain::secret::SecretText;
use zeroize::Zeroizing;

/// The username and the password in an `Authorization` header.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BasicCredential {
    pub username: String,
    pub password: SecretText,
}

/// Why a header contains no username and password. The messages repeat nothing of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum BasicFlaw {
    /// The header is longer than any real one.
    #[error("the Authorization header has more than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("what follows Basic is not base64 (RFC 4648, section 4)")]
    Base64,
    #[error("what follows Basic is no UTF-8 text")]
    Text,
    #[error("there is no colon between username and password")]
    Colon,
    /// There is more than one header.
    #[error("there are several Authorization headers")]
    Several,
}

impl BasicCredential {
    /// Parses the value of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// [`BasicFlaw`].
    pub fn parse(header: &str) -> Result<Self, BasicFlaw> {
        if header.len() > MAX_HEADER_BYTES {
            return Err(BasicFlaw::TooLong);
        }
        let (_, encoded) = header.split_once(' ').ok_or(BasicFlaw::Base64)?;
        let decoded = STANDARD.decode(encoded.trim()).map(Zeroizing::new).map_err(|_| BasicFlaw::Base64)?;
        let text = std::str::from_utf8(&decoded).map_err(|_| BasicFlaw::Text)?;
        let (username, password) = text.split_once(':').ok_or(BasicFlaw::Colon)?;
        Ok(Self { username: username.to_owned(), password: SecretText::new(password.to_owned()) })
    }
}

impl fmt::Debug for BasicCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicCredential")
    }
}

/// Why a password is not accepted for an enrollment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFlaw {
    /// The password is so short that it would soon be guessed, or so long that it does not fit into a header.
    #[error("a password has {LEAST_BYTES} to {MOST_BYTES} bytes; a device has nobody who must remember it")]
    Length,
    /// The password has control characters, so no device could send it.
    #[error("a password holds no control characters")]
    Control,
    /// The memory for the hash could not be allocated.
    #[error("the hash could not be computed")]
    Hash,
}

/// Hashes a password. Takes tens of milliseconds and 19 MiB.
///
/// # Errors
///
/// [`PasswordFlaw`].
pub fn hash(password: &SecretText, salt: [u8; 16]) -> Result<PasswordHash, PasswordFlaw> {
    let text = password.expose();
    if !(LEAST_BYTES..=MOST_BYTES).contains(&text.len()) {
        return Err(PasswordFlaw::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(PasswordFlaw::Control);
    }
    let hash = derive(text, &salt, MEMORY_KIB, PASSES).ok_or(PasswordFlaw::Hash)?;
    Ok(PasswordHash { salt, hash, memory_kib: MEMORY_KIB, passes: PASSES })
}

/// A hash that belongs to no password. Comparing with it takes as long as with any other hash, and never succeeds.
pub fn hash_of_no_password(random: [u8; 32]) -> PasswordHash {
    PasswordHash { salt: [0; 16], hash: random, memory_kib: MEMORY_KIB, passes: PASSES }
}

/// Whether this password has this hash. Takes as long as computing the hash did.
pub fn is_hash_of(kept: &PasswordHash, password: &SecretText) -> bool {
    let computed = derive(password.expose(), &kept.salt, kept.memory_kib, kept.passes);
    computed.is_some_and(|computed| verify_slices_are_equal(&computed, &kept.hash).is_ok())
}

fn derive(password: &str, salt: &[u8; 16], memory_kib: u32, passes: u32) -> Option<[u8; 32]> {
    let params = Params::new(memory_kib, passes, 1, Some(32)).ok()?;
    let mut hash = [0; 32];
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut memory = {
        let mut unused = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        unused.pop().unwrap_or_default()
    };
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let room = memory.get_mut(..blocks)?;
    let hashed = argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut hash, room);
    let mut unused = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if unused.len() < MOST_UNUSED {
        unused.push(memory);
    }
    hashed.ok().map(|()| hash)
}

/// The memory in which hashes are computed. It is allocated once and used again: an allocator that is asked for such
/// large blocks repeatedly ends up with many times as much memory. Every computation overwrites everything that the
/// one before left.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// How many unused blocks are kept: as many as hashes are computed at once.
const MOST_UNUSED: usize = 2;

/// Remembers which passwords were verified a moment ago, by tags that only this process can make and nobody can
/// invert.
pub struct Remembered {
    key: hmac::Key,
    tags: Mutex<HashMap<(IdScope, String), (hmac::Tag, Instant)>>,
}

impl Remembered {
    /// Creates an empty memory with this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), tags: Mutex::default() }
    }

    /// Whether this password was verified for this account a moment ago. The tag covers the hash, so after a change of
    /// the password the tag no longer matches.
    pub fn knows(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        hash: &PasswordHash,
        said: &BasicCredential,
        now: Instant,
    ) -> bool {
        let known = {
            let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
            tags.get(&(scope.clone(), id.key().to_owned())).copied()
        };
        let tag = self.tag(scope, id, hash, said);
        known.is_some_and(|(known, until)| until > now && verify_slices_are_equal(known.as_ref(), tag.as_ref()).is_ok())
    }

    /// Remembers that the password was verified.
    pub fn remember(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        hash: &PasswordHash,
        said: &BasicCredential,
        now: Instant,
    ) {
        let tag = self.tag(scope, id, hash, said);
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= MOST_REMEMBERED {
            tags.retain(|_, (_, until)| *until > now);
            if tags.len() >= MOST_REMEMBERED {
                tags.clear();
            }
        }
        tags.insert((scope.clone(), id.key().to_owned()), (tag, now + REMEMBERED_FOR));
    }

    fn tag(&self, scope: &IdScope, id: &RegistrationId, hash: &PasswordHash, said: &BasicCredential) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [scope.as_str().as_bytes(), id.key().as_bytes(), &hash.hash, said.username.as_bytes()] {
            context.update(part);
            context.update(&[0]);
        }
        context.update(said.password.expose().as_bytes());
        context.sign()
    }
}

/// The second recommendation for Argon2id in OWASP's cheat sheet. RFC 9106 leaves passes and memory to the
/// implementer.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LEAST_BYTES: usize = 12;
const MOST_BYTES: usize = 128;
const MAX_HEADER_BYTES: usize = 1024;
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// Maximum number of remembered tags, about 150 bytes each.
const MOST_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::{Clock as _, SystemClock};
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn a_header_is_read_as_its_standard_writes_it() {
        // RFC 7617, section 2 and 2.1.
        let read = BasicCredential::parse("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert_eq!((read.username.as_str(), read.password.expose()), ("Aladdin", "open sesame"));
        let read = BasicCredential::parse("basic dGVzdDoxMjPCow==").unwrap();
        assert_eq!((read.username.as_str(), read.password.expose()), ("test", "123\u{a3}"));
        for (header, flaw) in [
            ("Basic", BasicFlaw::Base64),
            ("Basic ***", BasicFlaw::Base64),
            ("Basic /w==", BasicFlaw::Text),
            ("Basic dGVzdA==", BasicFlaw::Colon),
            (&format!("Basic {}", "A".repeat(2000)), BasicFlaw::TooLong),
        ] {
            assert_eq!(BasicCredential::parse(header).err(), Some(flaw), "{header}");
        }
    }

    #[test]
    fn a_hash_is_of_one_password_and_says_nothing_of_it() {
        let kept = hash(&secret("correct horse battery"), [7; 16]).unwrap();
        assert!(
            is_hash_of(&kept, &secret("correct horse battery")) && !is_hash_of(&kept, &secret("correct horse batterz"))
        );
        assert!(!is_hash_of(&hash_of_no_password([0; 32]), &secret("")));
        assert_eq!(format!("{kept:?}"), "PasswordHash");
        for (password, flaw) in [("short", PasswordFlaw::Length), ("with a \n line feed", PasswordFlaw::Control)] {
            assert_eq!(hash(&secret(password), [7; 16]), Err(flaw));
        }
    }

    #[test]
    fn hashes_share_what_they_are_computed_in() {
        let hashing =
            |n: u8| std::thread::spawn(move || is_hash_of(&hash_of_no_password([n; 32]), &secret("nobody's")));
        let threads: Vec<_> = (0..6).map(hashing).collect();
        assert!(threads.into_iter().all(|thread| !thread.join().unwrap()));
        assert!((1..=MOST_UNUSED).contains(&MEMORY.lock().unwrap().len()));
    }

    #[test]
    fn who_was_let_in_is_remembered_for_a_while_with_the_same_password_only() {
        let remembered = Remembered::new(&[1; 32]);
        let (scope, id, now) = ("0ne1".parse().unwrap(), "pump-1".parse().unwrap(), SystemClock.instant());
        let (hash, other) = (hash_of_no_password([1; 32]), hash_of_no_password([2; 32]));
        let said = |password| BasicCredential { username: "pump".to_owned(), password: secret(password) };
        remembered.remember(&scope, &id, &hash, &said("one"), now);
        assert!(remembered.knows(&scope, &id, &hash, &said("one"), now));
        assert!(!remembered.knows(&scope, &id, &hash, &said("two"), now));
        assert!(!remembered.knows(&scope, &id, &other, &said("one"), now), "the password was changed");
        assert!(!remembered.knows(&scope, &"pump-2".parse().unwrap(), &hash, &said("one"), now));
        assert!(!remembered.knows(&scope, &id, &hash, &said("one"), now + REMEMBERED_FOR));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(text in ".{0,300}") {
            drop(BasicCredential::parse(&text));
            drop(BasicCredential::parse(&format!("Basic {text}")));
        }
    }
}
