//! X.509 client certificates: read once, judged by the enrollment that counts.
//!
//! The TLS layer takes any certificate whose key the device can use, for which enrollment counts is known only after
//! the request is read. So there are three steps. [`PresentedChain::parse`] bounds what was sent and reads it into
//! facts; nothing later looks at the bytes again. [`AnchorIndex::nearest`] finds whose certificate stands lowest on
//! the chain. [`verify_pinned`] or [`verify_group`] then judges the chain as that enrollment says: a pinned
//! certificate is compared, never path-built; a group's chain is verified up to that group's authorities alone, never
//! to the union of all.
//!
//! Paths are built in `path`, each certificate is judged in `strict`, names are compared in `distinguished` and
//! `constraints`; the public path-validation suites hold all of it to RFC 5280. Bounds: 8 certificates above the device's
//! own and 16 KiB in all, checked before any is read, and a number of signatures. Nothing that is named inside a certificate (a revocation
//! list, an issuer's address) is ever fetched.

mod anchor;
mod armour;
mod certificate;
mod chain;
mod constraints;
pub mod crl;
mod descent;
mod distinguished;
pub mod endorsement;
mod error;
mod index;
mod key;
mod leaf;
pub mod make;
mod name;
mod object_id;
mod path;
pub mod pem;
pub mod possession;
pub mod request;
pub mod revocation;
mod signature;
mod signed;
mod strict;
mod verify;

pub use self::anchor::Anchor;
pub use self::chain::{MAX_CHAIN_BYTES, MAX_INTERMEDIATES, MAX_PRESENTED, PresentedChain};
pub use self::crl::{Crl, CrlError};
pub use self::descent::descends_from;
pub use self::error::{ChainError, Flaw, Which};
pub use self::index::AnchorIndex;
pub use self::key::KeyFlaw;
pub use self::leaf::{CertificateInfo, Leaf, for_the_log, provable_key};
pub use self::name::CommonNameError;
pub use self::verify::{
    DEFAULT_CLOCK_SKEW, VerifiedPath, VerifyPolicy, could_be_pinned, verify_group, verify_group_if, verify_pinned,
};

#[cfg(test)]
mod tests;
