//! What proofs of identity need and must outlive a process: challenges of TPMs, authenticators of Kerberos that were here, keys
//! of token issuers.

use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use crate::StoreError;

/// What proofs of identity need and must outlive a process.
#[async_trait]
pub trait ProofStore: Send + Sync + 'static {
    /// Keeps a challenge, and lets some go that are over by this time. It is spent by
    /// [`commit_registration`](crate::RegistrationStore::commit_registration).
    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError>;

    /// All challenges, the oldest first.
    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError>;

    /// Remembers a Kerberos authenticator until it cannot come again, and lets some go that cannot by now; whether it had not
    /// been here before. Of many who bring it at once, one is told so. `until` is the same for the same authenticator.
    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Keeps what an issuer of tokens has published in place of what it had, and lets all go that were read before `oldest`.
    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError>;

    /// What all issuers have published.
    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError>;
}
