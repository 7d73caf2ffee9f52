//! The state of proofs of identity that must outlive a process: TPM challenges, spent Kerberos authenticators, and
//! keys of token issuers.

use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use crate::StoreError;

/// The state of proofs of identity that must outlive a process.
#[async_trait]
pub trait ProofStore: Send + Sync + 'static {
    /// Stores a challenge, and removes some of the challenges that are expired at `now`. A challenge is spent by
    /// [`commit_registration`](crate::RegistrationStore::commit_registration).
    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError>;

    /// All challenges, the oldest first.
    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError>;

    /// Remembers a Kerberos authenticator until it is too old to be replayed, and removes some that are too old at
    /// `now`. Returns whether it was not seen before: of several callers with the same authenticator at once, exactly
    /// one gets `true`. `until` must be the same for the same authenticator.
    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Replaces the stored keys of a token issuer, and removes all keys that were fetched before `oldest`.
    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError>;

    /// The stored keys of all issuers.
    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError>;
}
