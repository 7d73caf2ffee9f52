//! Who may register: individual enrollments, many and looked up one by one, and groups, few and part of the catalogue.

use async_trait::async_trait;
use landfall_domain::enrollment::{Group, Individual};
use landfall_domain::names::{Digest, GroupId, IdScope, RegistrationId};

use crate::{DeleteOutcome, Listing, Page, Precondition, PutOutcome, StoreError};

/// Who may register: individual enrollments, many and looked up one by one, and groups, few and part of the catalogue.
#[async_trait]
pub trait EnrollmentStore: Send + Sync + 'static {
    /// The individual enrollment of an id. It takes as long to find that there is none, as far as others stand there: the time
    /// must not tell a stranger whether an id is known.
    async fn individual(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError>;

    /// Individual enrollments in the order of their ids.
    async fn individuals(&self, scope: &IdScope, page: Page) -> Result<Listing<Individual>, StoreError>;

    /// Makes or replaces an individual enrollment. A certificate that another enrollment names is a conflict.
    async fn put_individual(
        &self,
        scope: &IdScope,
        entry: Individual,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError>;

    /// Replaces individual enrollments, each on its own condition, in one transaction; answers what came of each. They hold
    /// what they held before: it is for keys that are sealed anew.
    async fn replace_individuals(
        &self,
        scope: &IdScope,
        entries: Vec<(Individual, Precondition)>,
    ) -> Result<Vec<PutOutcome>, StoreError>;

    /// Removes one.
    async fn delete_individual(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;

    /// The enrollment that names a certificate.
    async fn enrollment_of_certificate(
        &self,
        scope: &IdScope,
        certificate: Digest,
    ) -> Result<Option<landfall_domain::enrollment::EnrollmentRef>, StoreError>;

    /// A group as it is on disk; the catalogue in memory may be a moment behind.
    async fn group(&self, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError>;

    /// Makes or replaces a group. A certificate that another enrollment names is a conflict, and so is an authority
    /// that another group names: one certificate leads to one enrollment.
    async fn put_group(&self, scope: &IdScope, group: Group, when: Precondition) -> Result<PutOutcome, StoreError>;

    /// Removes a group. Its devices' registrations stay.
    async fn delete_group(
        &self,
        scope: &IdScope,
        id: &GroupId,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError>;
}
