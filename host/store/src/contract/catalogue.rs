//! Id scopes, and the records that the service holds in memory to decide: they are few, and are read as a whole.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::KeptRevocations;
use landfall_domain::enrollment::{CertificateAuthority, Group};
use landfall_domain::hub::Hub;
use landfall_domain::names::IdScope;
use landfall_domain::plugin::PublishedPlugin;

use crate::{Admissions, StoreError};

/// Id scopes, and the records that the service holds in memory to decide: they are few, and are read as a whole.
#[async_trait]
pub trait CatalogueStore: Send + Sync + 'static {
    /// Loads all records of all id scopes, except those that are looked up one by one.
    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError>;

    /// Creates an id scope; returns whether it is new.
    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError>;
}

/// All records that the service holds in memory.
#[derive(Clone, Debug, Default)]
pub struct CatalogueRecords {
    /// One for each id scope.
    pub scopes: Vec<ScopeRecords>,
}

/// The records of one id scope that the service holds in memory.
#[derive(Clone, Debug)]
pub struct ScopeRecords {
    /// The id scope.
    pub scope: IdScope,
    /// Increases with every change of the records below. A write into a scope that does not exist creates the scope.
    pub revision: u64,
    /// Counters that increase with every change of the data by which the enrollment of a device is found.
    pub admissions: Admissions,
    /// Linked hubs, by name. Their loads are reported to followers
    /// ([`HubStore::follow_hub_loads`](crate::HubStore::follow_hub_loads)).
    pub hubs: Vec<Hub>,
    /// Enrollment groups, by id.
    pub groups: Vec<Group>,
    /// Certificate authorities, by name.
    pub authorities: Vec<CertificateAuthority>,
    /// Revocations, by issuer.
    pub revocations: Vec<KeptRevocations>,
    /// Published plugins, by name.
    pub plugins: Vec<PublishedPlugin>,
}
