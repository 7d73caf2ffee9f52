//! What admission reads besides the request. None of it needs a running server: a test builds it from a
//! catalogue and a few maps.

use std::pin::Pin;
use std::sync::Arc;

use landfall_attestation::bearer::{BearerToken, SignedToken, TokenRules};
use landfall_attestation::kerberos::{Accepted, KerberosFlaw};
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_attestation::x509::VerifyPolicy;
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::{EnrollmentRef, Individual};
use landfall_domain::names::{Digest, DirectoryName, IdScope, RegistrationId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;
use landfall_domain::secret::sealing::SealingKey;
use landfall_store::{EnrollmentStore, ProofStore, RecordStore, RegistrationStore, Store, StoreError};

use crate::catalogue::{Catalogue, ScopeCatalogue};
use crate::config::Config;
use crate::directory::{Account, DirectoryFlaw};
use crate::identity_providers::FetchError;
use crate::provisioning::Provisioning;
use crate::provisioning::desk::Desk;
use crate::service::outside::Outside;

/// Everything that admission of one request reads.
pub(in crate::provisioning) struct Grounds<'a> {
    pub(super) config: &'a Config,
    /// Enrollment groups, authorities and revocations, as they were when the request came.
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) kept: &'a dyn Kept,
    pub(super) vouchers: &'a dyn Vouchers,
    pub(super) desk: &'a Desk,
    /// Opens the sealed keys of enrollments.
    pub(super) sealing: &'a SealingKey,
}

impl Grounds<'_> {
    pub(super) fn scope(&self, scope: &IdScope) -> Option<&Arc<ScopeCatalogue>> {
        self.catalogue.scope(scope)
    }

    /// How strictly certificates are verified at this time.
    pub(super) fn verify_policy(&self, now: Timestamp) -> VerifyPolicy {
        self.config.verify_policy(now)
    }

    /// For how many seconds after its end a revocation list still counts.
    pub(super) fn stale_list_seconds(&self) -> u64 {
        self.config.certificates.stale_crl_hours.saturating_mul(3600)
    }
}

impl Provisioning {
    /// What admission reads, as it is now.
    pub(in crate::provisioning) fn grounds(&self) -> Grounds<'_> {
        Grounds {
            config: self.service.config(),
            catalogue: self.service.catalogue().now(),
            kept: self.service.store(),
            vouchers: self.service.outside(),
            desk: &self.desk,
            sealing: self.service.sealing(),
        }
    }
}

/// A boxed future, so that the traits below can be used as `dyn`.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What admission reads from the store, and the two things that it writes there so that each is used once only.
pub(super) trait Kept: Send + Sync {
    /// The individual enrollment of an id, or what is read in its place: [`EnrollmentStore::individual`].
    fn individual<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Individual>, StoreError>>;

    /// The individual enrollment that pins a certificate: [`EnrollmentStore::enrollment_of_certificate`].
    fn enrollment_of_certificate<'a>(
        &'a self,
        scope: &'a IdScope,
        certificate: Digest,
    ) -> Later<'a, Result<Option<EnrollmentRef>, StoreError>>;

    /// The manufacturing record of an id: [`RecordStore::record`].
    fn record<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<ManufacturingRecord>, StoreError>>;

    /// The registration of an id: [`RegistrationStore::registration`].
    fn registration<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Registration>, StoreError>>;

    /// The device to which a key is bound: [`RegistrationStore::device_of_key`].
    fn device_of_key<'a>(
        &'a self,
        scope: &'a IdScope,
        key: Digest,
    ) -> Later<'a, Result<Option<RegistrationId>, StoreError>>;

    /// Marks a ticket's authenticator as used: [`ProofStore::spend_authenticator`].
    fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Later<'_, Result<bool, StoreError>>;

    /// Keeps the challenge of a TPM: [`ProofStore::keep_challenge`].
    fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Later<'_, Result<(), StoreError>>;
}

impl Kept for Arc<dyn Store> {
    fn individual<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Individual>, StoreError>> {
        EnrollmentStore::individual(&**self, scope, id)
    }

    fn enrollment_of_certificate<'a>(
        &'a self,
        scope: &'a IdScope,
        certificate: Digest,
    ) -> Later<'a, Result<Option<EnrollmentRef>, StoreError>> {
        EnrollmentStore::enrollment_of_certificate(&**self, scope, certificate)
    }

    fn record<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<ManufacturingRecord>, StoreError>> {
        RecordStore::record(&**self, scope, id)
    }

    fn registration<'a>(
        &'a self,
        scope: &'a IdScope,
        id: &'a RegistrationId,
    ) -> Later<'a, Result<Option<Registration>, StoreError>> {
        RegistrationStore::registration(&**self, scope, id)
    }

    fn device_of_key<'a>(
        &'a self,
        scope: &'a IdScope,
        key: Digest,
    ) -> Later<'a, Result<Option<RegistrationId>, StoreError>> {
        RegistrationStore::device_of_key(&**self, scope, key)
    }

    fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Later<'_, Result<bool, StoreError>> {
        ProofStore::spend_authenticator(&**self, authenticator, until, now)
    }

    fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Later<'_, Result<(), StoreError>> {
        ProofStore::keep_challenge(&**self, challenge, now)
    }
}

/// The outside services on whose statements devices are admitted: identity providers and directories.
pub(super) trait Vouchers: Send + Sync {
    /// The token, if one of its issuer's keys has signed it. `rules` say which issuer and how it is trusted.
    fn signed<'a>(
        &'a self,
        rules: &'a TokenRules,
        token: &'a BearerToken,
    ) -> Later<'a, Result<Option<SignedToken<'a>>, FetchError>>;

    /// Opens a ticket with the keytab of a directory. Answers `None` if the id scope has no directory of that name.
    fn open_ticket(
        &self,
        scope: &IdScope,
        directory: &DirectoryName,
        ticket: &[u8],
        now: Timestamp,
    ) -> Option<Result<Accepted, KerberosFlaw>>;

    /// Looks up the account of this name in a directory. There may be none.
    fn account<'a>(
        &'a self,
        scope: &'a IdScope,
        directory: &'a DirectoryName,
        principal: &'a str,
        now: Timestamp,
    ) -> Later<'a, Result<Option<Arc<Account>>, DirectoryFlaw>>;
}

impl Vouchers for Outside {
    fn signed<'a>(
        &'a self,
        rules: &'a TokenRules,
        token: &'a BearerToken,
    ) -> Later<'a, Result<Option<SignedToken<'a>>, FetchError>> {
        Box::pin(self.identity_providers().signed(rules, token))
    }

    fn open_ticket(
        &self,
        scope: &IdScope,
        directory: &DirectoryName,
        ticket: &[u8],
        now: Timestamp,
    ) -> Option<Result<Accepted, KerberosFlaw>> {
        Some(self.directories().get(scope, directory)?.open(ticket, now))
    }

    fn account<'a>(
        &'a self,
        scope: &'a IdScope,
        directory: &'a DirectoryName,
        principal: &'a str,
        now: Timestamp,
    ) -> Later<'a, Result<Option<Arc<Account>>, DirectoryFlaw>> {
        Box::pin(async move {
            match self.directories().get(scope, directory) {
                Some(directory) => directory.account(principal, now).await,
                None => Ok(None),
            }
        })
    }
}
