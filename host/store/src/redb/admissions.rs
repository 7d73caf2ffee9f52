//! How often what is looked at to find enrollments has changed, for each way in which they are found.

use landfall_domain::names::IdScope;

use super::codec::key;
use super::tables::Tables;
use crate::{StoreError, Way};

/// Counts a change of what is looked at to find enrollments.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope, way: Way) -> Result<(), StoreError> {
    let key = row(scope, way);
    let count = tables.admissions.count(&key)?;
    tables.admissions.set_count(&key, count.saturating_add(1))
}

/// The key of a counter.
pub(super) fn row(scope: &IdScope, way: Way) -> Vec<u8> {
    let name = match way {
        // As it was called when it was the only one.
        Way::Certificates => "",
        Way::Tokens => "tokens",
        Way::Directories => "directories",
    };
    key(scope, name)
}
