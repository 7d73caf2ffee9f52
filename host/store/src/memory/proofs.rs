//! The state of proofs of identity.

use async_trait::async_trait;
use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::MemoryStore;
use crate::{ProofStore, StoreError};

#[async_trait]
impl ProofStore for MemoryStore {
    async fn keep_challenge(&self, challenge: KeptChallenge, now: Timestamp) -> Result<(), StoreError> {
        self.write(|state| {
            state.changed = true;
            state.challenges.retain(|_, kept| kept.until > now);
            state.challenges.insert(challenge.name, challenge);
            Ok(())
        })
    }

    async fn challenges(&self) -> Result<Vec<KeptChallenge>, StoreError> {
        self.read(|state| state.challenges.values().cloned().collect())
    }

    async fn spend_authenticator(
        &self,
        authenticator: Digest,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            if state.authenticators.contains(&(until, authenticator)) {
                return Ok(false);
            }
            state.changed = true;
            state.authenticators.retain(|(until, _)| *until >= now);
            state.authenticators.insert((until, authenticator));
            Ok(true)
        })
    }

    async fn keep_issuer_keys(&self, keys: KeptKeys, oldest: Timestamp) -> Result<(), StoreError> {
        self.write(|state| {
            let named = |keys: &KeptKeys| (keys.issuer.clone(), keys.ca_certificate.clone(), keys.public_hosts_only);
            state.changed = true;
            state.issuer_keys.retain(|kept| kept.read_at >= oldest && named(kept) != named(&keys));
            state.issuer_keys.push(keys);
            Ok(())
        })
    }

    async fn issuer_keys(&self) -> Result<Vec<KeptKeys>, StoreError> {
        self.read(|state| state.issuer_keys.clone())
    }
}
