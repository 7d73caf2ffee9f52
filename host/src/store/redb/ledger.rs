//! Ledger entries that led to no registration, and the bytes that entries name by their digest.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::engine::Write;
use super::tables::{self, CONTENT, DECISIONS, OTHERS, SIGNATURES, Tables};
use super::{View, codec, unreadable};
use crate::ledger::Entry;
use crate::names::{Digest, TrackingId};
use crate::policy::trust::Signature;
use crate::store::StoreError;

/// One entry.
pub(super) fn get(view: &View, id: TrackingId) -> Result<Option<Entry>, StoreError> {
    let decision = tables::get(&view.table(DECISIONS)?, WHAT, id.as_bytes())?;
    match decision {
        Some(entry) => Ok(Some(entry)),
        None => tables::get(&view.table(OTHERS)?, WHAT, id.as_bytes()),
    }
}

/// Whether some bytes are there.
pub(super) fn has_content(view: &View, digest: Digest) -> Result<bool, StoreError> {
    let table = view.table(CONTENT)?;
    let row = table.get(digest.as_bytes().as_slice()).map_err(unreadable)?;
    Ok(row.is_some())
}

/// Bytes by their digest.
pub(super) fn content(view: &View, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let table = view.table(CONTENT)?;
    let row = table.get(digest.as_bytes().as_slice()).map_err(unreadable)?;
    Ok(row.map(|row| row.value().to_vec()))
}

/// The signatures of a component.
pub(super) fn signatures(view: &View, component: Digest) -> Result<Vec<Signature>, StoreError> {
    Ok(tables::get(&view.table(SIGNATURES)?, "signature", component.as_bytes())?.unwrap_or_default())
}

/// Keeps an entry that led to no registration. Tracking ids sort by time, so that the first are the oldest.
pub(super) struct KeepEntry {
    id: TrackingId,
    entry: Vec<u8>,
}

impl KeepEntry {
    pub(super) fn new(entry: &Entry) -> Result<Self, StoreError> {
        Ok(Self { id: entry.tracking_id, entry: codec::encode(entry)? })
    }
}

impl Write for KeepEntry {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.others.put_encoded(self.id.as_bytes(), &self.entry)?;
        tables.others.keep_last(tables.kept.entries)
    }

    fn size(&self) -> usize {
        self.entry.len()
    }
}

/// Keeps bytes under their digest.
pub(super) struct KeepContent {
    digest: Digest,
    content: Vec<u8>,
}

impl KeepContent {
    pub(super) fn new(digest: Digest, content: Vec<u8>) -> Self {
        Self { digest, content }
    }
}

impl Write for KeepContent {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        if tables.content.has(self.digest.as_bytes())? {
            return Ok(());
        }
        tables.content.put_encoded(self.digest.as_bytes(), &self.content)
    }

    fn size(&self) -> usize {
        self.content.len()
    }
}

/// Digests of content that is on disk: nearly every decision names the same few, and must not ask the disk for them.
/// Content is never removed, so that what was known once stays true.
#[derive(Default)]
pub(super) struct KnownContent(RwLock<HashSet<Digest>>);

impl KnownContent {
    pub(super) fn has(&self, digest: Digest) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.contains(&digest)
    }

    /// Adds one. When too many are known, all are forgotten: the few that matter are soon back.
    pub(super) fn add(&self, digest: Digest) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest);
    }
}

const WHAT: &str = "ledger entry";
/// 32 bytes each.
const MOST_KNOWN: usize = 16_384;
