//! Id scopes, and all that is held in memory by whoever decides: few things, read as a whole.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::KeptRevocations;
use landfall_domain::enrollment::{CertificateAuthority, Group};
use landfall_domain::hub::Hub;
use landfall_domain::names::IdScope;
use landfall_domain::plugin::PublishedPlugin;

use crate::{Admissions, StoreError};

/// Id scopes, and all that is held in memory by whoever decides: few things, read as a whole.
#[async_trait]
pub trait CatalogueStore: Send + Sync + 'static {
    /// Everything of all scopes but what is looked up one by one.
    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError>;

    /// Makes an id scope; answers whether it is new.
    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError>;
}

/// Everything that is held in memory.
#[derive(Clone, Debug, Default)]
pub struct CatalogueRecords {
    /// One for each id scope.
    pub scopes: Vec<ScopeRecords>,
}

/// The small things of one id scope.
#[derive(Clone, Debug)]
pub struct ScopeRecords {
    /// The id scope.
    pub scope: IdScope,
    /// Counts up with every change of what follows. Writing into a scope that was not made makes it.
    pub revision: u64,
    /// Count up with every change of what is looked at to find the enrollment of a device.
    pub admissions: Admissions,
    /// Linked hubs, by name. How full they are is told to who follows it ([`HubStore::follow_hub_loads`](crate::HubStore::follow_hub_loads)).
    pub hubs: Vec<Hub>,
    /// Enrollment groups, by id.
    pub groups: Vec<Group>,
    /// Certificate authorities, by name.
    pub authorities: Vec<CertificateAuthority>,
    /// What is said of issuers' certificates.
    pub revocations: Vec<KeptRevocations>,
    /// Published plugins, by name.
    pub plugins: Vec<PublishedPlugin>,
}
