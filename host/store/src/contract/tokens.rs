//! Tokens of the management API.

use async_trait::async_trait;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use crate::{DeleteOutcome, Precondition, StoreError};

/// Tokens of the management API.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Stores a new token.
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError>;

    /// Finds a token by the SHA-256 of its secret.
    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError>;

    /// All tokens of the store.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Revokes every token of a public id. The last operator token that is valid for all id scopes at `now` cannot be
    /// revoked ([`DeleteOutcome::InUse`]), because nobody could then create another token. The entity tag is
    /// [`entity_tag`](crate::entity_tag) of the first of the tokens.
    async fn delete_token(&self, id: &str, now: Timestamp, when: Precondition) -> Result<DeleteOutcome, StoreError>;
}
