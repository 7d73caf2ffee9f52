//! What is said of an issuer's certificates, and how it changes.

use landfall_attestation::x509::revocation::{Issuer, RevocationChange, RevocationCommand, RevocationRecord};
use landfall_domain::clock::Timestamp;

use crate::Conflict;

/// What a change comes to.
pub(crate) struct Changed {
    /// What is said then; nothing is kept of what says nothing.
    pub(crate) record: Option<RevocationRecord>,
    /// What becomes of the list, in this order.
    pub(crate) lists: Vec<ListChange>,
}

/// What becomes of the bytes of a list.
pub(crate) enum ListChange {
    /// These are there now, DER.
    Put(Vec<u8>),
    Remove,
}

/// Merges all commands of a change over what stands there: all of them, or none. Nothing when nothing changes.
pub(crate) fn changed(
    stands: Option<RevocationRecord>,
    RevocationChange { issuer, commands, now }: &RevocationChange,
) -> Result<Option<Changed>, Conflict> {
    let before = stands.unwrap_or_else(|| RevocationRecord::silent(issuer.clone(), *now));
    let mut record = before.clone();
    for command in commands {
        record.apply(command, *now).map_err(Conflict::Revocation)?;
    }
    if record == before {
        return Ok(None);
    }
    record.updated_at = *now;
    let lists = commands.iter().filter_map(|command| match command {
        // Not every list that comes is taken.
        RevocationCommand::List { facts, der, .. } if record.list.as_ref() == Some(facts) => {
            Some(ListChange::Put(der.clone()))
        }
        RevocationCommand::RemoveList => Some(ListChange::Remove),
        _ => None,
    });
    let lists = lists.collect();
    Ok(Some(Changed {
        record: Some(record).filter(|record| !record.is_silent() || record.remembered.is_some()),
        lists,
    }))
}

/// What is said of an issuer once a certificate of it is remembered that is held no more. Above a root nothing can be revoked.
pub(crate) fn remembering(
    der: &[u8],
    now: Timestamp,
    stands: impl FnOnce(&Issuer) -> Result<Option<RevocationRecord>, crate::StoreError>,
) -> Result<Option<RevocationRecord>, crate::StoreError> {
    let Some(issuer) = Issuer::of(der).filter(|issuer| !issuer.is_root()) else { return Ok(None) };
    let record = stands(&issuer)?.unwrap_or_else(|| RevocationRecord::silent(issuer, now));
    Ok(Some(RevocationRecord { remembered: Some(der.to_vec()), ..record }))
}
