//! Revocations of issuers' certificates. They are rows of their own, which changes of an authority do not touch.
//!
//! The key of a row is the scope, the SHA-256 of the issuer's key, and the SHA-256 of the certificate by which the
//! issuer was first known. The row of an issuer is found by comparing names, not by an encoded name in the key: the
//! comparison of names may change with a version, and revocations must be found all the same.

use landfall_attestation::x509::Crl;
use landfall_attestation::x509::crl::ListFacts;
use landfall_attestation::x509::revocation::{
    Issuer, KeptRevocations, RevocationChange, RevocationCommand, RevocationRecord, RevocationRules,
};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, Digest, IdScope};
use redb::ReadableTable as _;
use serde::Deserialize;

use super::catalogue::revised;
use super::codec::{self, key, pair};
use super::engine::Write;
use super::tables::{REVOCATION_LISTS, REVOCATIONS, Tables};
use super::{View, admissions, unreadable};
use crate::rules::revocations::ListChange;
use crate::rules::{authorities, revocations};
use crate::{Precondition, PutOutcome, StoreError, Way};

/// The revocations of all scopes.
pub(super) fn all(view: &View) -> Result<Vec<(IdScope, KeptRevocations)>, StoreError> {
    let (rows, lists) = (view.table(REVOCATIONS)?, view.table(REVOCATION_LISTS)?);
    let mut found = Vec::new();
    for row in rows.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        let (scope, _) = codec::parts(WHAT, key.value())?;
        let record: RevocationRecord = codec::decode(WHAT, value.value())?;
        let list = lists.get(key.value()).map_err(unreadable)?.map(|list| list.value().to_vec());
        found.push((scope, KeptRevocations { record, list }));
    }
    Ok(found)
}

/// The record of an issuer, and the key of its row.
pub(super) fn find(
    tables: &Tables<'_>,
    scope: &IdScope,
    issuer: &Issuer,
) -> Result<Option<(Vec<u8>, RevocationRecord)>, StoreError> {
    let first = pair(scope, &issuer.key.to_string(), "");
    let mut end = key(scope, issuer.key.to_string());
    end.push(1);
    let rows = tables.revocations.range::<RevocationRecord>(&first, &end)?;
    Ok(rows.into_iter().find(|(_, record)| record.issuer.is(issuer)))
}

/// Changes the revocations of an issuer. No other write changes them.
pub(super) struct Change {
    scope: IdScope,
    change: RevocationChange,
    when: Option<(CaName, Precondition)>,
}

impl Change {
    pub(super) fn new(scope: &IdScope, change: RevocationChange, when: Option<(CaName, Precondition)>) -> Self {
        Self { scope: scope.clone(), change, when }
    }
}

impl Write for Change {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let Self { scope, change, when } = self;
        if let Some((name, when)) = when {
            let stands: Option<CertificateAuthority> = tables.authorities.get(&key(scope, name.as_str()))?;
            let tag = stands.map(|stands| authorities::tag(&tables.of(scope), &stands)).transpose()?;
            if let Err(refused) = when.judge(tag.as_deref()) {
                return Ok(refused);
            }
        }
        let (row, before) = match find(tables, scope, &change.issuer)? {
            Some((row, record)) => (row, Some(record)),
            None => (row_of(scope, &change.issuer), None),
        };
        let changed = match revocations::changed(before, change) {
            Ok(Some(changed)) => changed,
            Ok(None) => return Ok(PutOutcome::Replaced),
            Err(conflict) => return Ok(PutOutcome::Conflict(conflict)),
        };
        for list in changed.lists {
            match list {
                ListChange::Put(der) => tables.revocation_lists.put_encoded(&row, &der)?,
                ListChange::Remove => tables.revocation_lists.remove(&row)?,
            }
        }
        match changed.record {
            Some(record) => tables.revocations.put(&row, &record)?,
            None => tables.revocations.remove(&row)?,
        }
        admissions::bump(tables, scope, Way::Certificates)?;
        revised(tables, scope, PutOutcome::Replaced)
    }

    fn size(&self) -> usize {
        let lists = self.change.commands.iter().map(|command| match command {
            RevocationCommand::List { der, .. } => der.len(),
            _ => 0,
        });
        lists.sum::<usize>().saturating_add(1024)
    }
}

/// Remembers a certificate of an issuer that is no longer held.
pub(super) fn remember(tables: &mut Tables<'_>, scope: &IdScope, der: &[u8], now: Timestamp) -> Result<(), StoreError> {
    let mut row = None;
    let record = revocations::remembering(der, now, |issuer| {
        let found = find(tables, scope, issuer)?;
        row = Some(found.as_ref().map_or_else(|| row_of(scope, issuer), |(row, _)| row.clone()));
        Ok(found.map(|(_, record)| record))
    })?;
    match row.zip(record) {
        Some((row, record)) => tables.revocations.put(&row, &record),
        None => Ok(()),
    }
}

/// Moves the revocations that format 1 stored with each authority into rows of their own. It may run again.
pub(super) fn take_over(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    /// The fields of the row of an authority that are moved.
    #[derive(Deserialize)]
    struct Before {
        #[serde(with = "serde_bytes")]
        der: Vec<u8>,
        updated_at: Timestamp,
        #[serde(with = "serde_bytes", default)]
        crl: Option<Vec<u8>>,
        #[serde(default)]
        revocation: RevocationRules,
    }
    let mut found = Vec::new();
    tables.authorities.each(|row, authority: Before| {
        if authority.crl.is_some() || authority.revocation != RevocationRules::default() {
            found.push((row.to_vec(), authority));
        }
        Ok(())
    })?;
    for (authority_row, Before { der, updated_at, crl, revocation }) in found {
        let (scope, name) = codec::parts("certificate authority", &authority_row)?;
        let Some(issuer) = Issuer::of(&der) else {
            // Devices of an authority that cannot be read are refused; the row stays as it is.
            tracing::error!(%scope, authority = name, "what is revoked of this authority cannot be read any more: upload its certificate and its list again");
            continue;
        };
        // A list that cannot be read stays as unreadable: its revocations are unknown, but those that an operator
        // entered still apply.
        let list = crl.as_deref().map(|der| match Crl::kept(der) {
            Ok(list) => list.facts().clone(),
            Err(error) => {
                tracing::error!(%scope, authority = name, %error, "the revocation list of this authority cannot be read any more, and its devices are refused: bring the list again (landfall ca crl)");
                ListFacts::unread(der)
            }
        });
        let own = RevocationRecord { issuer: issuer.clone(), rules: revocation, list, remembered: None, updated_at };
        let (row, record, newer) = match find(tables, &scope, &issuer)? {
            Some((row, mut record)) => {
                let newer = record.merge(&own);
                (row, record, newer)
            }
            None => (row_of(&scope, &issuer), own, true),
        };
        if let Some(der) = crl.filter(|_| newer) {
            tables.revocation_lists.put_encoded(&row, &der)?;
        }
        tables.revocations.put(&row, &record)?;
        // Write the row back without the moved fields.
        if let Some(authority) = tables.authorities.get::<CertificateAuthority>(&authority_row)? {
            tables.authorities.put(&authority_row, &authority)?;
        }
    }
    Ok(())
}

fn row_of(scope: &IdScope, issuer: &Issuer) -> Vec<u8> {
    pair(scope, &issuer.key.to_string(), &Digest::of(&issuer.certificate).to_string())
}

const WHAT: &str = "revocation";
