//! Enrollments: how devices prove themselves, and what becomes of them.

pub mod entry;
pub mod sealed;
pub mod selection;

pub use entry::{
    AccountKind, Allocation, CertificateAuthority, CertificatePin, DirectoryRules, EnrollmentRef, ExpiredCertificates,
    Group, GroupAttestation, Individual, IndividualAttestation, InitialTwin, KeyChange, Manufacturing, PolicyBinding,
    ReprovisionPolicy, Terms, WEBHOOK,
};
pub use sealed::{SealedKeys, has_sealed, reseal};
