//! Keys that token issuers have published.

use landfall_attestation::bearer::KeptKeys;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;
use redb::ReadableTable;

use super::engine::Write;
use super::tables::{ISSUER_KEYS, Tables};
use super::{View, codec, unreadable};
use crate::StoreError;

/// The stored keys of all issuers.
pub(super) fn all(view: &View) -> Result<Vec<KeptKeys>, StoreError> {
    let mut kept = Vec::new();
    for row in view.table(ISSUER_KEYS)?.iter().map_err(unreadable)? {
        let (_, value) = row.map_err(unreadable)?;
        kept.push(codec::decode(WHAT, value.value())?);
    }
    Ok(kept)
}

/// Replaces the stored keys of an issuer. Keys of other issuers that are too old are removed.
pub(super) struct Keep {
    pub(super) keys: KeptKeys,
    pub(super) oldest: Timestamp,
}

impl Write for Keep {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        let mut over = Vec::new();
        tables.issuer_keys.each(|key, kept: KeptKeys| {
            over.extend((kept.read_at < self.oldest).then(|| key.to_vec()));
            Ok(())
        })?;
        over.iter().try_for_each(|key| tables.issuer_keys.remove(key))?;
        let ca = self.keys.ca_certificate.as_deref().unwrap_or_default();
        let reach = if self.keys.public_hosts_only { "\0public" } else { "" };
        let name = Digest::of(format!("{}\0{ca}{reach}", self.keys.issuer).as_bytes());
        tables.issuer_keys.put(name.as_bytes(), &self.keys)
    }
}

const WHAT: &str = "keys of an issuer";
