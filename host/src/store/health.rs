//! What a store says of its own state.

use std::fmt;

use serde::Serialize;

/// Something in the file that contradicts something else in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// The kind of thing.
    pub what: &'static str,
    /// Which one, what stands there, and what should.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)
    }
}

/// How much of the file nothing names. It contradicts nothing and takes room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Unused {
    /// Ledger entries that explain no registration that is there.
    pub decisions: u64,
    /// Contents that no ledger entry, plugin or enrollment names.
    pub contents: u64,
    /// The bytes of both.
    pub bytes: u64,
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decisions, contents, bytes } = self;
        write!(f, "{decisions} decisions and {contents} contents ({bytes} bytes) are named by nothing")
    }
}
