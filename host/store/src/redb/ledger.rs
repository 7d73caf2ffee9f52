//! Ledger entries that led to no registration, and the contents that entries name by digest.

use async_trait::async_trait;
use landfall_domain::decision::{Content, Entry};
use landfall_domain::names::{Digest, IdScope, RegistrationId, TrackingId};
use landfall_domain::plugin::signature::Signature;

use super::engine::Write;
use super::tables::{self, CONTENT, DECISIONS, OTHERS, SIGNATURES, Tables};
use super::{RedbStore, View, codec, decisions, unreadable, uses};
use crate::rules::contents::{self, Named};
use crate::writer::Lane;
use crate::{DecisionFilter, DecisionPage, Listing, StoreError};

#[async_trait]
impl crate::LedgerStore for RedbStore {
    async fn record_entry(&self, entry: Entry, contents: Vec<Content>) -> Result<(), StoreError> {
        self.write(Lane::Device, KeepEntry::new(&entry, contents)?).await
    }

    async fn decisions(
        &self,
        scope: &IdScope,
        page: DecisionPage,
        filter: DecisionFilter,
    ) -> Result<Listing<Entry>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| decisions::list(view, &scope, &page, &filter)).await
    }

    async fn ledger_entry(&self, id: TrackingId) -> Result<Option<Entry>, StoreError> {
        get(&self.view()?, id)
    }

    async fn keep_content(&self, lane: Lane, content: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&content);
        if !has_content(&self.view()?, digest)? {
            self.write(lane, KeepContent::new(digest, content)).await?;
        }
        Ok(digest)
    }

    async fn content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        content(&self.view()?, digest)
    }
}

pub(super) fn get(view: &View, id: TrackingId) -> Result<Option<Entry>, StoreError> {
    let decision = tables::get(&view.table(DECISIONS)?, WHAT, id.as_bytes())?;
    match decision {
        Some(entry) => Ok(Some(entry)),
        None => tables::get(&view.table(OTHERS)?, WHAT, id.as_bytes()),
    }
}

/// Whether a content is stored.
pub(super) fn has_content(view: &View, digest: Digest) -> Result<bool, StoreError> {
    let table = view.table(CONTENT)?;
    let row = table.get(digest.as_bytes().as_slice()).map_err(unreadable)?;
    Ok(row.is_some())
}

/// A content by its digest.
pub(super) fn content(view: &View, digest: Digest) -> Result<Option<Vec<u8>>, StoreError> {
    let table = view.table(CONTENT)?;
    let row = table.get(digest.as_bytes().as_slice()).map_err(unreadable)?;
    Ok(row.map(|row| row.value().to_vec()))
}

/// The signatures of a component.
pub(super) fn signatures(view: &View, component: Digest) -> Result<Vec<Signature>, StoreError> {
    Ok(tables::get(&view.table(SIGNATURES)?, "signature", component.as_bytes())?.unwrap_or_default())
}

/// Stores an entry that led to no registration, or whose registration is gone, and whose contents are counted already.
/// The first to arrive are evicted: by their sequence numbers, not by their tracking ids, which depend on the clock.
pub(super) fn keep_other(tables: &mut Tables<'_>, id: &[u8], entry: &[u8]) -> Result<(), StoreError> {
    if !tables.others.has(id)? {
        let last = tables.others_order.last_key()?.and_then(|key| Some(u64::from_be_bytes(key.try_into().ok()?)));
        let next = last.unwrap_or(0).saturating_add(1);
        tables.others_order.put_encoded(&next.to_be_bytes(), id)?;
    }
    let before = tables.others.bytes(id)?;
    tables.others.put_encoded(id, entry)?;
    decisions::follow(tables, id, before.as_deref())?;
    if let Some(before) = before {
        uses::give_back_entry(tables, &before)?;
    }
    while tables.others_order.len()? > tables.kept.entries {
        let Some((_, oldest)) = tables.others_order.pop_first()? else { break };
        if let Some(entry) = tables.others.bytes(&oldest)? {
            tables.others.remove(&oldest)?;
            decisions::follow(tables, &oldest, Some(&entry))?;
            uses::give_back_entry(tables, &entry)?;
        }
    }
    Ok(())
}

/// Removes a decision that explains no registration any more, and the contents that only it named.
pub(super) fn drop_decision(tables: &mut Tables<'_>, id: TrackingId) -> Result<(), StoreError> {
    if let Some(entry) = tables.decisions.bytes(id.as_bytes())? {
        tables.decisions.remove(id.as_bytes())?;
        decisions::follow(tables, id.as_bytes(), Some(&entry))?;
        uses::give_back_entry(tables, &entry)?;
    }
    Ok(())
}

/// Moves the entry that explained a registration to the entries that can be evicted. An entry of another device stays.
pub(super) fn retire_decision(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    device: &RegistrationId,
    id: TrackingId,
) -> Result<(), StoreError> {
    let Some(bytes) = tables.decisions.bytes(id.as_bytes())? else { return Ok(()) };
    let entry: Entry = codec::decode(WHAT, &bytes)?;
    if is_of(&entry, scope, device) {
        tables.decisions.remove(id.as_bytes())?;
        decisions::follow(tables, id.as_bytes(), Some(&bytes))?;
        keep_other(tables, id.as_bytes(), &bytes)?;
    }
    Ok(())
}

/// Whether an entry is about a device.
fn is_of(entry: &Entry, scope: &IdScope, device: &RegistrationId) -> bool {
    entry.scope.as_ref() == Some(scope) && entry.registration_id.eq_ignore_ascii_case(device.as_str())
}

/// Numbers the entries that led to no registration, in a file from before there was an order: by tracking ids.
pub(super) fn order_others(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { others, others_order, .. } = tables;
    others_order.clear()?;
    let mut next = 1_u64;
    others.each_key(|id| {
        others_order.put_encoded(&next.to_be_bytes(), id)?;
        next = next.saturating_add(1);
        Ok(())
    })
}

/// Stores an entry that led to no registration.
pub(super) struct KeepEntry {
    id: TrackingId,
    entry: Vec<u8>,
    named: Named,
    contents: Vec<Content>,
}

impl KeepEntry {
    pub(super) fn new(entry: &Entry, contents: Vec<Content>) -> Result<Self, StoreError> {
        Ok(Self { id: entry.tracking_id, entry: codec::encode(entry)?, named: Named::by_entry(entry), contents })
    }
}

impl Write for KeepEntry {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        contents::take(tables, &self.named, &self.contents)?;
        keep_other(tables, self.id.as_bytes(), &self.entry)
    }

    fn size(&self) -> usize {
        self.entry.len()
    }
}

/// Stores a content under its digest.
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

const WHAT: &str = "ledger entry";
