//! Tokens of the management API. They are few.

use redb::ReadableTable;

use super::engine::Write;
use super::tables::{self, TOKENS, Tables};
use super::{View, codec, unreadable};
use crate::names::Digest;
use crate::store::StoreError;
use crate::token::TokenRecord;

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

/// Keeps a token.
pub(super) struct Put(pub(super) TokenRecord);

impl Write for Put {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.tokens.put(self.0.secret_sha256.as_bytes(), &self.0)
    }
}

/// Removes every token of a public id: a revocation must leave none behind.
pub(super) struct Delete(pub(super) String);

impl Write for Delete {
    type Answer = bool;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<bool, StoreError> {
        let revoked: Vec<_> = tables
            .tokens
            .range::<TokenRecord>(&[], &[u8::MAX; 33])?
            .into_iter()
            .filter(|(_, token)| token.id == self.0)
            .collect();
        for (key, _) in &revoked {
            tables.tokens.remove(key)?;
        }
        Ok(!revoked.is_empty())
    }
}

const WHAT: &str = "token";
