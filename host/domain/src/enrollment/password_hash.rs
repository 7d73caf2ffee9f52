//! A password as it is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A password as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PasswordHash {
    /// What makes hashes of one password differ.
    pub salt: [u8; 16],
    pub hash: [u8; 32],
    /// What it was made with, so that later ones may cost more.
    pub memory_kib: u32,
    pub passes: u32,
}

/// Nothing of it.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}
