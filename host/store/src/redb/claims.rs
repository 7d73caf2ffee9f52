//! The rows for the claims of an enrollment.

use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::IdScope;

use super::codec::{key, pair};
use super::tables::Tables;
use crate::StoreError;
use crate::rules::claims::Claims;
use crate::rules::contents;

/// The keys of the rows for what only one enrollment may hold.
pub(super) fn held_rows(scope: &IdScope, claims: &Claims) -> Vec<Vec<u8>> {
    claims.held.iter().map(|held| key(scope, held.name())).collect()
}

/// The keys of the rows that say which plugins an enrollment uses.
pub(super) fn plugin_rows(scope: &IdScope, claims: &Claims) -> Vec<Vec<u8>> {
    let owner = match &claims.owner {
        EnrollmentRef::Individual(id) => format!("individual {}", id.key()),
        EnrollmentRef::Group(id) => format!("group {id}"),
    };
    claims.plugins.iter().map(|plugin| pair(scope, plugin.as_str(), &owner)).collect()
}

/// Writes the claims of an enrollment in place of its earlier ones.
pub(super) fn replace(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Claims>,
    next: &Claims,
) -> Result<(), StoreError> {
    contents::take(tables, &next.named, &[])?;
    if let Some(before) = before {
        give_back(tables, scope, before)?;
    }
    for row in held_rows(scope, next) {
        tables.certificates.put(&row, &next.owner)?;
    }
    for row in plugin_rows(scope, next) {
        tables.plugin_uses.put(&row, &next.owner)?;
    }
    Ok(())
}

/// Removes the claims of an enrollment.
pub(super) fn give_back(tables: &mut Tables<'_>, scope: &IdScope, held: &Claims) -> Result<(), StoreError> {
    for row in held_rows(scope, held) {
        tables.certificates.remove(&row)?;
    }
    for row in plugin_rows(scope, held) {
        tables.plugin_uses.remove(&row)?;
    }
    contents::give_back(tables, &held.named)?;
    Ok(())
}
