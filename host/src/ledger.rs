//! The ledger: what was decided or refused, with everything that it was decided from.

pub mod entry;

pub use entry::{Entry, EntryKind};
