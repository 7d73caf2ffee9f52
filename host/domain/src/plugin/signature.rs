//! Signatures as text: a file beside the component, one signature on each line.
//!
//! ```text
//! ed25519 KEY-ID NAME VERSION SHA-256 BASE64-OF-64-BYTES
//! ```
//!
//! Older versions of Landfall, which did not sign names, wrote `ed25519 KEY-ID BASE64-OF-64-BYTES`. Such a line is
//! still read, so that a message can say why the signature is not accepted.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::statement::{Statement, Subject};
use crate::names::{Digest, PluginName, is_version};

/// The first eight bytes of the SHA-256 of a public key's DER: short enough to read aloud, long enough to distinguish
/// the keys of a team. It only says which key to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(pub [u8; 8]);

/// The text is not a key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's id is 16 hexadecimal digits")]
pub struct KeyIdError;

/// One signature over a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Signature {
    /// The id of the key that made the signature.
    pub key: KeyId,
    /// What the signature covers.
    pub over: Over,
    pub bytes: [u8; 64],
}

/// What a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// A plugin's name, version and bytes.
    Revision(Statement),
    /// The bytes alone. This is the older form; nothing is published with it any more.
    Bytes,
    /// The bytes alone, of a component that an older version of Landfall published under this name. The component
    /// stays usable under that name. This variant occurs in the store only, in files that such a version wrote.
    BytesFor(PluginName),
}

/// The text is not a signature file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SignatureError {
    /// A line is not a signature.
    #[error(
        "line {line} is no signature; one reads: ed25519, the key's id, the plugin's name and version, the component's SHA-256, 64 bytes in base64"
    )]
    Line { line: usize },
    /// There are more signatures than anybody needs.
    #[error("there are more than {MOST} signatures")]
    TooMany,
}

/// Reads the signatures of a file. Empty lines and lines that begin with `#` are skipped.
///
/// # Errors
///
/// The first line that is not a signature.
pub fn read_signatures(text: &str) -> Result<Vec<Signature>, SignatureError> {
    let mut signatures = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let signature = line.parse().ok().filter(|signature: &Signature| !matches!(signature.over, Over::BytesFor(_)));
        signatures.push(signature.ok_or(SignatureError::Line { line: number })?);
        if signatures.len() > MOST {
            return Err(SignatureError::TooMany);
        }
    }
    Ok(signatures)
}

/// The text of a signature file with these signatures.
#[must_use]
pub fn write_signatures(signatures: &[Signature]) -> String {
    signatures.iter().map(|signature| format!("{signature}\n")).collect()
}

impl Signature {
    /// The text that is signed. For the older form: the text for this component.
    #[must_use]
    pub fn text(&self, component: Digest) -> String {
        match &self.over {
            Over::Revision(statement) => statement.text(),
            Over::Bytes | Over::BytesFor(_) => format!("landfall policy revision sha256:{component}\n"),
        }
    }

    /// How the signed statement differs from `subject`, in words. `None` if it does not differ.
    pub fn differs(&self, subject: &Subject<'_>) -> Option<String> {
        match &self.over {
            Over::Revision(statement) => statement.differs(subject),
            Over::Bytes => Some("of the older form, which says neither the plugin's name nor its version".to_owned()),
            Over::BytesFor(name) => subject
                .name
                .filter(|asked| *asked != name)
                .map(|asked| format!("of the older form, and stays good for the plugin {name} and not for {asked}")),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let plain = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| plain);
        number.map(|number| Self(number.to_be_bytes())).ok_or(KeyIdError)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM} {} ", self.key)?;
        match &self.over {
            Over::Revision(Statement { name, version, digest }) => write!(f, "{name} {version} {digest} ")?,
            Over::Bytes => {}
            Over::BytesFor(name) => write!(f, "{name} ")?,
        }
        f.write_str(&STANDARD.encode(self.bytes))
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let none = || SignatureError::Line { line: 1 };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (over, key, bytes) = match words.as_slice() {
            [ALGORITHM, key, name, version, digest, bytes] if is_version(version) => {
                let name = name.parse().map_err(|_| none())?;
                let digest = digest.parse().map_err(|_| none())?;
                (Over::Revision(Statement { name, version: (*version).to_owned(), digest }), key, bytes)
            }
            [ALGORITHM, key, bytes] => (Over::Bytes, key, bytes),
            [ALGORITHM, key, name, bytes] => (Over::BytesFor(name.parse().map_err(|_| none())?), key, bytes),
            _ => return Err(none()),
        };
        let key = key.parse().map_err(|_| none())?;
        let bytes = STANDARD.decode(bytes).map_err(|_| none())?.try_into().map_err(|_| none())?;
        Ok(Self { key, over, bytes })
    }
}

impl TryFrom<String> for Signature {
    type Error = SignatureError;

    fn try_from(text: String) -> Result<Self, SignatureError> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

const ALGORITHM: &str = "ed25519";
/// Maximum number of signatures of one revision.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            keys in prop::collection::vec((any::<u64>(), any::<u8>(), prop::collection::vec(any::<u8>(), 64)), 0..5),
        ) {
            let signatures: Vec<_> = keys
                .into_iter()
                .map(|(key, kind, bytes)| Signature {
                    key: format!("{key:016x}").parse().unwrap(),
                    over: over(kind),
                    bytes: bytes.try_into().unwrap(),
                })
                .collect();
            for signature in &signatures {
                prop_assert_eq!(&signature.to_string().parse::<Signature>().unwrap(), signature);
            }
            // A form that only the store has is not accepted from a file.
            let of_store = signatures.iter().position(|signature| matches!(signature.over, Over::BytesFor(_)));
            let read = match of_store {
                Some(at) => Err(SignatureError::Line { line: at + 1 }),
                None => Ok(signatures.clone()),
            };
            prop_assert_eq!(read_signatures(&write_signatures(&signatures)), read);
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}") {
            let _ = read_signatures(&text);
        }
    }

    fn over(kind: u8) -> Over {
        let name: PluginName = format!("plugin-{kind}").parse().unwrap();
        match kind % 8 {
            0 => Over::Bytes,
            1 => Over::BytesFor(name),
            _ => Over::Revision(Statement { name, version: format!("1.{kind}.0-rc.1+b"), digest: Digest::of(&[kind]) }),
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = KeyId([0, 1, 2, 3, 4, 5, 6, 0xff]);
        assert_eq!(id.to_string(), "00010203040506ff");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "+123456789abcde", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg"] {
            assert_eq!(bad.parse::<KeyId>(), Err(KeyIdError), "{bad}");
        }
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        let good = format!("ed25519 0123456789abcdef {}", STANDARD.encode([7; 64]));
        assert_eq!(read_signatures(&format!("# by the release team\n\n{good}\n")).unwrap().len(), 1);
        let bytes = STANDARD.encode([7; 64]);
        let of = |words: &str| format!("ed25519 0123456789abcdef {words} {bytes}");
        let digest = Digest::of(b"component");
        assert!(read_signatures(&of(&format!("sg 1.2.3 {digest}"))).is_ok());
        let bad = ["rsa 0123456789abcdef AAAA", "ed25519 0123456789abcdef AAAA", "ed25519 0123456789abcdef", "?"];
        let odd = ["sg", "sg 1.2.3", "sg one", "SG 1.2.3 x", &format!("sg 1.2.\u{9b}3 {digest}"), "sg 1.2.3 123"];
        for bad in bad.iter().map(|bad| (*bad).to_owned()).chain(odd.iter().map(|odd| of(odd))) {
            let read = read_signatures(&format!("{good}\n{bad}"));
            assert_eq!(read, Err(SignatureError::Line { line: 2 }), "{bad}");
        }
        let many = format!("{good}\n").repeat(33);
        assert_eq!(read_signatures(&many), Err(SignatureError::TooMany));
    }
}
