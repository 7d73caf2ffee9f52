//! The contract, one module for each resource: what every store promises, and what the suite tests.
//!
//! - Each operation is one transaction. Reads see the last committed transaction and do not wait for writes.
//! - Each change and each removal of a resource that an operator manages takes a [`Precondition`]. The reason of a
//!   refusal is a typed [`Conflict`] or [`InUse`], not a text. Two need no precondition: a new token, whose secret is random,
//!   and commands about what is revoked, which are merged over the present record.
//! - Times are parameters: no promise depends on a clock of the store.
//! - Counts are plain numbers. A caller who needs to follow changes of the load of hubs registers a follower
//!   ([`HubStore::follow_hub_loads`]).

mod authorities;
mod catalogue;
mod condition;
mod conflict;
mod decisions;
mod enrollments;
mod error;
mod hubs;
mod ledger;
mod page;
mod plugins;
mod proofs;
mod records;
mod registrations;
mod tokens;
mod upkeep;

pub use self::authorities::{AuthorityStore, AuthorityUpload, authority_tag};
pub use self::catalogue::{CatalogueRecords, CatalogueStore, ScopeRecords};
pub use self::condition::{DeleteOutcome, Precondition, PutOutcome, entity_tag};
pub use self::conflict::{Conflict, Held, InUse, Leaning};
pub use self::decisions::{
    DecisionFilter, DecisionPage, DecisionPlace, DecisionPlaceError, DecisionResult, DecisionSummary, PolicyFilter,
};
pub use self::enrollments::EnrollmentStore;
pub use self::error::StoreError;
pub use self::hubs::{HubLoadFollower, HubStore};
pub use self::ledger::LedgerStore;
pub use self::page::{Listing, Page};
pub use self::plugins::{PluginStore, plugin_tag};
pub use self::proofs::ProofStore;
pub use self::records::{Batches, ImportBatch, RecordFilter, RecordStore, RowOutcome, RowResult, Staging};
pub use self::registrations::{
    AdmissionBasis, Admissions, CommitOutcome, RegistrationCommit, RegistrationFilter, RegistrationStore, Way,
};
pub use self::tokens::TokenStore;
pub use self::upkeep::Upkeep;

/// A store: all traits of the contract. Reads see the last committed transaction and never wait for writes.
pub trait Store:
    RegistrationStore
    + LedgerStore
    + RecordStore
    + EnrollmentStore
    + AuthorityStore
    + HubStore
    + PluginStore
    + CatalogueStore
    + TokenStore
    + ProofStore
    + Upkeep
{
}

impl<T> Store for T where
    T: RegistrationStore
        + LedgerStore
        + RecordStore
        + EnrollmentStore
        + AuthorityStore
        + HubStore
        + PluginStore
        + CatalogueStore
        + TokenStore
        + ProofStore
        + Upkeep
{
}
