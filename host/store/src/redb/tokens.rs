//! Tokens of the management API. They are few.

use async_trait::async_trait;
use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use redb::ReadableTable;

use super::engine::Write;
use super::tables::{self, TOKENS, Tables};
use super::{RedbStore, View, codec, unreadable};
use crate::rules::tokens::revocable;
use crate::writer::Lane;
use crate::{DeleteOutcome, Precondition, StoreError};

#[async_trait]
impl crate::TokenStore for RedbStore {
    async fn put_token(&self, token: TokenRecord) -> Result<(), StoreError> {
        self.write(Lane::Operator, Put(token)).await
    }

    async fn token(&self, secret_sha256: Digest) -> Result<Option<TokenRecord>, StoreError> {
        get(&self.view()?, secret_sha256)
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.look(all).await
    }

    async fn delete_token(&self, id: &str, now: Timestamp, when: Precondition) -> Result<DeleteOutcome, StoreError> {
        self.write(Lane::Operator, Delete { id: id.to_owned(), now, when }).await
    }
}

/// A token by the digest of its secret.
pub(super) fn get(view: &View, secret: Digest) -> Result<Option<TokenRecord>, StoreError> {
    tables::get(&view.table(TOKENS)?, WHAT, secret.as_bytes())
}

/// All tokens, the oldest first.
pub(super) fn all(view: &View) -> Result<Vec<TokenRecord>, StoreError> {
    let mut tokens = Vec::new();
    for row in view.table(TOKENS)?.iter().map_err(unreadable)? {
        let (_, value) = row.map_err(unreadable)?;
        tokens.push(codec::decode::<TokenRecord>(WHAT, value.value())?);
    }
    tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(tokens)
}

/// Stores a token.
pub(super) struct Put(pub(super) TokenRecord);

impl Write for Put {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.tokens.put(self.0.secret_sha256.as_bytes(), &self.0)
    }
}

/// Removes every token of a public id: a revocation must leave none valid.
pub(super) struct Delete {
    pub(super) id: String,
    pub(super) now: Timestamp,
    pub(super) when: Precondition,
}

impl Write for Delete {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let all = tables.tokens.range::<TokenRecord>(&[], &[u8::MAX; 33])?;
        let (revoked, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, token)| token.id == self.id);
        let tokens = |rows: &[(Vec<u8>, TokenRecord)]| rows.iter().map(|(_, token)| token.clone()).collect::<Vec<_>>();
        if let Err(refused) = revocable(&tokens(&revoked), &tokens(&left), &self.when, self.now) {
            return Ok(refused);
        }
        for (key, _) in &revoked {
            tables.tokens.remove(key)?;
        }
        Ok(DeleteOutcome::Deleted)
    }
}

const WHAT: &str = "token";
