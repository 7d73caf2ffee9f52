//! Checks that the file does not contradict itself.
//!
//! Counts and claims are stored beside the rows from which they are derived, and written in the same transactions. The
//! check derives them anew and names every difference. It runs after a restore, when in doubt, and in the tests after
//! each simulated power failure.

use std::collections::BTreeMap;
use std::fmt;

use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::decision::Entry;
use landfall_domain::enrollment::{EnrollmentRef, Group, Individual};
use landfall_domain::names::{Digest, IdScope, RegistrationId};
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;
use redb::{ReadableTable, ReadableTableMetadata};
use serde::de::DeserializeOwned;

use super::codec::{self, group_keys, key};
use super::tables::{
    self, BOUND_KEYS, CERTIFICATES, CHALLENGES, CONTENT, DECISIONS, Definition, GROUP_COUNTS, GROUPS, HUB_IDENTITIES,
    HUB_LOADS, INDIVIDUALS, ISSUER_KEYS, KEPT_COMPONENTS, META, OTHERS, OTHERS_ORDER, PLUGIN_USES, PLUGINS,
    RECORD_COUNTS, RECORD_VIEWS, RECORDS, REGISTRATION_VIEWS, REGISTRATIONS, SCOPES, USES,
};
use super::{Readable, View, claims, decisions, identities, unreadable, uses, views};
use crate::rules::claims::Claims;
use crate::{Finding, Findings, StoreError};

/// Finds all contradictions, and describes the first of them. Its memory does not grow with the number of devices,
/// except for the counts of groups and contents.
pub(super) fn check(view: &View) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    if let Some(story) = contradiction(view)? {
        findings.push(Finding { what: "database", detail: story });
    }
    registrations(view, &mut findings)?;
    records(view, &mut findings)?;
    enrollments(view, &mut findings)?;
    contents(view, &mut findings)?;
    decisions::check(view, &mut findings)?;
    others(view, &mut findings)?;
    uses_of_contents(view, &mut findings)?;
    each::<KeptChallenge>(view, CHALLENGES, "challenge", |_, _| Ok(()))?;
    each::<KeptKeys>(view, ISSUER_KEYS, "keys of an issuer", |_, _| Ok(()))?;
    Ok(findings)
}

/// A quick check on each opening of the file: compares numbers of rows with stored counts. A file that was copied
/// while it was written can be a valid database and yet correspond to no state that the store ever had.
pub(super) fn contradiction(view: &impl Readable) -> Result<Option<String>, StoreError> {
    let meta = view.readable(META)?;
    let registered = tables::get::<u64>(&meta, "file property", super::registrations::REGISTERED)?.unwrap_or(0);
    let there = view.readable(REGISTRATIONS)?.len().map_err(unreadable)?;
    if registered != there {
        return Ok(Some(format!("{there} registrations are there, and {registered} were written")));
    }
    let mut on_hubs = 0_u64;
    each(view, HUB_LOADS, "count of a hub", |_, count: u64| {
        on_hubs = on_hubs.saturating_add(count);
        Ok(())
    })?;
    let (groups, mut placed) = (view.readable(GROUP_COUNTS)?, 0_u64);
    each(view, SCOPES, "id scope", |row, _: u64| {
        let all = key(&scope_of("id scope", row)?, "");
        placed = placed.saturating_add(tables::get(&groups, "count of a group", &all)?.unwrap_or(0));
        Ok(())
    })?;
    if on_hubs != placed || placed > there {
        let story = "registrations are there, the hubs count";
        return Ok(Some(format!("{there} {story} {on_hubs} devices, and the groups {placed}")));
    }
    let mut counted = 0_u64;
    each(view, RECORD_COUNTS, "count of a manufacturer", |_, count: u64| {
        counted = counted.saturating_add(count);
        Ok(())
    })?;
    let records = view.readable(RECORDS)?.len().map_err(unreadable)?;
    let story = format!("{records} manufacturing records are there, and {counted} are counted");
    Ok((counted != records).then_some(story))
}

fn registrations(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let what = "registration";
    let (decisions, bound) = (view.table(DECISIONS)?, view.table(BOUND_KEYS)?);
    let (in_views, identities) = (view.table(REGISTRATION_VIEWS)?, view.table(HUB_IDENTITIES)?);
    let mut rows_of_views = 0_u64;
    let (mut hubs, mut groups) = (Counts::new(), Counts::new());
    each(view, REGISTRATIONS, what, |row, registration: Registration| {
        let scope = scope_of(what, row)?;
        let id = &registration.registration_id;
        let mut find = |what, detail| findings.push(Finding { what, detail });
        if row != key(&scope, id.key()) {
            find(what, format!("{id} stands under another's key"));
        }
        match tables::get::<Entry>(&decisions, "ledger entry", registration.decision.as_bytes())? {
            Some(entry) if entry.tracking_id == registration.decision => {}
            _ => find(what, format!("{id} has no ledger entry {} to explain it", registration.decision)),
        }
        if let Some(shown) = registration.key_identity {
            let owner = key(&scope, shown.to_string());
            if tables::get::<RegistrationId>(&bound, BINDING, &owner)?.is_none() {
                find(BINDING, format!("the key {shown} belongs to {id}, and no row says so"));
            }
        }
        for row in views::of_registration(&scope, &registration) {
            rows_of_views = rows_of_views.saturating_add(1);
            if in_views.get(row.as_slice()).map_err(unreadable)?.is_none() {
                find(VIEW, format!("{id} is not in {:?}", named(&row)));
            }
        }
        if let Some(row) = identities::row(&scope, &registration)
            && identities.get(row.as_slice()).map_err(unreadable)?.is_none()
        {
            find(IDENTITY, format!("{:?} is {id}, and no row says so", named(&row)));
        }
        if let Some(assignment) = registration.assignment() {
            *hubs.entry(key(&scope, assignment.hub.as_str())).or_default() += 1;
            for group in group_keys(&scope, &assignment.group_path) {
                *groups.entry(group).or_default() += 1;
            }
        }
        Ok(())
    })?;
    bindings(view, findings)?;
    owners_of_identities(view, findings)?;
    let there = in_views.len().map_err(unreadable)?;
    if there != rows_of_views {
        findings.push(Finding { what: VIEW, detail: format!("{there} rows are there, and {rows_of_views} should be") });
    }
    compare(view, HUB_LOADS, "count of a hub", &hubs, named, findings)?;
    compare(view, GROUP_COUNTS, "count of a group", &groups, named, findings)
}

/// Checks that each key belongs to a device that has it.
fn bindings(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let registrations = view.table(REGISTRATIONS)?;
    each(view, BOUND_KEYS, BINDING, |row, owner: RegistrationId| {
        let (scope, shown) = codec::parts(BINDING, row)?;
        let found: Option<Registration> = tables::get(&registrations, "registration", &key(&scope, owner.key()))?;
        let has = found.and_then(|registration| registration.key_identity).map(|key| key.to_string());
        if has.as_ref() != Some(&shown) {
            let detail = format!("the key {shown} is said to belong to {owner}, which has {has:?}");
            findings.push(Finding { what: BINDING, detail });
        }
        Ok(())
    })
}

/// Checks that each identity in a hub belongs to the device that has it.
fn owners_of_identities(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let registrations = view.table(REGISTRATIONS)?;
    each(view, HUB_IDENTITIES, IDENTITY, |row, owner: RegistrationId| {
        let scope = scope_of(IDENTITY, row)?;
        let found: Option<Registration> = tables::get(&registrations, "registration", &key(&scope, owner.key()))?;
        if found.and_then(|registration| identities::row(&scope, &registration)).as_deref() != Some(row) {
            let detail = format!("{:?} is said to be {owner}, which is not called so", named(row));
            findings.push(Finding { what: IDENTITY, detail });
        }
        Ok(())
    })
}

/// A key of a row as readable text.
fn named(row: &[u8]) -> String {
    String::from_utf8_lossy(row).replace('\0', " ")
}

/// The key of a row as text, if the key is a digest.
fn digest(row: &[u8]) -> String {
    <[u8; 32]>::try_from(row).map_or_else(|_| named(row), |bytes| Digest::from_bytes(bytes).to_string())
}

/// Checks that each entry that can be evicted has a place in the order of eviction.
fn others(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let what = "order of the ledger";
    let (table, order) = (view.table(OTHERS)?, view.table(OTHERS_ORDER)?);
    for row in order.iter().map_err(unreadable)? {
        let (_, id) = row.map_err(unreadable)?;
        if table.get(id.value()).map_err(unreadable)?.is_none() {
            findings.push(Finding { what, detail: format!("{:02x?} is not there", id.value()) });
        }
    }
    let (numbered, all) = (order.len().map_err(unreadable)?, table.len().map_err(unreadable)?);
    if numbered != all {
        findings.push(Finding { what, detail: format!("{all} entries are there, and {numbered} have a turn") });
    }
    Ok(())
}

fn records(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let what = "manufacturing record";
    let (mut manufacturers, mut rows_of_views) = (Counts::new(), 0_u64);
    let in_views = view.table(RECORD_VIEWS)?;
    each(view, RECORDS, what, |row, record: ManufacturingRecord| {
        let scope = scope_of(what, row)?;
        for row in views::of_record(&scope, &record) {
            rows_of_views = rows_of_views.saturating_add(1);
            if in_views.get(row.as_slice()).map_err(unreadable)?.is_none() {
                let detail = format!("{} is not in {:?}", record.registration_id, named(&row));
                findings.push(Finding { what: RECORD_VIEW, detail });
            }
        }
        *manufacturers.entry(key(&scope, record.manufacturer.as_str())).or_default() += 1;
        Ok(())
    })?;
    let there = in_views.len().map_err(unreadable)?;
    if there != rows_of_views {
        let detail = format!("{there} rows are there, and {rows_of_views} should be");
        findings.push(Finding { what: RECORD_VIEW, detail });
    }
    compare(view, RECORD_COUNTS, "count of a manufacturer", &manufacturers, named, findings)
}

fn enrollments(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let mut missing = |scope: &IdScope, claims: Claims| {
        let (held, plugins) = (claims::held_rows(scope, &claims), claims::plugin_rows(scope, &claims));
        claimed(view, (CERTIFICATES, "use of a certificate"), &held, &claims.owner, findings)?;
        claimed(view, (PLUGIN_USES, "use of a plugin"), &plugins, &claims.owner, findings)
    };
    each(view, INDIVIDUALS, "individual enrollment", |row, entry: Individual| {
        let scope = scope_of("individual enrollment", row)?;
        missing(&scope, Claims::of_individual(&scope, &entry))
    })?;
    each(view, GROUPS, "enrollment group", |row, group: Group| {
        let scope = scope_of("enrollment group", row)?;
        missing(&scope, Claims::of_group(&scope, &group))
    })?;
    for (table, what) in [(CERTIFICATES, "use of a certificate"), (PLUGIN_USES, "use of a plugin")] {
        each(view, table, what, |row, owner: EnrollmentRef| {
            if !holds(view, &scope_of(what, row)?, &owner, row)? {
                let name = String::from_utf8_lossy(row).replace('\0', " ");
                let detail = format!("{name:?} is said to be held by {owner}, which does not hold it");
                findings.push(Finding { what, detail });
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Reports the claim rows of an enrollment that are missing or belong to another one.
fn claimed(
    view: &View,
    (table, what): (Definition, &'static str),
    rows: &[Vec<u8>],
    owner: &EnrollmentRef,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let table = view.table(table)?;
    for row in rows {
        let stands: Option<EnrollmentRef> = tables::get(&table, what, row)?;
        if stands.as_ref() != Some(owner) {
            let name = String::from_utf8_lossy(row).replace('\0', " ");
            findings.push(Finding { what, detail: format!("{name:?} is {stands:?} and should be {owner:?}") });
        }
    }
    Ok(())
}

/// Whether an enrollment holds what a claim row states.
fn holds(view: &View, scope: &IdScope, owner: &EnrollmentRef, row: &[u8]) -> Result<bool, StoreError> {
    let claims = match owner {
        EnrollmentRef::Individual(id) => {
            let found: Option<Individual> =
                tables::get(&view.table(INDIVIDUALS)?, "individual enrollment", &key(scope, id.key()))?;
            found.map(|entry| Claims::of_individual(scope, &entry))
        }
        EnrollmentRef::Group(id) => {
            let found: Option<Group> = tables::get(&view.table(GROUPS)?, "enrollment group", &key(scope, id.as_str()))?;
            found.map(|group| Claims::of_group(scope, &group))
        }
    };
    Ok(claims.is_some_and(|claims| {
        let rows = [claims::held_rows(scope, &claims), claims::plugin_rows(scope, &claims)];
        rows.iter().flatten().any(|claim| claim == row)
    }))
}

fn contents(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    for row in view.table(CONTENT)?.iter().map_err(unreadable)? {
        let (digest, bytes) = row.map_err(unreadable)?;
        if digest.value() != Digest::of(bytes.value()).as_bytes() {
            let detail = format!("{} bytes do not have their digest", bytes.value().len());
            findings.push(Finding { what: "content", detail });
        }
    }
    Ok(())
}

/// Checks that the reference count of each content is right, and that exactly those components are marked as kept that
/// only decisions and enrollments name.
fn uses_of_contents(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let uses::Expected { counts, components: mut kept } = uses::expected(view)?;
    compare(view, USES, "use of a content", &counts, digest, findings)?;
    each(view, PLUGINS, "published plugin", |_, plugin: PublishedPlugin| {
        for (revision, _) in plugin.revisions() {
            kept.remove(&revision);
        }
        Ok(())
    })?;
    let contents = view.table(CONTENT)?;
    let mut sizes = BTreeMap::new();
    for component in kept {
        if let Some(bytes) = contents.get(component.as_bytes().as_slice()).map_err(unreadable)? {
            sizes.insert(component.as_bytes().to_vec(), u64::try_from(bytes.value().len()).unwrap_or(u64::MAX));
        }
    }
    let what = "component that is kept";
    let mut there = 0_usize;
    each(view, KEPT_COMPONENTS, what, |row, kept: KeptComponent| {
        let size = sizes.get(row).copied();
        there += usize::from(size.is_some());
        if size != Some(kept.bytes) {
            let detail =
                format!("{} of {} has {} bytes and should have {size:?}", digest(row), kept.plugin, kept.bytes);
            findings.push(Finding { what, detail });
        }
        Ok(())
    })?;
    if there < sizes.len() {
        let detail = format!("{there} rows are there, and {} should be", sizes.len());
        findings.push(Finding { what, detail });
    }
    Ok(())
}

const BINDING: &str = "binding of a key";
const VIEW: &str = "view of registrations";
const RECORD_VIEW: &str = "view of manufacturing records";
const IDENTITY: &str = "identity in a hub";

type Counts = BTreeMap<Vec<u8>, u64>;

/// Reports every row that is different, missing or superfluous.
fn compare<T: DeserializeOwned + PartialEq + fmt::Debug>(
    view: &View,
    definition: Definition,
    what: &'static str,
    wanted: &BTreeMap<Vec<u8>, T>,
    called: fn(&[u8]) -> String,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut find = |key: &[u8], stands: Option<&T>, wanted: Option<&T>| {
        findings.push(Finding { what, detail: format!("{:?} is {stands:?} and should be {wanted:?}", called(key)) });
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

/// Calls `look` for every row of a table, decoded.
pub(super) fn each<T: DeserializeOwned>(
    view: &impl Readable,
    definition: Definition,
    what: &'static str,
    mut look: impl FnMut(&[u8], T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for row in view.readable(definition)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        look(key.value(), codec::decode(what, value.value())?)?;
    }
    Ok(())
}

fn scope_of(what: &'static str, key: &[u8]) -> Result<IdScope, StoreError> {
    codec::parts(what, key).map(|(scope, _)| scope)
}
