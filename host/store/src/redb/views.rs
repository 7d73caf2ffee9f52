//! Index rows for the filters of operators, so that a listing reads only what it shows.
//!
//! A view has a name and one row for each id in it: *manufacturer acme*, *state quarantined*. The rows are updated in
//! the same transaction as the things that they are derived from. A caller who may see one manufacturer's records
//! reads only the view of that manufacturer, so that nothing in an answer, not even the position of the next page,
//! comes from others.

use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{GroupId, HubName, IdScope, ManufacturerId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::{ManufacturingRecord, RecordState};

use super::codec::{self, pair};
use super::tables::{Rows, Tables};
use crate::StoreError;

/// The view of the devices on a hub.
pub(super) fn on_hub(hub: &HubName) -> String {
    format!("hub {hub}")
}

/// The view of the devices that a group admitted.
pub(super) fn of_group(group: &GroupId) -> String {
    format!("group {group}")
}

/// The view of the devices that were refused. Most devices are assigned, so there is no view of assigned devices.
pub(super) const FAILED: &str = "failed";

/// The view of a manufacturer's records.
pub(super) fn of_manufacturer(manufacturer: &ManufacturerId) -> String {
    format!("manufacturer {manufacturer}")
}

/// The view of the records in a state, of one manufacturer or of all. Most records are active, so there is no view of
/// active ones.
pub(super) fn in_state(state: RecordState, manufacturer: Option<&ManufacturerId>) -> Option<String> {
    let state = match state {
        RecordState::Active => return None,
        RecordState::Quarantined => "quarantined",
        RecordState::Retired => "retired",
    };
    Some(match manufacturer {
        Some(manufacturer) => format!("state {state} of {manufacturer}"),
        None => format!("state {state}"),
    })
}

/// The rows that a registration has.
pub(super) fn of_registration(scope: &IdScope, registration: &Registration) -> Vec<Vec<u8>> {
    let place = registration.hub().map_or_else(|| FAILED.to_owned(), on_hub);
    let group = match &registration.enrollment {
        EnrollmentRef::Group(group) => Some(of_group(group)),
        EnrollmentRef::Individual(_) => None,
    };
    let id = registration.registration_id.key();
    std::iter::once(place).chain(group).map(|view| pair(scope, &view, id)).collect()
}

/// The rows that a record has.
pub(super) fn of_record(scope: &IdScope, record: &ManufacturingRecord) -> Vec<Vec<u8>> {
    let ManufacturingRecord { manufacturer, state, .. } = record;
    let views = [Some(of_manufacturer(manufacturer)), in_state(*state, None), in_state(*state, Some(manufacturer))];
    views.into_iter().flatten().map(|view| pair(scope, &view, record.registration_id.key())).collect()
}

/// Removes and adds rows; rows in both sets stay.
pub(super) fn follow(rows: &mut Rows<'_>, before: &[Vec<u8>], after: &[Vec<u8>]) -> Result<(), StoreError> {
    for key in before.iter().filter(|key| !after.contains(key)) {
        rows.remove(key)?;
    }
    for key in after.iter().filter(|key| !before.contains(key)) {
        rows.put(key, &())?;
    }
    Ok(())
}

/// Creates the view rows of registrations in a file from before they existed.
pub(super) fn make_of_registrations(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { registrations, registration_views, .. } = tables;
    registration_views.clear()?;
    registrations.each(|key, registration: Registration| {
        let (scope, _) = codec::parts("registration", key)?;
        follow(registration_views, &[], &of_registration(&scope, &registration))
    })
}

/// Creates the view rows of records in a file from before they existed.
pub(super) fn make_of_records(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { records, record_views, .. } = tables;
    record_views.clear()?;
    records.each(|key, record: ManufacturingRecord| {
        let (scope, _) = codec::parts("manufacturing record", key)?;
        follow(record_views, &[], &of_record(&scope, &record))
    })
}
