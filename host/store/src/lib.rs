//! The persistent state of the service: the contract of a store, and its implementations.
//!
//! The [`contract`] has one trait for each resource, in the terms of the domain; [`Store`] combines all of them. One
//! operation is one transaction, and no code outside this crate knows tables or keys. [`redb`] is the default
//! implementation. The future of a write completes when its transaction is on disk. An error means that nothing was
//! written, except for [`StoreError::Outcome`]: then it is unknown whether the write is on disk until the database has
//! been opened again, and the process must end.
//!
//! The crate depends on [`landfall_domain`], and on the readers of certificates and revocation lists of
//! [`landfall_attestation`]: revocations are stored under the name and key of the issuer, which a transaction reads
//! from the certificates in its rows.
//!
//! The feature `suite` adds the behaviour suite, which tests each promise of the contract against any implementation.
//! It also adds a store in memory (`memory`), for tests that need a store but no file.
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
