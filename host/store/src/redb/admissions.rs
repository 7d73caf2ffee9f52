//! Change counters of the data by which enrollments are found, one for each way.

use landfall_domain::names::IdScope;

use super::codec::key;
use super::tables::Tables;
use crate::{StoreError, Way};

/// Increases the change counter of a way.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope, way: Way) -> Result<(), StoreError> {
    let key = row(scope, way);
    let count = tables.admissions.count(&key)?;
    tables.admissions.set_count(&key, count.saturating_add(1))
}

/// The key of a counter.
pub(super) fn row(scope: &IdScope, way: Way) -> Vec<u8> {
    let name = match way {
        // The key from the time when there was only one counter.
        Way::Certificates => "",
        Way::Tokens => "tokens",
        Way::Directories => "directories",
    };
    key(scope, name)
}
