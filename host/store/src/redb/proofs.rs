//! The state of proofs of identity that must outlive a process.

use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::{RedbStore, authenticators, challenges, issuer_keys};
use crate::StoreError;
use crate::writer::Lane;

#[async_trait]
impl crate::ProofStore for RedbStore {
    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError> {
        self.write(Lane::Device, challenges::Keep { challenge, now }).await
    }

    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError> {
        self.look(challenges::all).await
    }

    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(Lane::Device, authenticators::Spend { authenticator, until, now }).await
    }

    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError> {
        self.write(Lane::Device, issuer_keys::Keep { keys, oldest }).await
    }

    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError> {
        self.look(issuer_keys::all).await
    }
}
