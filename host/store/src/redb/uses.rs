//! Recomputes the reference counts of contents; [`contents`](crate::rules::contents) defines what counts.

use std::collections::{BTreeMap, BTreeSet};

use landfall_domain::decision::Entry;
use landfall_domain::enrollment::{Group, Individual};
use landfall_domain::names::Digest;

use super::check::each;
use super::tables::{DECISIONS, GROUPS, INDIVIDUALS, OTHERS, Tables};
use super::{Readable, codec};
use crate::rules::contents::{self, Named};
use crate::{StoreError, Unused};

/// Uncounts the contents of an encoded entry that is removed. An entry that cannot be decoded is removed all the same:
/// nobody could read it, and it must not keep its device from registering. `landfall store check` finds the wrong
/// count.
pub(super) fn give_back_entry(tables: &mut Tables<'_>, entry: &[u8]) -> Result<Unused, StoreError> {
    match codec::decode::<Entry>("ledger entry", entry) {
        Ok(entry) => contents::give_back(tables, &Named::by_entry(&entry)),
        Err(error) => {
            tracing::error!(%error, "an entry of the ledger is removed that cannot be understood");
            Ok(Unused::default())
        }
    }
}

/// Recomputes the counts of all contents.
pub(super) fn count_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let mut counted = BTreeMap::new();
    each_named(tables, |named| count(&mut counted, &named))?;
    tables.uses.clear()?;
    counted.iter().try_for_each(|(digest, count)| tables.uses.set_count(digest.as_bytes(), *count))
}

/// Calls `tell` with the contents that each row names.
pub(super) fn each_named(tables: &Tables<'_>, mut tell: impl FnMut(Named)) -> Result<(), StoreError> {
    let Tables { decisions, others, individuals, groups, .. } = tables;
    for entries in [decisions, others] {
        entries.each(|_, entry: Entry| {
            tell(Named::by_entry(&entry));
            Ok(())
        })?;
    }
    individuals.each(|row, entry: Individual| {
        let (scope, _) = codec::parts("individual enrollment", row)?;
        tell(Named::by_allocation(&scope, &entry.terms.allocation));
        Ok(())
    })?;
    groups.each(|row, group: Group| {
        let (scope, _) = codec::parts("enrollment group", row)?;
        tell(Named::by_allocation(&scope, &group.terms.allocation));
        Ok(())
    })
}

/// The expected rows of the table of uses.
pub(super) struct Expected {
    /// How many rows name each content, by the key of the table.
    pub(super) counts: BTreeMap<Vec<u8>, u64>,
    /// Which of these contents are components.
    pub(super) components: BTreeSet<Digest>,
}

/// Computes how many rows name each content.
pub(super) fn expected(view: &impl Readable) -> Result<Expected, StoreError> {
    let (mut counted, mut all) = (BTreeMap::new(), BTreeSet::new());
    let mut name = |named: Named| {
        all.extend(named.components());
        count(&mut counted, &named);
        Ok(())
    };
    for table in [DECISIONS, OTHERS] {
        each(view, table, "ledger entry", |_, entry: Entry| name(Named::by_entry(&entry)))?;
    }
    each(view, INDIVIDUALS, "individual enrollment", |row, entry: Individual| {
        let (scope, _) = codec::parts("individual enrollment", row)?;
        name(Named::by_allocation(&scope, &entry.terms.allocation))
    })?;
    each(view, GROUPS, "enrollment group", |row, group: Group| {
        let (scope, _) = codec::parts("enrollment group", row)?;
        name(Named::by_allocation(&scope, &group.terms.allocation))
    })?;
    let counts = counted.into_iter().map(|(digest, count)| (digest.as_bytes().to_vec(), count)).collect();
    Ok(Expected { counts, components: all })
}

fn count(counted: &mut BTreeMap<Digest, u64>, named: &Named) {
    named.all().for_each(|digest| *counted.entry(*digest).or_default() += 1);
}
