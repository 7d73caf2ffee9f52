//! Lists decisions by time, by device and by enrollment, the newest first, without reading all of them.
//!
//! Every ledger entry, whether it explains a registration or led to none, has one row in each of up to three views of
//! its id scope: the view of all entries, the view of its device, and the view of the enrollment that applied. The key
//! of a row is the scope, the view, the time of the request and its tracking id. So a view can be read backwards from
//! any time. A page begins at a position that stays valid whatever is written or removed meanwhile. The views of a
//! scope hold only the rows of that scope: the position of the next page reveals nothing about other scopes.
//!
//! Hub, policy and result have no views of their own. A registration is written while a device waits, and each view
//! costs one more row in another part of the tree, written there and removed with its entry. Instead, the row in the
//! view of all entries carries a summary of some dozen bytes (result, hub, policies by name and digest). A listing
//! that filters by one of these reads the narrowest view that applies, checks the summaries, and reads only the
//! entries that it returns. One page reads [`MOST_ROWS`] rows at most: when few entries pass, a page may be short or
//! empty although there are more. The cost of the three views is three small rows. The view of all entries and that of
//! a group grow at their end, where the tree is cached; the view of a device keeps its few decisions together among
//! millions.
//!
//! The order of a list is that of the times in the entries. Eviction is different: it goes by the order of arrival,
//! whatever the clock said ([`OTHERS_ORDER`](super::tables::OTHERS_ORDER)).
//!
//! A tracking id can be in both parts of the ledger, when a request waited first and was decided later. Then the entry
//! that explains a registration takes precedence, as in [`ledger::get`](super::ledger::get), and the views have its
//! rows.

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::Entry;
use landfall_domain::names::{Digest, HubName, IdScope, PluginName, RegistrationId, TrackingId};
use redb::ReadableTableMetadata as _;

use super::codec::{self, pair};
use super::tables::{self, DECISION_VIEWS, DECISIONS, OTHERS, Tables};
use super::{View, check, unreadable};
use crate::rules::filters::{device_of, enrollment_of};
use crate::{
    DecisionFilter, DecisionPage, DecisionPlace, DecisionResult, DecisionSummary, Finding, Findings, Listing,
    StoreError,
};

/// The rows of one entry.
pub(super) struct Rows {
    /// The key in the view of all entries, and the summary.
    all: (Vec<u8>, Vec<u8>),
    /// The keys in the other views, which have no values.
    narrower: Vec<Vec<u8>>,
}

impl Rows {
    /// The rows of an entry. An entry without an id scope is in no view.
    pub(super) fn of(entry: &Entry) -> Result<Option<Self>, StoreError> {
        let Some(scope) = &entry.scope else { return Ok(None) };
        let device = device_of(entry);
        let views = [device.as_ref().map(of_device), enrollment_of(entry).as_deref().map(of_enrollment)];
        let place = bytes_of(DecisionPlace::of(entry));
        let key = |view: &str| [pair(scope, view, "").as_slice(), &place].concat();
        Ok(Some(Self {
            all: (key(ALL), codec::encode(&packed(DecisionSummary::of(entry)))?),
            narrower: views.into_iter().flatten().map(|view| key(&view)).collect(),
        }))
    }

    /// The rows of an encoded entry. If the entry cannot be decoded, its rows are unknown: they stay, and [`list`]
    /// skips rows whose entry is gone.
    fn of_kept(entry: &[u8]) -> Result<Option<Self>, StoreError> {
        codec::decode::<Entry>(WHAT, entry).map_or(Ok(None), |entry| Self::of(&entry))
    }

    fn put(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.decision_views.put_encoded(&self.all.0, &self.all.1)?;
        self.narrower.iter().try_for_each(|key| tables.decision_views.put_encoded(key, &[]))
    }

    fn remove(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.decision_views.remove(&self.all.0)?;
        self.narrower.iter().try_for_each(|key| tables.decision_views.remove(key))
    }

    fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let narrower = self.narrower.iter().map(|key| (key.as_slice(), &[] as &[u8]));
        std::iter::once((self.all.0.as_slice(), self.all.1.as_slice())).chain(narrower)
    }
}

/// Updates the views for an entry that explains a registration and was just written.
pub(super) fn explain(tables: &mut Tables<'_>, id: TrackingId, rows: Option<&Rows>) -> Result<(), StoreError> {
    if let Some(other) = tables.others.bytes(id.as_bytes())? {
        Rows::of_kept(&other)?.map_or(Ok(()), |rows| rows.remove(tables))?;
    }
    rows.map_or(Ok(()), |rows| rows.put(tables))
}

/// Updates the views for any other change of the entries of a tracking id. `before` is the earlier entry.
pub(super) fn follow(tables: &mut Tables<'_>, id: &[u8], before: Option<&[u8]>) -> Result<(), StoreError> {
    if let Some(before) = before {
        Rows::of_kept(before)?.map_or(Ok(()), |rows| rows.remove(tables))?;
    }
    let now = match tables.decisions.bytes(id)? {
        Some(entry) => Some(entry),
        None => tables.others.bytes(id)?,
    };
    match now {
        Some(entry) => Rows::of_kept(&entry)?.map_or(Ok(()), |rows| rows.put(tables)),
        None => Ok(()),
    }
}

/// Builds the views anew, for a file of a format with other views.
pub(super) fn make(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    tables.decision_views.clear()?;
    let mut ids = Vec::new();
    for part in [&tables.others, &tables.decisions] {
        part.each_key(|id| {
            ids.push(id.to_vec());
            Ok(())
        })?;
    }
    ids.iter().try_for_each(|id| follow(tables, id, None))
}

/// Reads a page, the newest first.
pub(super) fn list(
    view: &View,
    scope: &IdScope,
    page: &DecisionPage,
    filter: &DecisionFilter,
) -> Result<Listing<Entry>, StoreError> {
    // A device has few decisions, so its view is preferred.
    let walked = match (&filter.device, &filter.enrollment) {
        (Some(device), _) => of_device(device),
        (None, Some(enrollment)) => of_enrollment(&enrollment.to_string()),
        (None, None) => ALL.to_owned(),
    };
    let (prefix, all) = (pair(scope, &walked, ""), pair(scope, ALL, ""));
    let from = |time: Timestamp| [prefix.as_slice(), &time.as_millis().to_be_bytes()].concat();
    let begin = from(filter.from.unwrap_or_default());
    let ends = [
        filter.to.map(from),
        page.after.map(|place| [prefix.as_slice(), &bytes_of(place)].concat()),
        // After all times.
        Some([prefix.as_slice(), &[u8::MAX; PLACE_BYTES + 1]].concat()),
    ];
    let end = ends.into_iter().flatten().min().unwrap_or_default();
    let mut listing = Listing { items: Vec::new(), next: None };
    if begin >= end {
        return Ok(listing);
    }
    let (views, decisions, others) = (view.table(DECISION_VIEWS)?, view.table(DECISIONS)?, view.table(OTHERS)?);
    let by_summary = filter.hub.is_some() || filter.policy.is_some() || filter.result.is_some();
    let mut last_seen: Option<DecisionPlace> = None;
    for (seen, row) in views.range(begin.as_slice()..end.as_slice()).map_err(unreadable)?.rev().enumerate() {
        if listing.items.len() >= page.limit.max(1) || seen >= MOST_ROWS {
            listing.next = last_seen.map(|place| place.to_string());
            break;
        }
        let (key, value) = row.map_err(unreadable)?;
        let damaged = || StoreError::Damaged { what: VIEW, reason: "its key is no place".to_owned() };
        let place = key.value().get(prefix.len()..).and_then(place_of).ok_or_else(damaged)?;
        last_seen = Some(place);
        if by_summary {
            let summary: Option<Packed> = if walked == ALL {
                Some(codec::decode(VIEW, value.value())?)
            } else {
                tables::get(&views, VIEW, &[all.as_slice(), &bytes_of(place)].concat())?
            };
            if !summary.is_some_and(|summary| filter.fits(&unpacked(summary))) {
                continue;
            }
        }
        let entry: Option<Entry> = match tables::get(&decisions, WHAT, place.id.as_bytes())? {
            Some(entry) => Some(entry),
            None => tables::get(&others, WHAT, place.id.as_bytes())?,
        };
        listing.items.extend(entry.filter(|entry| DecisionPlace::of(entry) == place && filter.shows(entry)));
    }
    Ok(listing)
}

/// Checks that each entry is in its views, and that the views have no other rows.
pub(super) fn check(view: &View, findings: &mut Findings) -> Result<(), StoreError> {
    let (decisions, views) = (view.table(DECISIONS)?, view.table(DECISION_VIEWS)?);
    let mut wanted = 0_u64;
    for (part, explains) in [(DECISIONS, true), (OTHERS, false)] {
        check::each::<Entry>(view, part, WHAT, |id, entry| {
            if !explains && decisions.get(id).map_err(unreadable)?.is_some() {
                return Ok(());
            }
            let Some(rows) = Rows::of(&entry)? else { return Ok(()) };
            for (key, value) in rows.all() {
                wanted = wanted.saturating_add(1);
                if views.get(key).map_err(unreadable)?.is_none_or(|row| row.value() != value) {
                    let named =
                        String::from_utf8_lossy(key.get(..key.len().saturating_sub(PLACE_BYTES)).unwrap_or(key));
                    let detail = format!("{} is not in {:?}", entry.tracking_id, named.replace('\0', " "));
                    findings.push(Finding { what: VIEW, detail });
                }
            }
            Ok(())
        })?;
    }
    let there = views.len().map_err(unreadable)?;
    if there != wanted {
        findings.push(Finding { what: VIEW, detail: format!("{there} rows are there, and {wanted} should be") });
    }
    Ok(())
}

fn of_device(id: &RegistrationId) -> String {
    format!("device {}", id.key())
}

/// Registration ids are compared without regard to case.
fn of_enrollment(enrollment: &str) -> String {
    format!("by {}", enrollment.to_ascii_lowercase())
}

/// A position as bytes that sort in the order of positions.
fn bytes_of(place: DecisionPlace) -> [u8; PLACE_BYTES] {
    let mut bytes = [0; PLACE_BYTES];
    let (at, id) = bytes.split_at_mut(8);
    at.copy_from_slice(&place.at.as_millis().to_be_bytes());
    id.copy_from_slice(place.id.as_bytes());
    bytes
}

fn place_of(bytes: &[u8]) -> Option<DecisionPlace> {
    let (at, id) = bytes.split_at_checked(8)?;
    let at = Timestamp::from_millis(u64::from_be_bytes(at.try_into().ok()?));
    Some(DecisionPlace { at, id: TrackingId::from_bytes(id.try_into().ok()?) })
}

/// A summary as it is encoded: a tuple without field names.
type Packed = (u8, Option<HubName>, Vec<(PluginName, Digest)>);

fn packed(summary: DecisionSummary) -> Packed {
    let DecisionSummary { result, hub, policies } = summary;
    let result = match result {
        None => 0,
        Some(DecisionResult::Assigned) => 1,
        Some(DecisionResult::Refused) => 2,
        Some(DecisionResult::Failed) => 3,
        Some(DecisionResult::Waits) => 4,
    };
    (result, hub, policies)
}

fn unpacked((result, hub, policies): Packed) -> DecisionSummary {
    let result = match result {
        1 => Some(DecisionResult::Assigned),
        2 => Some(DecisionResult::Refused),
        3 => Some(DecisionResult::Failed),
        4 => Some(DecisionResult::Waits),
        _ => None,
    };
    DecisionSummary { result, hub, policies }
}

/// The view of all entries of an id scope.
const ALL: &str = "all";
const WHAT: &str = "ledger entry";
const VIEW: &str = "view of the ledger";
/// The size of a time and a tracking id.
const PLACE_BYTES: usize = 24;
/// The maximum number of rows that one page reads.
const MOST_ROWS: usize = 10_000;
