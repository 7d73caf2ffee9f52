//! Finds and removes the rows of the file that nothing refers to.
//!
//! Files of earlier versions hold decisions of registrations that were deleted, and contents (lists of hubs, settings,
//! components) that remained when the last decision that named them was removed. They contradict nothing but take
//! space.

use std::collections::BTreeMap;
use std::ops::Bound;

use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::enrollment::{Allocation, Group, Individual};
use landfall_domain::names::{Digest, RegistrationId};
use landfall_domain::plugin::PublishedPlugin;
use landfall_domain::registration::Registration;
use redb::ReadableTable;

use super::check::each;
use super::codec::key;
use super::engine::Write;
use super::tables::{self, CONTENT, DECISIONS, GROUPS, INDIVIDUALS, OTHERS, PLUGINS, REGISTRATIONS, Tables};
use super::{View, decisions, unreadable, uses};
use crate::{StoreError, Unused};

/// Measures the unused rows. Its memory holds the digests of all contents, and nothing else that grows.
pub(super) fn unused(view: &View) -> Result<Unused, StoreError> {
    let mut unused = Unused::default();
    decisions(view, &[], |_, bytes| {
        unused.decisions += 1;
        unused.bytes = unused.bytes.saturating_add(bytes);
        true
    })?;
    for bytes in contents(view)?.values() {
        unused.contents += 1;
        unused.bytes = unused.bytes.saturating_add(*bytes);
    }
    Ok(unused)
}

/// The next unused decisions after a key, and the last key that was read; `None` when all have been read.
pub(super) fn next_decisions(view: &View, after: &[u8]) -> Result<Option<(Sweep, Vec<u8>)>, StoreError> {
    let mut sweep = Sweep::default();
    decisions(view, after, |id, _| {
        sweep.decisions.push(id.to_vec());
        sweep.decisions.len() < AT_ONCE
    })?;
    Ok(sweep.decisions.last().cloned().map(|last| (sweep, last)))
}

/// All contents that no row names, in several batches.
pub(super) fn unused_contents(view: &View) -> Result<Vec<Sweep>, StoreError> {
    let digests: Vec<Digest> = contents(view)?.into_keys().collect();
    let some = digests.chunks(AT_ONCE).map(|some| Sweep { contents: some.to_vec(), ..Sweep::default() });
    Ok(some.collect())
}

/// A write that removes unused rows.
#[derive(Default)]
pub(super) struct Sweep {
    decisions: Vec<Vec<u8>>,
    contents: Vec<Digest>,
}

impl Write for Sweep {
    /// What was removed.
    type Answer = Unused;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<Unused, StoreError> {
        let mut removed = Unused::default();
        for id in &self.decisions {
            if let Some(entry) = tables.decisions.bytes(id)? {
                removed = removed.and(Unused { decisions: 1, contents: 0, bytes: bytes(entry.len()) });
                tables.decisions.remove(id)?;
                decisions::follow(tables, id, Some(&entry))?;
                removed = removed.and(uses::give_back_entry(tables, &entry)?);
            }
        }
        for digest in &self.contents {
            if let Some(size) = tables.content.size_of(digest.as_bytes())? {
                removed = removed.and(Unused { decisions: 0, contents: 1, bytes: bytes(size) });
                tables.content.remove(digest.as_bytes())?;
            }
            tables.signatures.remove(digest.as_bytes())?;
            tables.kept_components.remove(digest.as_bytes())?;
        }
        Ok(removed)
    }
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// Calls `more` with each unused decision after a key and its size, until `more` returns false.
fn decisions(view: &View, after: &[u8], mut more: impl FnMut(&[u8], u64) -> bool) -> Result<(), StoreError> {
    let registrations = view.table(REGISTRATIONS)?;
    let after = (Bound::Excluded(after), Bound::Unbounded);
    for row in view.table(DECISIONS)?.range::<&[u8]>(after).map_err(unreadable)? {
        let (id, value) = row.map_err(unreadable)?;
        let entry: Entry = super::codec::decode("ledger entry", value.value())?;
        let of = entry.scope.zip(entry.registration_id.parse::<RegistrationId>().ok());
        let explained = match of {
            Some((scope, device)) => {
                let found: Option<Registration> =
                    tables::get(&registrations, "registration", &key(&scope, device.key()))?;
                found.is_some_and(|r| r.decision == entry.tracking_id || r.earlier.contains(&entry.tracking_id))
            }
            None => false,
        };
        if !explained && !more(id.value(), bytes(value.value().len())) {
            break;
        }
    }
    Ok(())
}

/// The contents that no row names, and their sizes.
fn contents(view: &View) -> Result<BTreeMap<Digest, u64>, StoreError> {
    let mut unnamed = BTreeMap::new();
    for row in view.table(CONTENT)?.iter().map_err(unreadable)? {
        let (digest, bytes) = row.map_err(unreadable)?;
        if let Ok(digest) = digest.value().try_into() {
            unnamed.insert(Digest::from_bytes(digest), self::bytes(bytes.value().len()));
        }
    }
    let mut named = |digest: &Digest| {
        unnamed.remove(digest);
    };
    for table in [DECISIONS, OTHERS] {
        each(view, table, "ledger entry", |_, entry: Entry| {
            if let EntryKind::Decided(decision) = &entry.kind {
                named(&decision.hubs);
                for call in &decision.calls {
                    named(&call.revision);
                    named(&call.settings);
                    call.budget.iter().for_each(&mut named);
                }
            }
            Ok(())
        })?;
    }
    each(view, PLUGINS, "published plugin", |_, plugin: PublishedPlugin| {
        std::iter::once(&plugin.live).chain(&plugin.previous).for_each(&mut named);
        Ok(())
    })?;
    let mut bound = |allocation: &Allocation| {
        let bindings = std::iter::once(&allocation.selection).chain(&allocation.fallback).chain(&allocation.grouping);
        bindings.filter_map(|binding| binding.revision.as_ref()).for_each(&mut named);
    };
    each(view, GROUPS, "enrollment group", |_, group: Group| {
        bound(&group.terms.allocation);
        Ok(())
    })?;
    each(view, INDIVIDUALS, "individual enrollment", |_, individual: Individual| {
        bound(&individual.terms.allocation);
        Ok(())
    })?;
    Ok(unnamed)
}

/// How many rows are removed in one transaction.
const AT_ONCE: usize = 1000;
