//! Ed25519 keys as files: RFC 8410, in PEM.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::names::Digest;
use landfall_domain::plugin::signature::{KeyId, Over, Signature};
use landfall_domain::plugin::statement::Statement;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

/// A public key that verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A private key that signs. It cannot be printed.
pub struct SigningKey(Ed25519KeyPair);

/// Why a file or text is not a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The text is not a key of the demanded kind.
    #[error("it is no Ed25519 {kind} key in PEM (RFC 8410); make one with: {advice}")]
    NoKey {
        /// The demanded kind: public or private.
        kind: &'static str,
        /// How to make such a key.
        advice: &'static str,
    },
    /// The system has no randomness, or the cryptography refused.
    #[error("no key can be made on this system")]
    Generate,
}

impl PublicKey {
    /// Reads the key from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not such a key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&std::fs::read(path)?)
    }

    /// Parses `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    ///
    /// The text is not such a key.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let no_key = || KeyError::NoKey {
            kind: "public",
            advice: "landfall plugin key FILE, or openssl pkey -in KEY.pem -pubout",
        };
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| no_key())?;
        let key = der.as_ref().strip_prefix(SPKI_HEAD).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(no_key)
    }

    /// The text of a key file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let digest = Digest::of(&self.der());
        let mut id = [0; 8];
        id.iter_mut().zip(digest.as_bytes()).for_each(|(to, from)| *to = *from);
        KeyId(id)
    }

    /// Whether this key made a signature. For the older form: over this component.
    #[must_use]
    pub fn has_signed(&self, signature: &Signature, component: Digest) -> bool {
        self.verifies(signature.text(component).as_bytes(), &signature.bytes)
    }

    fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text, signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        [SPKI_HEAD, self.0.as_slice()].concat()
    }
}

impl SigningKey {
    /// Generates a new key.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| KeyError::Generate)
    }

    /// Reads the key from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not such a key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = Zeroizing::new(std::fs::read(path)?);
        let no_key = || KeyError::NoKey {
            kind: "private",
            advice: "landfall plugin key FILE, or openssl genpkey -algorithm ed25519",
        };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| no_key())?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map(Self).map_err(|_| no_key())
    }

    /// The text of a key file (PKCS#8 version 1, which all tools read).
    ///
    /// # Errors
    ///
    /// Never for a valid key.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der = self.0.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        Ok(Zeroizing::new(pem("PRIVATE KEY", der.as_ref())))
    }

    /// The public key, which others use to verify signatures.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.iter_mut().zip(self.0.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        PublicKey(key)
    }

    /// Signs a revision.
    #[must_use]
    pub fn sign(&self, statement: Statement) -> Signature {
        let bytes = self.signed(statement.text().as_bytes());
        Signature { key: self.public().id(), over: Over::Revision(statement), bytes }
    }

    pub(super) fn signed(&self, text: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(self.0.sign(text).as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    // Both kinds of key fit in one line of 64 characters.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

/// The start of a public key in DER, before its 32 bytes: `SEQUENCE { SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 }, BIT
/// STRING }`.
const SPKI_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410, section 10.1 and 10.3.
    const RFC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const RFC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn the_keys_of_the_standard_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, RFC_PRIVATE).unwrap();
        let key = SigningKey::read(&path).unwrap();
        assert_eq!(key.public().to_pem(), RFC_PUBLIC);
        assert_eq!(key.to_pem().unwrap().as_str(), RFC_PRIVATE);
        assert_eq!(PublicKey::from_pem(RFC_PUBLIC.as_bytes()).unwrap(), key.public());
    }

    #[test]
    fn another_kind_of_key_is_told_apart() {
        assert!(matches!(PublicKey::from_pem(RFC_PRIVATE.as_bytes()), Err(KeyError::NoKey { kind: "public", .. })));
        assert!(PublicKey::from_pem(b"").is_err());
        let cut = RFC_PUBLIC.replace("ZuE=", "");
        assert!(PublicKey::from_pem(cut.as_bytes()).is_err());
        assert!(matches!(SigningKey::read(Path::new("/nowhere")), Err(KeyError::Read(_))));
    }
}
