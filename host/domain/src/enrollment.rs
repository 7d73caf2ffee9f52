//! Enrollments: how devices prove their identity, and how they are provisioned.

pub mod entry;
mod password_hash;
mod sealed;
mod token_rules;

pub use entry::{
    AccountKind, Allocation, CertificateAuthority, CertificatePin, DirectoryRules, EnrollmentRef, ExpiredCertificates,
    Group, GroupAttestation, Individual, IndividualAttestation, InitialTwin, KeyChange, Manufacturing, PolicyBinding,
    ReprovisionPolicy, Terms,
};
pub use password_hash::PasswordHash;
pub use sealed::SealedKeys;
pub use token_rules::{TokenAlgorithm, TokenRules, UnknownAlgorithm};
