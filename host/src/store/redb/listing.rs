//! Pages of things, in the order of their keys.

use redb::ReadableTable;
use serde::de::DeserializeOwned;

use super::{codec, unreadable};
use crate::names::IdScope;
use crate::store::{Listing, Page, StoreError};

/// A page of those whose names begin with `prefix` and that `keep` passes. One page looks at [`MOST_ROWS`] rows at
/// most, so that a filter that passes few makes a short page and no long read.
pub(super) fn page<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    what: &'static str,
    scope: &IdScope,
    page: &Page,
    prefix: &str,
    mut keep: impl FnMut(&T) -> bool,
) -> Result<Listing<T>, StoreError> {
    let prefix_key = codec::key(scope, prefix);
    let mut start = prefix_key.clone();
    if let Some(after) = &page.after {
        let mut after = codec::key(scope, after.to_ascii_lowercase());
        // The least key after that one.
        after.push(0);
        start = start.max(after);
    }
    let end = codec::end_of(scope);
    let mut listing = Listing { items: Vec::new(), next: None };
    let mut last_seen = None;
    for (seen, row) in table.range(start.as_slice()..end.as_slice()).map_err(unreadable)?.enumerate() {
        let (key, value) = row.map_err(unreadable)?;
        if !key.value().starts_with(&prefix_key) {
            break;
        }
        if listing.items.len() >= page.limit.max(1) || seen >= MOST_ROWS {
            listing.next = last_seen;
            break;
        }
        let item = codec::decode(what, value.value())?;
        if keep(&item) {
            listing.items.push(item);
        }
        last_seen = Some(codec::parts(what, key.value())?.1);
    }
    Ok(listing)
}

/// How many rows one page looks at.
const MOST_ROWS: usize = 10_000;
