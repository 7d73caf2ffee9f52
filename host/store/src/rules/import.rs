//! Judges the rows of an import.
//!
//! A batch is judged as a whole before anything is written. So a dry run and an all-or-nothing refusal are the same
//! judgement without the writes.

use std::borrow::Cow;

use landfall_domain::clock::Timestamp;
use landfall_domain::registry::{Claim, EvidenceMembers, ManufacturingRecord, RecordState};

use crate::{ImportBatch, RowOutcome, RowResult, StoreError};

/// The judgement of one row.
pub(crate) struct Judged {
    /// The index of the row in the batch.
    pub(crate) place: usize,
    pub(crate) outcome: RowOutcome,
    /// The evidence that the stored record has and the row leaves out.
    left_out: EvidenceMembers,
    /// The record after an update; a new record is written as the row has it.
    pub(crate) updated: Option<ManufacturingRecord>,
    /// Whether the row is for the same device as the row before it.
    again: bool,
}

/// The indexes of the rows in the order in which they are judged: by id, and rows of one device in their given order.
pub(crate) fn order(batch: &ImportBatch) -> Vec<usize> {
    let mut places: Vec<(&str, usize)> =
        batch.rows.iter().enumerate().map(|(place, row)| (row.registration_id.key(), place)).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// Judges the rows of a batch, in [`order`]; `has` is the number of records of the manufacturer. `stands` is called
/// once for each device, with the key of its first row, and returns the stored record.
pub(crate) fn judge<K>(
    batch: &ImportBatch,
    order: impl IntoIterator<Item = (usize, K)>,
    has: u64,
    stands: impl FnMut(K, &ManufacturingRecord) -> Result<Option<ManufacturingRecord>, StoreError>,
) -> Result<Vec<Judged>, StoreError> {
    let mut judged = rows(batch, order, stands)?;
    hold_to_quota(batch, &mut judged, has);
    if batch.all_or_nothing && judged.iter().any(|j| !j.outcome.is_good()) {
        for row in judged.iter_mut().filter(|j| j.outcome.is_good()) {
            row.outcome = RowOutcome::NotTaken;
        }
        judged.iter_mut().for_each(|row| row.updated = None);
    }
    Ok(judged)
}

/// The results of the rows, in the order of the batch.
pub(crate) fn results(mut judged: Vec<Judged>) -> Vec<RowResult> {
    judged.sort_unstable_by_key(|j| j.place);
    let of_own = |outcome| matches!(outcome, RowOutcome::Updated | RowOutcome::Unchanged);
    let result = |j: Judged| match j.outcome {
        outcome if of_own(outcome) => RowResult { outcome, left_out: j.left_out },
        outcome => outcome.into(),
    };
    judged.into_iter().map(result).collect()
}

/// Judges every row, except for the quota.
fn rows<K>(
    batch: &ImportBatch,
    order: impl IntoIterator<Item = (usize, K)>,
    mut stands: impl FnMut(K, &ManufacturingRecord) -> Result<Option<ManufacturingRecord>, StoreError>,
) -> Result<Vec<Judged>, StoreError> {
    let mut judged: Vec<Judged> = Vec::with_capacity(batch.rows.len());
    let mut before: Option<(&str, Option<Cow<'_, ManufacturingRecord>>)> = None;
    for (place, key) in order {
        let Some(new) = batch.rows.get(place) else { continue };
        let device = new.registration_id.key();
        let (again, stands) = match before.take() {
            Some((id, stands)) if id == device => (true, stands),
            _ => (false, stands(key, new)?.map(Cow::Owned)),
        };
        let left_out = stands.as_deref().map(|old| new.evidence.leaves_out(&old.evidence)).unwrap_or_default();
        let merged = stands
            .as_deref()
            .filter(|_| !left_out.is_none() && !batch.drop_evidence)
            .map(|old| ManufacturingRecord { evidence: new.evidence.over(&old.evidence), ..new.clone() });
        let new = merged.map_or(Cow::Borrowed(new), Cow::Owned);
        let outcome = compare(batch, stands.as_deref(), &new);
        let (updated, stands) = match (outcome, stands) {
            (RowOutcome::Added, _) => (None, Some(new)),
            (RowOutcome::Updated, Some(old)) => {
                let old = old.into_owned();
                let (state, imported_at, claim) = (old.state, old.imported_at, old.claim);
                let updated = ManufacturingRecord { state, imported_at, claim, ..new.into_owned() };
                (Some(updated.clone()), Some(Cow::Owned(updated)))
            }
            (RowOutcome::OtherManufacturer, Some(old)) if claims(batch, &old) => {
                let claim = Claim { manufacturer: batch.manufacturer.clone(), at: new.imported_at };
                let claimed = ManufacturingRecord { claim: Some(claim), ..old.into_owned() };
                (Some(claimed.clone()), Some(Cow::Owned(claimed)))
            }
            (_, stands) => (None, stands),
        };
        before = Some((device, stands));
        judged.push(Judged { place, outcome, left_out, updated, again });
    }
    Ok(judged)
}

/// Whether the record of another manufacturer must be updated to note this claim.
fn claims(batch: &ImportBatch, stands: &ManufacturingRecord) -> bool {
    let claimer = &batch.manufacturer;
    stands.manufacturer != *claimer && stands.claim.as_ref().is_none_or(|claim| claim.manufacturer != *claimer)
}

fn compare(batch: &ImportBatch, stands: Option<&ManufacturingRecord>, new: &ManufacturingRecord) -> RowOutcome {
    let Some(old) = stands else {
        return if new.manufacturer == batch.manufacturer { RowOutcome::Added } else { RowOutcome::OtherManufacturer };
    };
    // The order of checks matters: the state of another manufacturer's device must not show, and a repeated import
    // changes nothing.
    if old.manufacturer != batch.manufacturer || new.manufacturer != batch.manufacturer {
        RowOutcome::OtherManufacturer
    } else if old.says_the_same_as(new) {
        RowOutcome::Unchanged
    } else if old.state == RecordState::Retired {
        RowOutcome::Retired
    } else {
        RowOutcome::Updated
    }
}

/// Refuses the rows beyond the quota: the last ones in the order of the batch, not in the order of ids.
fn hold_to_quota(batch: &ImportBatch, judged: &mut [Judged], has: u64) {
    let Some(quota) = batch.quota else {
        return;
    };
    let mut places: Vec<usize> = judged.iter().filter(|j| j.outcome == RowOutcome::Added).map(|j| j.place).collect();
    let room = usize::try_from(quota.saturating_sub(has)).unwrap_or(usize::MAX);
    if places.len() <= room {
        return;
    }
    places.sort_unstable();
    let Some(&first_refused) = places.get(room) else {
        return;
    };
    let mut device_refused = false;
    for row in judged {
        if row.outcome == RowOutcome::Added {
            device_refused = row.place >= first_refused;
        } else if !row.again {
            device_refused = false;
        }
        // Further rows of a device that was not added have no record to update.
        if device_refused && row.outcome.is_good() {
            row.outcome = RowOutcome::OverQuota;
        }
    }
}

/// The record in another state; `None` if it is in that state already, or is retired, which is final.
pub(crate) fn in_state(
    stands: &ManufacturingRecord,
    state: RecordState,
    now: Timestamp,
) -> Option<ManufacturingRecord> {
    let changes = stands.state != state && stands.state != RecordState::Retired;
    changes.then(|| ManufacturingRecord { state, updated_at: now, ..stands.clone() })
}
