//! The hash of a password.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The hash of a password, as the store keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PasswordHash {
    /// The salt: it makes the hashes of one password differ.
    pub salt: [u8; 16],
    pub hash: [u8; 32],
    /// The cost of this hash. It is stored so that the cost of later hashes can be raised.
    pub memory_kib: u32,
    pub passes: u32,
}

/// Prints nothing of the hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}
