//! Signatures as text: a file beside the component, one line each.
//!
//! ```text
//! ed25519 3f1c0b6a5d2e4f70 MEUCIQ...base64 of 64 bytes...==
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::key::KeyId;

/// One signature over a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature {
    /// The key that it names.
    pub key: KeyId,
    /// The signature.
    pub bytes: [u8; 64],
}

/// A text that is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A line is none.
    #[error("line {line} is no signature; one reads: ed25519, the key's id, 64 bytes in base64")]
    Line {
        /// From 1.
        line: usize,
    },
    /// More than anybody needs.
    #[error("there are more than {MOST} signatures")]
    TooMany,
}

/// Reads the signatures of a file; empty lines and lines that begin with `#` are passed over.
///
/// # Errors
///
/// The first line that is none.
pub fn read_signatures(text: &str) -> Result<Vec<Signature>, SignatureError> {
    let mut signatures = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        signatures.push(line.parse().map_err(|_| SignatureError::Line { line: number })?);
        if signatures.len() > MOST {
            return Err(SignatureError::TooMany);
        }
    }
    Ok(signatures)
}

/// The text of a file with these signatures.
#[must_use]
pub fn write_signatures(signatures: &[Signature]) -> String {
    signatures.iter().map(|signature| format!("{signature}\n")).collect()
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM} {} {}", self.key, STANDARD.encode(self.bytes))
    }
}

impl FromStr for Signature {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let none = || SignatureError::Line { line: 1 };
        let mut words = text.split_ascii_whitespace();
        let (Some(ALGORITHM), Some(key), Some(bytes), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(none());
        };
        let key = key.parse().map_err(|_| none())?;
        let bytes = STANDARD.decode(bytes).map_err(|_| none())?.try_into().map_err(|_| none())?;
        Ok(Self { key, bytes })
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
/// Signatures of one revision.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(keys in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 64)), 0..5)) {
            let signatures: Vec<_> = keys
                .into_iter()
                .map(|(key, bytes)| Signature {
                    key: format!("{key:016x}").parse().unwrap(),
                    bytes: bytes.try_into().unwrap(),
                })
                .collect();
            prop_assert_eq!(read_signatures(&write_signatures(&signatures)), Ok(signatures));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}") {
            let _ = read_signatures(&text);
        }
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        let good = format!("ed25519 0123456789abcdef {}", STANDARD.encode([7; 64]));
        assert_eq!(read_signatures(&format!("# by the release team\n\n{good}\n")).unwrap().len(), 1);
        for bad in ["rsa 0123456789abcdef AAAA", "ed25519 0123456789abcdef AAAA", "ed25519 0123456789abcdef", "?"] {
            let read = read_signatures(&format!("{good}\n{bad}"));
            assert_eq!(read, Err(SignatureError::Line { line: 2 }), "{bad}");
        }
        let many = format!("{good}\n").repeat(33);
        assert_eq!(read_signatures(&many), Err(SignatureError::TooMany));
    }
}
