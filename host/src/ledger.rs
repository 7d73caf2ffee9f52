//! The ledger: what was decided or refused, with everything that it was decided from.

pub mod answered;
pub mod content;
pub mod decision;
pub mod entry;

pub use answered::Answered;
pub use content::Content;
pub use decision::{Answer, Decision, Factors, Instead, IssuedNote, PolicyCall, Step, Verdict};
pub use entry::{Entry, EntryKind};
