//! Tokens of the management API, and maintenance of the store.

use std::path::Path;

use async_trait::async_trait;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::MemoryStore;
use crate::rules::contents::Contents as _;
use crate::rules::tokens::revocable;
use crate::{DeleteOutcome, Findings, Precondition, StoreError, TokenStore, Unused, Upkeep};

#[async_trait]
impl TokenStore for MemoryStore {
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.write(|state| {
            state.changed = true;
            state.tokens.insert(token.secret_sha256, token);
            Ok(())
        })
    }

    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError> {
        self.read(|state| state.tokens.get(&secret_sha256).cloned())
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.read(|state| {
            let mut all: Vec<TokenRecord> = state.tokens.values().cloned().collect();
            all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
            all
        })
    }

    async fn delete_token(&self, id: &str, now: Timestamp, when: Precondition) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let (revoked, left): (Vec<_>, Vec<_>) = state.tokens.values().cloned().partition(|token| token.id == id);
            if let Err(refused) = revocable(&revoked, &left, &when, now) {
                return Ok(refused);
            }
            state.changed = true;
            state.tokens.retain(|_, token| token.id != id);
            Ok(DeleteOutcome::Deleted)
        })
    }
}

#[async_trait]
impl Upkeep for MemoryStore {
    fn has_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn sequence(&self) -> u64 {
        self.lock().sequence
    }

    /// This store has no derived data, so nothing can contradict anything.
    async fn check(&self) -> Result<(Findings, Unused), StoreError> {
        self.read(|state| {
            let named = state.named_by_plugins()?;
            let of_nobody = |digest: &Digest| !state.uses.contains_key(digest) && !named.contains(digest);
            let unnamed = state.contents.iter().filter(|(digest, _)| of_nobody(digest));
            let unused = unnamed.fold(Unused::default(), |unused, (_, bytes)| {
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                unused.and(Unused { decisions: 0, contents: 1, bytes })
            });
            Ok((Findings::default(), unused))
        })?
    }

    async fn copy_to(&self, _: &Path, _: Timestamp) -> Result<u64, StoreError> {
        Err(StoreError::Write("a store in memory is not copied to a file".to_owned()))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.lock().closed = true;
        Ok(())
    }
}
