//! Migrates a file of an earlier version to the current format.
//!
//! [`STEPS`] is an ordered list. All steps that a file needs run in one transaction, which also writes the new format:
//! a file is of the old format or of the new one, never in between. A step may run again over its own result: it
//! computes its rows from scratch, or leaves existing ones unchanged.
//!
//! To add a table that is derived from other tables, add a step that fills it, and name the table in `fills`. To add a
//! table that begins empty, add it to `tables!` only.

use std::collections::{BTreeMap, BTreeSet};

use landfall_domain::enrollment::{Allocation, Group, Individual};
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::PublishedPlugin;
use landfall_domain::plugin::signature::{Over, Signature};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;

use super::claims::{held_rows, plugin_rows};
use super::codec::{self, group_keys, key};
use super::tables::{
    BOUND_KEYS, CERTIFICATES, DECISION_VIEWS, Definition, GROUP_COUNTS, HUB_IDENTITIES, HUB_LOADS, KEPT_COMPONENTS,
    OTHERS_ORDER, PLUGIN_USES, RECORD_COUNTS, RECORD_VIEWS, REGISTRATION_VIEWS, REVOCATIONS, Rows, Tables, USES,
};
use super::{components, decisions, identities, ledger, registrations, revocations, uses, views};
use crate::StoreError;
use crate::rules::claims::Claims;

/// The format that this version writes, and the newest that it reads.
///
/// It increases at most once a release: when a release adds a derived table, or a field that an older version must not
/// drop when it writes a row again.
pub(super) const FORMAT: u32 = 3;

/// One step of a migration.
pub(super) struct Step {
    /// Runs for files of a format below this one.
    pub(super) since: u32,
    /// Also runs for files that lack one of these tables.
    pub(super) fills: &'static [Definition],
    pub(super) run: fn(&mut Tables<'_>) -> Result<(), StoreError>,
}

impl Step {
    /// Whether a file of this format that lacks these tables needs the step.
    fn is_due(&self, format: u32, missing: &[&str]) -> bool {
        use redb::TableHandle;
        format < self.since || self.fills.iter().any(|table| missing.contains(&table.name()))
    }
}

/// The steps, in the order in which they run.
pub(super) const STEPS: &[Step] = &[
    // Early versions of format 1 had no bindings, and could write registrations into a file that had some.
    Step { since: 2, fills: &[BOUND_KEYS], run: registrations::bind_all },
    Step { since: 2, fills: &[HUB_IDENTITIES], run: identities::claim_all },
    Step { since: 2, fills: &[REGISTRATION_VIEWS], run: views::make_of_registrations },
    Step { since: 2, fills: &[RECORD_VIEWS], run: views::make_of_records },
    // Added together with the order of the ledger: a file that lacks one lacks the other.
    Step { since: 2, fills: &[OTHERS_ORDER], run: registrations::count_all },
    Step { since: 2, fills: &[OTHERS_ORDER], run: ledger::order_others },
    // Format 2 had views of entries that led to no registration, by number; this format has views of all entries, by
    // time.
    Step { since: 3, fills: &[DECISION_VIEWS], run: decisions::make },
    Step { since: 1, fills: &[HUB_LOADS, GROUP_COUNTS], run: count_registrations },
    Step { since: 1, fills: &[RECORD_COUNTS], run: count_records },
    Step { since: 1, fills: &[CERTIFICATES, PLUGIN_USES], run: claim },
    Step { since: 2, fills: &[USES], run: uses::count_all },
    Step { since: 2, fills: &[KEPT_COMPONENTS], run: components::keep_all },
    // Format 1 stored revocations with each authority.
    Step { since: 2, fills: &[REVOCATIONS], run: revocations::take_over },
    // Format 1 stored signatures that do not cover names.
    Step { since: 2, fills: &[], run: name_signatures },
];

/// Computes all derived tables anew, in a file of this format. Revocations are excluded: only format 1 stored them
/// with the authorities.
pub(super) fn make_again(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    use redb::TableHandle;
    let derived = |step: &&Step| step.fills.iter().all(|table| table.name() != REVOCATIONS.name());
    STEPS.iter().filter(derived).try_for_each(|step| (step.run)(tables))
}

/// Runs the steps that a file needs, and writes the format.
pub(super) fn bring_up(tables: &mut Tables<'_>, format: u32, missing: &[&str]) -> Result<(), StoreError> {
    for step in STEPS.iter().filter(|step| step.is_due(format, missing)) {
        (step.run)(tables)?;
    }
    tables.meta.put(FORMAT_KEY, &FORMAT)
}

/// Recomputes the numbers of devices of the hubs and groups.
fn count_registrations(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { registrations, hub_loads, group_counts, .. } = tables;
    hub_loads.clear()?;
    group_counts.clear()?;
    registrations.each(|row, registration: Registration| {
        let Some(assignment) = registration.assignment() else { return Ok(()) };
        let (scope, _) = codec::parts("registration", row)?;
        add_one(hub_loads, &key(&scope, assignment.hub.as_str()))?;
        group_keys(&scope, &assignment.group_path).iter().try_for_each(|group| add_one(group_counts, group))
    })
}

/// Recomputes the number of records of each manufacturer.
fn count_records(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { records, record_counts, .. } = tables;
    record_counts.clear()?;
    records.each(|row, record: ManufacturingRecord| {
        let (scope, _) = codec::parts("manufacturing record", row)?;
        add_one(record_counts, &key(&scope, record.manufacturer.as_str()))
    })
}

/// Recomputes the claims of all enrollments. Of two enrollments that hold the same, the first gets it.
fn claim(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { individuals, groups, certificates, plugin_uses, .. } = tables;
    certificates.clear()?;
    plugin_uses.clear()?;
    let mut take = |scope: &IdScope, claims: Claims| {
        for row in held_rows(scope, &claims) {
            if !certificates.has(&row)? {
                certificates.put(&row, &claims.owner)?;
            }
        }
        plugin_rows(scope, &claims).iter().try_for_each(|row| plugin_uses.put(row, &claims.owner))
    };
    individuals.each(|row, entry: Individual| {
        let (scope, _) = codec::parts("individual enrollment", row)?;
        take(&scope, Claims::of_individual(&scope, &entry))
    })?;
    groups.each(|row, group: Group| {
        let (scope, _) = codec::parts("enrollment group", row)?;
        take(&scope, Claims::of_group(&scope, &group))
    })
}

/// Makes a signature over bytes alone count for the names under which its component was published, and for no other
/// name.
fn name_signatures(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { plugins, individuals, groups, signatures, .. } = tables;
    let mut bare: Vec<(Vec<u8>, Vec<Signature>)> = Vec::new();
    signatures.each(|row, kept: Vec<Signature>| {
        if kept.iter().any(|signature| signature.over == Over::Bytes) {
            bare.push((row.to_vec(), kept));
        }
        Ok(())
    })?;
    if bare.is_empty() {
        return Ok(());
    }
    let mut names: BTreeMap<Digest, BTreeSet<PluginName>> = BTreeMap::new();
    plugins.each(|_, plugin: PublishedPlugin| {
        for (revision, _) in plugin.revisions() {
            names.entry(revision).or_default().insert(plugin.name.clone());
        }
        Ok(())
    })?;
    let mut pinned = |allocation: &Allocation| {
        for binding in allocation.bindings() {
            if let Some(revision) = binding.revision {
                names.entry(revision).or_default().insert(binding.plugin.clone());
            }
        }
        Ok(())
    };
    individuals.each(|_, entry: Individual| pinned(&entry.terms.allocation))?;
    groups.each(|_, group: Group| pinned(&group.terms.allocation))?;
    for (row, kept) in bare {
        let digest = <[u8; 32]>::try_from(row.as_slice()).map(Digest::from_bytes);
        let theirs = digest.ok().and_then(|digest| names.get(&digest));
        let mut named = Vec::new();
        for signature in kept {
            let of = |name: &PluginName| Signature { over: Over::BytesFor(name.clone()), ..signature.clone() };
            match signature.over {
                Over::Bytes => named.extend(theirs.into_iter().flatten().map(of)),
                _ => named.push(signature),
            }
        }
        signatures.put(&row, &named)?;
    }
    Ok(())
}

fn add_one(counts: &mut Rows<'_>, key: &[u8]) -> Result<(), StoreError> {
    let count = counts.count(key)?.saturating_add(1);
    counts.set_count(key, count)
}

/// The key of the format.
pub(super) const FORMAT_KEY: &[u8] = b"format";
