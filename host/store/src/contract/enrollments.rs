//! Enrollments. Individual ones are many and are looked up one by one; groups are few and part of the catalogue.

use async_trait::async_trait;
use landfall_domain::enrollment::{Group, Individual};
use landfall_domain::names::{Digest, GroupId, IdScope, RegistrationId};

use crate::{DeleteOutcome, Listing, Page, Precondition, PutOutcome, StoreError};

/// Enrollments. Individual ones are many and are looked up one by one; groups are few and part of the catalogue.
#[async_trait]
pub trait EnrollmentStore: Send + Sync + 'static {
    /// The individual enrollment of a registration id. As far as other enrollments exist, a lookup that finds none
    /// takes as long as one that finds it: a stranger must not learn from the time whether an id is known.
    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError>;

    /// Individual enrollments in the order of their ids.
    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError>;

    /// Creates or replaces an individual enrollment. A certificate that another enrollment holds is a conflict.
    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Replaces individual enrollments in one transaction, each on its own condition, and returns the outcome of each.
    /// The new ones must hold the same certificates and plugins as before: the operation serves to seal keys again.
    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Precondition)>,
    ) -> Result<Vec<PutOutcome>, StoreError>;

    /// Removes an individual enrollment.
    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The enrollment that holds a certificate.
    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<landfall_domain::enrollment::EnrollmentRef>, StoreError>;

    /// A group as it is on disk. The catalogue in memory can lag behind.
    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError>;

    /// Creates or replaces a group. A certificate that another enrollment holds is a conflict, and so is an authority
    /// that another group names: one certificate leads to one enrollment.
    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Removes a group. The registrations of its devices stay.
    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;
}
