//! X.509 client certificates: read once, judged by the enrollment that counts.
//!
//! The TLS layer takes any certificate whose key the device can use, for which enrollment counts is known only after
//! the request is read. So there are three steps. [`PresentedChain::parse`] bounds what was sent and reads it into
//! facts; nothing later looks at the bytes again. [`AnchorIndex::nearest`] finds whose certificate stands lowest on
//! the chain. [`verify_pinned`] or [`verify_group`] then judges the chain as that enrollment says: a pinned
//! certificate is compared, never path-built; a group's chain is verified up to that group's authorities alone, never
//! to the union of all.
//!
//! Path building is rustls-webpki's. What it leaves out (an authority's own dates and constraints, key usage, key
//! sizes, serial numbers) is in `strict`, where each rule closes a case of the public path-validation suites that
//! webpki alone lets through. Bounds: 4 certificates above the device's own and 16 KiB in all, checked before any is
//! read, which also bound the signatures that are checked. Nothing that is named inside a certificate (a revocation
//! list, an issuer's address) is ever fetched.

mod anchor;
mod certificate;
mod chain;
pub mod crl;
pub mod endorsement;
mod error;
mod index;
mod key;
mod leaf;
mod name;
pub mod pem;
pub mod possession;
pub mod request;
pub mod revocation;
mod signature;
mod signed;
mod strict;
mod verify;

pub use self::anchor::Anchor;
pub use self::chain::{MAX_CHAIN_BYTES, MAX_INTERMEDIATES, PresentedChain, bounded};
pub use self::crl::{Crl, CrlError};
pub use self::error::{ChainError, Flaw, Which};
pub use self::index::AnchorIndex;
pub use self::key::KeyFlaw;
pub use self::leaf::{CertificateInfo, Leaf};
pub use self::name::CommonNameError;
pub use self::verify::{DEFAULT_CLOCK_SKEW, VerifiedPath, VerifyPolicy, verify_group, verify_pinned};

#[cfg(test)]
mod tests;
