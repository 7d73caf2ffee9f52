//! Pages of rows, in the order of their keys.

use landfall_domain::names::IdScope;
use serde::de::DeserializeOwned;

use super::tables::Definition;
use super::{View, codec, tables, unreadable};
use crate::{Listing, Page, StoreError};

/// What a listing reads.
pub(super) struct Walk<'a> {
    /// The table of the things.
    pub(super) things: Definition,
    /// The name of their kind.
    pub(super) what: &'static str,
    /// The table of views, and the view to read; `None` to read all things.
    pub(super) view: Option<(Definition, String)>,
    /// The prefix of the names to list.
    pub(super) prefix: &'a str,
}

/// A page of the things that `keep` passes. One page reads [`MOST_ROWS`] rows at most, so that a selective filter
/// causes a short page and not a long read.
pub(super) fn page<T: DeserializeOwned>(
    view: &View,
    walk: &Walk<'_>,
    scope: &IdScope,
    page: &Page,
    mut keep: impl FnMut(&T) -> bool,
) -> Result<Listing<T>, StoreError> {
    let Walk { view: of, prefix, what, .. } = walk;
    let (what, things) = (*what, view.table(walk.things)?);
    let named = |name: &str| match of {
        Some((_, view)) => codec::pair(scope, view, name),
        None => codec::key(scope, name),
    };
    let (whole, first) = (named("").len(), named(prefix));
    let mut start = first.clone();
    if let Some(after) = &page.after {
        let mut after = named(&after.to_ascii_lowercase());
        // The smallest key after that one.
        after.push(0);
        start = start.max(after);
    }
    let walked = match of {
        Some((views, _)) => view.table(*views)?,
        None => view.table(walk.things)?,
    };
    let mut listing = Listing { items: Vec::new(), next: None };
    let mut last_seen = None;
    for (seen, row) in walked.range(start.as_slice()..).map_err(unreadable)?.enumerate() {
        let (key, value) = row.map_err(unreadable)?;
        let key = key.value();
        if !key.starts_with(&first) {
            break;
        }
        if listing.items.len() >= page.limit.max(1) || seen >= MOST_ROWS {
            listing.next = last_seen;
            break;
        }
        let name = key.get(whole..).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| StoreError::Damaged { what, reason: "its key is no text".to_owned() })?;
        let item = match of {
            None => Some(codec::decode(what, value.value())?),
            Some(_) => tables::get(&things, what, &codec::key(scope, name))?,
        };
        listing.items.extend(item.filter(&mut keep));
        last_seen = Some(name.to_owned());
    }
    Ok(listing)
}

/// The maximum number of rows that one page reads.
const MOST_ROWS: usize = 10_000;
