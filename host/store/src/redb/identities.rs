//! Who is called what in a hub.
//!
//! A device is its id in its hub: two with one id there would read each other's commands. Policies and operators choose
//! such ids, so the transaction that writes a registration looks whether another device has the id already.

use landfall_domain::names::{IdScope, RegistrationId};
use landfall_domain::registration::Registration;

use super::codec::{self, pair};
use super::tables::Tables;
use crate::StoreError;

/// Gives back the identity that a registration had, and takes the one that it will have.
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
        // Of two that shared an id in a file from before there was this rule, only one owns it.
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

/// Makes the rows of a file that was written before there were any. Of two devices with one id, the first has it; the
/// other waits when it registers again.
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

/// The row of the identity that a registration names. Hubs tell ids apart by case.
pub(super) fn row(scope: &IdScope, registration: &Registration) -> Option<Vec<u8>> {
    let assignment = registration.assignment()?;
    Some(pair(scope, assignment.hub.as_str(), assignment.device_id.as_str()))
}
