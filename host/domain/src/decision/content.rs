//! Bytes that entries name by their digest: lists of hubs, settings, what calls may use.

use std::fmt;
use std::sync::Arc;

use crate::names::Digest;

/// Bytes and their digest. Cheap to clone: many decisions name the same few.
#[derive(Clone)]
pub struct Content {
    digest: Digest,
    bytes: Arc<[u8]>,
}

impl Content {
    /// Of these bytes.
    pub fn of(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }

    /// Their SHA-256.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with the SHA-256 {}", self.bytes.len(), self.digest)
    }
}
