//! Results of checks of a store.

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

/// The contradictions found: the first of them, and the number of the others. A file can have millions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Findings {
    pub first: Vec<Finding>,
    /// How many more there are than are listed.
    pub not_listed: u64,
}

impl Findings {
    /// The total number of findings.
    pub fn count(&self) -> u64 {
        u64::try_from(self.first.len()).unwrap_or(u64::MAX).saturating_add(self.not_listed)
    }

    /// Adds a finding; beyond the limit it is only counted.
    pub fn push(&mut self, finding: Finding) {
        if self.first.len() < MOST_LISTED {
            self.first.push(finding);
        } else {
            self.not_listed = self.not_listed.saturating_add(1);
        }
    }
}

/// How many findings are listed.
const MOST_LISTED: usize = 1000;

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

impl Unused {
    /// The sum of two results.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            decisions: self.decisions.saturating_add(other.decisions),
            contents: self.contents.saturating_add(other.contents),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decisions, contents, bytes } = self;
        write!(f, "{decisions} decisions and {contents} contents ({bytes} bytes) are named by nothing")
    }
}
