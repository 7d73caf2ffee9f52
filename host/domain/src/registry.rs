//! The second factor: what manufacturers have said about their devices beforehand.

pub mod evidence;
pub mod record;

pub use evidence::{Evidence, EvidenceMembers, Part, SerialNumber};
pub use record::{Claim, ManufacturingRecord, RecordState};
