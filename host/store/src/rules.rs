//! The rules that every store applies, written once.
//!
//! A rule reads one id scope through [`Scoped`], within the transaction that it judges, and returns what may be
//! written. A rule writes nothing itself; only [`contents`] and [`publishing`] write, through [`contents::Contents`].
//! So an implementation only has to provide its tables, its transactions and its lookups.

pub(crate) mod admissions;
pub(crate) mod authorities;
pub(crate) mod claims;
pub(crate) mod contents;
pub(crate) mod filters;
pub(crate) mod groups;
pub(crate) mod import;
pub(crate) mod publishing;
pub(crate) mod registrations;
pub(crate) mod revocations;
pub(crate) mod tokens;

use landfall_attestation::x509::revocation::{Issuer, RevocationRecord};
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group};
use landfall_domain::hub::Hub;
use landfall_domain::names::{CaName, DeviceId, Digest, GroupId, HubName, PluginName, RegistrationId, TrackingId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;

use crate::{Held, StoreError, Way};

/// The view that a transaction has of an id scope.
pub(crate) trait Scoped {
    /// The registration of an id.
    fn registration(&self, id: &RegistrationId) -> Result<Option<Registration>, StoreError>;
    /// The manufacturing record of an id.
    fn record(&self, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError>;
    /// The entity tag of the individual enrollment of an id.
    fn individual_tag(&self, id: &RegistrationId) -> Result<Option<String>, StoreError>;
    /// The entity tag of a group.
    fn group_tag(&self, id: &GroupId) -> Result<Option<String>, StoreError>;
    /// All groups of the id scope.
    fn groups(&self) -> Result<Vec<Group>, StoreError>;
    /// How many groups there are.
    fn count_groups(&self) -> Result<u64, StoreError>;
    /// An authority by its name.
    fn authority(&self, name: &CaName) -> Result<Option<CertificateAuthority>, StoreError>;
    /// All authorities. They are few.
    fn authorities(&self) -> Result<Vec<CertificateAuthority>, StoreError>;
    /// The revocations of an issuer.
    fn said_of(&self, issuer: &Issuer) -> Result<Option<RevocationRecord>, StoreError>;
    /// The enrollment that holds something which only one enrollment may hold.
    fn holder(&self, held: &Held) -> Result<Option<EnrollmentRef>, StoreError>;
    /// A linked hub.
    fn hub(&self, name: &HubName) -> Result<Option<Hub>, StoreError>;
    /// How many devices a hub has.
    fn hub_load(&self, name: &HubName) -> Result<u64, StoreError>;
    /// The device to which a key belongs.
    fn owner_of_key(&self, key: Digest) -> Result<Option<RegistrationId>, StoreError>;
    /// The device that has an id in a hub.
    fn owner_of_identity(&self, hub: &HubName, id: &DeviceId) -> Result<Option<RegistrationId>, StoreError>;
    /// The change counter of the data by which enrollments are found in this way.
    fn admissions(&self, way: Way) -> Result<u64, StoreError>;
    /// The revision of the catalogue.
    fn revision(&self) -> Result<u64, StoreError>;
    /// Whether a plugin is published.
    fn has_plugin(&self, name: &PluginName) -> Result<bool, StoreError>;
    /// Whether a component is available.
    fn has_component(&self, component: Digest) -> Result<bool, StoreError>;
    /// Whether the answer to a challenge has started a registration; `None` if the challenge is no longer stored.
    fn is_spent(&self, challenge: TrackingId) -> Result<Option<bool>, StoreError>;
}
