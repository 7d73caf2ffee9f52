//! Pending TPM challenges. Their keys sort by time, so that expired ones come first.

use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::TrackingId;
use redb::ReadableTable;

use super::engine::Write;
use super::tables::{CHALLENGES, Tables};
use super::{View, codec, unreadable};
use crate::StoreError;

/// All challenges, the oldest first.
pub(super) fn all(view: &View) -> Result<Vec<KeptChallenge>, StoreError> {
    let mut challenges = Vec::new();
    for row in view.table(CHALLENGES)?.iter().map_err(unreadable)? {
        let (_, value) = row.map_err(unreadable)?;
        challenges.push(codec::decode(WHAT, value.value())?);
    }
    Ok(challenges)
}

/// Stores a challenge. Each call removes more than one expired challenge, so that they do not accumulate.
pub(super) struct Keep {
    pub(super) challenge: KeptChallenge,
    pub(super) now: Timestamp,
}

impl Write for Keep {
    type Answer = ();

    fn apply(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        for _ in 0..REMOVED_AT_ONCE {
            match tables.challenges.first_of::<KeptChallenge>(&[])? {
                Some(oldest) if oldest.until <= self.now => tables.challenges.remove(oldest.name.as_bytes())?,
                Some(_) | None => break,
            }
        }
        tables.challenges.put(self.challenge.name.as_bytes(), &self.challenge)
    }
}

/// Whether the answer to a challenge has started a registration; `None` if the challenge is no longer stored.
pub(super) fn is_spent(tables: &Tables<'_>, name: TrackingId) -> Result<Option<bool>, StoreError> {
    Ok(tables.challenges.get::<KeptChallenge>(name.as_bytes())?.map(|kept| kept.spent))
}

/// Marks a challenge as spent: its answer has started a registration.
pub(super) fn spend(tables: &mut Tables<'_>, name: TrackingId) -> Result<(), StoreError> {
    match tables.challenges.get::<KeptChallenge>(name.as_bytes())? {
        Some(kept) if !kept.spent => tables.challenges.put(name.as_bytes(), &KeptChallenge { spent: true, ..kept }),
        Some(_) | None => Ok(()),
    }
}

const WHAT: &str = "challenge";
const REMOVED_AT_ONCE: u32 = 4;
