//! Where everything that must not be lost is kept.
//!
//! The [`contract`] is a trait for each resource, in the domain's words; [`Store`] is all of them. An operation is one
//! transaction, and nothing outside this crate knows of tables or keys. [`redb`] is the default. A write's future ends when the
//! transaction that holds it is on disk, and an error means that nothing of it is there, except for
//! [`StoreError::Outcome`], after which the process must end: whether the write is there is known only once the database has
//! been opened again.
//!
//! The crate knows [`landfall_domain`], and of [`landfall_attestation`] the readers of certificates and of revocation lists:
//! what is revoked is kept for an issuer's name and key, which a transaction reads from the certificates of its rows.
//!
//! The feature `suite` brings the behaviour suite: one test for each promise of the contract, for every implementation. It also
//! brings a store in memory ([`memory`]), for tests that need a store and no file.
//!
//! ```no_run
//! use landfall_store::CatalogueStore as _;
//! use landfall_store::redb::{RedbStore, StoreSettings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedbStore::open("landfall.redb".as_ref(), StoreSettings { create: true, ..StoreSettings::default() })?;
//! let scope = "0ne00000001".parse()?;
//! store.create_scope(scope).await?;
//! # Ok(())
//! # }
//! ```

pub mod contract;
pub mod health;
#[cfg(any(test, feature = "suite"))]
pub mod memory;
pub mod redb;
mod rules;
pub mod writer;

#[cfg(any(test, feature = "suite"))]
#[allow(missing_docs, reason = "each function is a promise, and its name says which")]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "these are tests, which other crates run as well"
)]
pub mod suite;

pub use self::contract::*;
pub use self::health::{Finding, Findings, Unused};
pub use self::writer::Lane;
