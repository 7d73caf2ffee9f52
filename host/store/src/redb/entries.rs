//! Which of the ledger's entries that led to no registration are a device's, or of an enrollment's devices: newest first.
//!
//! A view is a name and the numbers under which the entries came ([`OTHERS_ORDER`](super::tables::OTHERS_ORDER)), so that
//! they are in the order in which they came, whatever the clock said. A row's value is the tracking id.

use landfall_domain::decision::Entry;
use landfall_domain::names::{IdScope, RegistrationId};

use super::codec::{self, pair};
use super::tables::{self, OTHER_VIEWS, OTHERS, Tables};
use super::{View, unreadable};
use crate::rules::filters::{device_of, enrollment_of};
use crate::{EntryFilter, Listing, Page, StoreError};

/// The view of all of an id scope.
const ALL: &str = "all";

fn of_device(id: &RegistrationId) -> String {
    format!("device {}", id.key())
}

/// A registration id is one in any case of its letters; the filter tells groups apart that differ in it.
fn of_enrollment(enrollment: &str) -> String {
    format!("by {}", enrollment.to_ascii_lowercase())
}

/// The rows that an entry has under its number. What names no id scope is in no view.
pub(super) fn rows_of(number: u64, entry: &Entry) -> Vec<Vec<u8>> {
    rows(&text_of(number), entry)
}

fn rows(number: &str, entry: &Entry) -> Vec<Vec<u8>> {
    let Some(scope) = &entry.scope else { return Vec::new() };
    let device = device_of(entry);
    let views = [
        Some(ALL.to_owned()),
        device.as_ref().map(of_device),
        enrollment_of(entry).map(|enrollment| of_enrollment(&enrollment)),
    ];
    views.into_iter().flatten().map(|view| pair(scope, &view, number)).collect()
}

/// The number of an entry as text: in the order of the numbers.
fn text_of(number: u64) -> String {
    format!("{number:016x}")
}

/// Puts an entry into its views, under the number that it came under.
pub(super) fn add(tables: &mut Tables<'_>, number: u64, id: &[u8], entry: &[u8]) -> Result<(), StoreError> {
    let entry: Entry = codec::decode(WHAT, entry)?;
    rows(&text_of(number), &entry).iter().try_for_each(|row| tables.other_views.put_encoded(row, id))
}

/// Takes an entry out of them. One that cannot be understood is left in them: it must not keep its place for ever, and
/// [`list`] passes over a row whose entry is gone.
pub(super) fn remove(tables: &mut Tables<'_>, number: &[u8], entry: &[u8]) -> Result<(), StoreError> {
    let Ok(number) = <[u8; 8]>::try_from(number) else { return Ok(()) };
    let Ok(entry) = codec::decode::<Entry>(WHAT, entry) else { return Ok(()) };
    rows(&text_of(u64::from_be_bytes(number)), &entry).iter().try_for_each(|row| tables.other_views.remove(row))
}

/// Makes the views of a file that was written before there were any.
pub(super) fn make(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    tables.other_views.clear()?;
    let mut numbers = Vec::new();
    tables.others_order.each_key(|number| {
        numbers.push(number.to_vec());
        Ok(())
    })?;
    for number in numbers {
        let Some(id) = tables.others_order.bytes(&number)? else { continue };
        if let (Some(entry), Ok(number)) = (tables.others.bytes(&id)?, <[u8; 8]>::try_from(number.as_slice())) {
            add(tables, u64::from_be_bytes(number), &id, &entry)?;
        }
    }
    Ok(())
}

/// A page, newest first.
pub(super) fn list(
    view: &View,
    scope: &IdScope,
    page: &Page,
    filter: &EntryFilter,
) -> Result<Listing<Entry>, StoreError> {
    // A device has few: the narrower view first.
    let walked = match (&filter.device, &filter.enrollment) {
        (Some(device), _) => of_device(device),
        (None, Some(enrollment)) => of_enrollment(&enrollment.to_string()),
        (None, None) => ALL.to_owned(),
    };
    let begin = pair(scope, &walked, "");
    let end = match page.after.as_deref() {
        Some(after) if after.len() == 16 && after.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            pair(scope, &walked, after)
        }
        Some(_) => return Ok(Listing { items: Vec::new(), next: None }),
        // Behind all numbers.
        None => pair(scope, &walked, "g"),
    };
    let (views, entries) = (view.table(OTHER_VIEWS)?, view.table(OTHERS)?);
    let mut listing = Listing { items: Vec::new(), next: None };
    let mut last_seen = None;
    for (seen, row) in views.range(begin.as_slice()..end.as_slice()).map_err(unreadable)?.rev().enumerate() {
        if listing.items.len() >= page.limit.max(1) || seen >= MOST_ROWS {
            listing.next = last_seen;
            break;
        }
        let (key, id) = row.map_err(unreadable)?;
        let entry: Option<Entry> = tables::get(&entries, WHAT, id.value())?;
        listing.items.extend(entry.filter(|entry| filter.shows(entry)));
        last_seen =
            key.value().get(begin.len()..).and_then(|number| std::str::from_utf8(number).ok()).map(str::to_owned);
    }
    Ok(listing)
}

const WHAT: &str = "ledger entry";

/// How many rows one page looks at.
const MOST_ROWS: usize = 10_000;
