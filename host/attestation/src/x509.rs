//! X.509 client certificates: parsed once, then verified as the enrollment that applies demands.
//!
//! The TLS layer accepts any certificate whose key the device can use, because the enrollment that applies is known
//! only after the request has been read. So there are three steps. [`PresentedChain::parse`] limits the size of what
//! was sent and parses it into facts; nothing later looks at the bytes again. [`AnchorIndex::nearest`] finds the owner
//! of the authority that stands lowest on the chain. [`verify_pinned`] or [`verify_group`] then verifies the chain as
//! that enrollment demands: a pinned certificate is compared, without building a path; a group's chain is verified up
//! to that group's authorities only, never up to the union of all authorities.
//!
//! `path` builds paths, `strict` checks each certificate, `distinguished` and `constraints` compare names. The public
//! test suites for path validation check all of it against RFC 5280. Limits: 8 certificates above the device's own and
//! 16 KiB in all, checked before any is parsed, and a maximum number of signatures. Nothing that a certificate names
//! (a revocation list, an issuer's address) is ever fetched.

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
