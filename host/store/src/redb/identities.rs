//! Device ids within a hub.
//!
//! A hub identifies a device by its id: two devices with the same id in one hub would read each other's commands.
//! Policies and operators choose these ids, so the transaction that writes a registration checks that no other device
//! has the id.

use landfall_domain::names::{IdScope, RegistrationId};
use landfall_domain::registration::Registration;

use super::codec::{self, pair};
use super::tables::Tables;
use crate::StoreError;

/// Frees the identity that a registration had, and claims its new one.
pub(super) fn claim(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Registration>,
    after: Option<&Registration>,
) -> Result<(), StoreError> {
    let of = |registration: Option<&Registration>| registration.and_then(|registration| row(scope, registration));
    let (old, new) = (of(before), of(after));
    if old == new {
        return Ok(());
    }
    if let (Some(old), Some(before)) = (old, before) {
        // In a file from before this rule, two devices may share an id; only one owns it.
        let owner: Option<RegistrationId> = tables.hub_identities.get(&old)?;
        if owner.is_some_and(|owner| owner == before.registration_id) {
            tables.hub_identities.remove(&old)?;
        }
    }
    if let (Some(new), Some(after)) = (new, after) {
        tables.hub_identities.put(&new, &after.registration_id)?;
    }
    Ok(())
}

/// Creates the rows in a file that was written before they existed. Of two devices with one id, the first gets it; the
/// other must wait when it registers again.
pub(super) fn claim_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { registrations, hub_identities, .. } = tables;
    hub_identities.clear()?;
    registrations.each(|key, registration: Registration| {
        let (scope, _) = codec::parts("registration", key)?;
        let Some(row) = row(&scope, &registration) else { return Ok(()) };
        let Some(owner) = hub_identities.get::<RegistrationId>(&row)? else {
            return hub_identities.put(&row, &registration.registration_id);
        };
        if let Some(place) = registration.assignment() {
            tracing::warn!(
                %scope, hub = %place.hub, device_id = %place.device_id, %owner, other = %registration.registration_id,
                "two devices share one id in a hub: the other waits when it registers again; have its policy name \
                 another id, or delete one of the registrations"
            );
        }
        Ok(())
    })
}

/// The row of the identity that a registration names. Hubs compare ids with regard to case.
pub(super) fn row(scope: &IdScope, registration: &Registration) -> Option<Vec<u8>> {
    let assignment = registration.assignment()?;
    Some(pair(scope, assignment.hub.as_str(), assignment.device_id.as_str()))
}
