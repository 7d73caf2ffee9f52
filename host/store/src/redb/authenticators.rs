//! Kerberos authenticators that were seen, and must not be replayed. Their keys begin with their expiry time, so that
//! expired ones come first.

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::engine::Write;
use super::tables::Tables;
use crate::StoreError;

/// Remembers an authenticator; the answer is whether it was not seen before. Each call removes more than one expired
/// authenticator, so that they do not accumulate.
pub(super) struct Spend {
    pub(super) authenticator: Digest,
    pub(super) until: Timestamp,
    pub(super) now: Timestamp,
}

impl Write for Spend {
    type Answer = bool;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<bool, StoreError> {
        let key = [&self.until.as_millis().to_be_bytes()[..], self.authenticator.as_bytes()].concat();
        if tables.authenticators.has(&key)? {
            return Ok(false);
        }
        tables.authenticators.remove_first_before(&self.now.as_millis().to_be_bytes(), REMOVED_AT_ONCE)?;
        tables.authenticators.put(&key, &())?;
        Ok(true)
    }
}

const REMOVED_AT_ONCE: usize = 4;
