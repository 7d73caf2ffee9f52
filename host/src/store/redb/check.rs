//! Whether the file says the same in all its places.
//!
//! Counts and claims are kept beside what they are made from, in the same transactions. This makes them again from
//! scratch and names every difference: after a restore, in doubt, and after each simulated power failure of the tests.

use std::collections::BTreeMap;
use std::fmt;

use redb::ReadableTable;
use serde::de::DeserializeOwned;

use super::codec::{self, group_keys, key};
use super::enrollments::Claims;
use super::tables::{
    self, BOUND_KEYS, CERTIFICATES, CHALLENGES, CONTENT, DECISIONS, Definition, GROUP_COUNTS, GROUPS, HUB_IDENTITIES,
    HUB_LOADS, INDIVIDUALS, ISSUER_KEYS, OTHERS, PLUGIN_USES, RECORD_COUNTS, RECORD_VIEWS, RECORDS, REGISTRATION_VIEWS,
    REGISTRATIONS,
};
use super::{View, identities, unreadable, views};
use crate::attestation::tpm::challenge::KeptChallenge;
use crate::enrollment::{EnrollmentRef, Group, Individual};
use crate::issuers::KeptKeys;
use crate::ledger::Entry;
use crate::names::{Digest, IdScope};
use crate::registration::Registration;
use crate::registry::ManufacturingRecord;
use crate::store::StoreError;

/// Something in the file that contradicts something else in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of thing.
    pub what: &'static str,
    /// Which one, what stands there, and what should.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)
    }
}

/// All contradictions.
pub(super) fn check(view: &View) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    registrations(view, &mut findings)?;
    records(view, &mut findings)?;
    enrollments(view, &mut findings)?;
    contents(view, &mut findings)?;
    each::<Entry>(view, OTHERS, "ledger entry", |_, _| Ok(()))?;
    each::<KeptChallenge>(view, CHALLENGES, "challenge", |_, _| Ok(()))?;
    each::<KeptKeys>(view, ISSUER_KEYS, "keys of an issuer", |_, _| Ok(()))?;
    Ok(findings)
}

fn registrations(view: &View, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let what = "registration";
    let decisions = view.table(DECISIONS)?;
    let (mut hubs, mut groups) = (Counts::new(), Counts::new());
    let (mut bound, mut identities) = (BTreeMap::new(), BTreeMap::new());
    let mut in_views = BTreeMap::new();
    each(view, REGISTRATIONS, what, |row, registration: Registration| {
        let scope = scope_of(what, row)?;
        let mut find = |detail| findings.push(Finding { what, detail });
        if row != key(&scope, registration.registration_id.key()) {
            find(format!("{} stands under another's key", registration.registration_id));
        }
        match tables::get::<Entry>(&decisions, "ledger entry", registration.decision.as_bytes())? {
            Some(entry) if entry.tracking_id == registration.decision => {}
            _ => find(format!(
                "{} has no ledger entry {} to explain it",
                registration.registration_id, registration.decision
            )),
        }
        if let Some(shown) = registration.key_identity {
            bound.entry(key(&scope, shown.to_string())).or_insert_with(|| registration.registration_id.clone());
        }
        in_views.extend(views::of_registration(&scope, &registration).into_iter().map(|row| (row, ())));
        if let Some(row) = identities::row(&scope, &registration) {
            identities.entry(row).or_insert_with(|| registration.registration_id.clone());
        }
        if let Some(assignment) = registration.assignment() {
            *hubs.entry(key(&scope, assignment.hub.as_str())).or_default() += 1;
            for group in group_keys(&scope, &assignment.group_path) {
                *groups.entry(group).or_default() += 1;
            }
        }
        Ok(())
    })?;
    compare(view, BOUND_KEYS, "binding of a key", &bound, findings)?;
    compare(view, REGISTRATION_VIEWS, "view of registrations", &in_views, findings)?;
    compare(view, HUB_IDENTITIES, "identity in a hub", &identities, findings)?;
    compare(view, HUB_LOADS, "count of a hub", &hubs, findings)?;
    compare(view, GROUP_COUNTS, "count of a group", &groups, findings)
}

fn records(view: &View, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let what = "manufacturing record";
    let (mut manufacturers, mut in_views) = (Counts::new(), BTreeMap::new());
    each(view, RECORDS, what, |row, record: ManufacturingRecord| {
        let scope = scope_of(what, row)?;
        in_views.extend(views::of_record(&scope, &record).into_iter().map(|row| (row, ())));
        *manufacturers.entry(key(&scope, record.manufacturer.as_str())).or_default() += 1;
        Ok(())
    })?;
    compare(view, RECORD_VIEWS, "view of manufacturing records", &in_views, findings)?;
    compare(view, RECORD_COUNTS, "count of a manufacturer", &manufacturers, findings)
}

fn enrollments(view: &View, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let mut claimed = Vec::new();
    each(view, INDIVIDUALS, "individual enrollment", |row, entry: Individual| {
        claimed.push(Claims::of_individual(&scope_of("individual enrollment", row)?, &entry));
        Ok(())
    })?;
    each(view, GROUPS, "enrollment group", |row, group: Group| {
        claimed.push(Claims::of_group(&scope_of("enrollment group", row)?, &group));
        Ok(())
    })?;
    let (mut certificates, mut plugins) = (BTreeMap::new(), BTreeMap::new());
    for claims in claimed {
        let (theirs, uses, owner) = claims.into_rows();
        certificates.extend(theirs.into_iter().map(|key| (key, owner.clone())));
        plugins.extend(uses.into_iter().map(|key| (key, owner.clone())));
    }
    compare::<EnrollmentRef>(view, CERTIFICATES, "use of a certificate", &certificates, findings)?;
    compare::<EnrollmentRef>(view, PLUGIN_USES, "use of a plugin", &plugins, findings)
}

fn contents(view: &View, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    for row in view.table(CONTENT)?.iter().map_err(unreadable)? {
        let (digest, bytes) = row.map_err(unreadable)?;
        if digest.value() != Digest::of(bytes.value()).as_bytes() {
            let detail = format!("{} bytes do not have their digest", bytes.value().len());
            findings.push(Finding { what: "content", detail });
        }
    }
    Ok(())
}

type Counts = BTreeMap<Vec<u8>, u64>;

/// Names every row that is not as it should be, is missing, or should not be.
fn compare<T: DeserializeOwned + PartialEq + fmt::Debug>(
    view: &View,
    definition: Definition,
    what: &'static str,
    wanted: &BTreeMap<Vec<u8>, T>,
    findings: &mut Vec<Finding>,
) -> Result<(), StoreError> {
    let mut find = |key: &[u8], stands: Option<&T>, wanted: Option<&T>| {
        let name = String::from_utf8_lossy(key).replace('\0', " ");
        findings.push(Finding { what, detail: format!("{name:?} is {stands:?} and should be {wanted:?}") });
    };
    let mut found = 0_usize;
    each(view, definition, what, |key, stands: T| {
        let wanted = wanted.get(key);
        found += usize::from(wanted.is_some());
        if wanted != Some(&stands) {
            find(key, Some(&stands), wanted);
        }
        Ok(())
    })?;
    if found < wanted.len() {
        let table = view.table(definition)?;
        for (key, wanted) in wanted {
            if table.get(key.as_slice()).map_err(unreadable)?.is_none() {
                find(key, None, Some(wanted));
            }
        }
    }
    Ok(())
}

/// Every row of a table, decoded.
fn each<T: DeserializeOwned>(
    view: &View,
    definition: Definition,
    what: &'static str,
    mut look: impl FnMut(&[u8], T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for row in view.table(definition)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        look(key.value(), codec::decode(what, value.value())?)?;
    }
    Ok(())
}

fn scope_of(what: &'static str, key: &[u8]) -> Result<IdScope, StoreError> {
    codec::parts(what, key).map(|(scope, _)| scope)
}
