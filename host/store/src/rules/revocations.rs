//! The revocations of an issuer's certificates, and how they change.

use landfall_attestation::x509::revocation::{Issuer, RevocationChange, RevocationCommand, RevocationRecord};
use landfall_domain::clock::Timestamp;

use crate::Conflict;

/// The result of a change.
pub(crate) struct Changed {
    /// The record after the change; `None` if it would be empty.
    pub(crate) record: Option<RevocationRecord>,
    /// What to do with the stored revocation list, in this order.
    pub(crate) lists: Vec<ListChange>,
}

/// A change of the stored bytes of a revocation list.
pub(crate) enum ListChange {
    /// Store this list, DER.
    Put(Vec<u8>),
    Remove,
}

/// Merges all commands of a change into the stored record: all or none. `None` if nothing changes.
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
        // Not every list that is offered is accepted.
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

/// The record of an issuer that remembers a certificate which is no longer held. A root has no issuer above it that
/// could revoke it.
pub(crate) fn remembering(
    der: &[u8],
    now: Timestamp,
    stands: impl FnOnce(&Issuer) -> Result<Option<RevocationRecord>, crate::StoreError>,
) -> Result<Option<RevocationRecord>, crate::StoreError> {
    let Some(issuer) = Issuer::of(der).filter(|issuer| !issuer.is_root()) else { return Ok(None) };
    let record = stands(&issuer)?.unwrap_or_else(|| RevocationRecord::silent(issuer, now));
    Ok(Some(RevocationRecord { remembered: Some(der.to_vec()), ..record }))
}
