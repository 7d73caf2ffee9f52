//! The second factor: what manufacturers said of their devices beforehand.

pub mod import;
pub mod record;

pub use record::{Evidence, ManufacturingRecord, RecordState};
