//! Tokens of the management API.

use async_trait::async_trait;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use crate::{DeleteOutcome, Precondition, StoreError};

/// Tokens of the management API.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// Keeps a new token.
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError>;

    /// A token by the SHA-256 of its secret.
    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError>;

    /// All tokens.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Revokes every token of a public id, unless nobody were left then who can make another: the last operator's token
    /// that is good for all id scopes, by this time, is [`DeleteOutcome::InUse`]. The entity tag is
    /// [`entity_tag`](crate::entity_tag) of the first of them.
    async fn delete_token(&self, id: &str, now: Timestamp, when: Precondition) -> Result<DeleteOutcome, StoreError>;
}
