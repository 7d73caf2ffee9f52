//! Certificate authorities, and the revocations of certificates that they issued.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::{KeptRevocations, RevocationChange, RevocationRecord};
use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, IdScope};

use super::{MemoryStore, State};
use crate::rules::revocations::{self, ListChange};
use crate::rules::{Scoped as _, authorities};
use crate::{
    AuthorityStore, AuthorityUpload, DeleteOutcome, InUse, Precondition, PutOutcome, StoreError, Way, entity_tag,
};

#[async_trait]
impl AuthorityStore for MemoryStore {
    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let stands = state.of(scope).authority(&upload.name)?;
            let tag = stands.as_ref().map(|stands| authorities::tag(&state.of(scope), stands)).transpose()?;
            let outcome = match when.judge(tag.as_deref()) {
                Ok(outcome) => outcome,
                Err(refused) => return Ok(refused),
            };
            if stands.as_ref().is_some_and(|stands| stands.der == upload.der) {
                return Ok(outcome);
            }
            let next = match authorities::uploaded(&state.of(scope), stands.clone(), &upload)? {
                Ok(next) => next,
                Err(conflict) => return Ok(PutOutcome::Conflict(conflict)),
            };
            state.put_authority(scope, stands.as_ref(), next)?;
            Ok(outcome)
        })
    }

    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            let stands = state.of(scope).authority(&authority.name)?;
            let outcome = match when.judge(stands.as_ref().map(entity_tag).as_deref()) {
                Ok(outcome) => outcome,
                Err(refused) => return Ok(refused),
            };
            if let Some(conflict) = authorities::is_elsewhere(&state.of(scope), &authority)? {
                return Ok(PutOutcome::Conflict(conflict));
            }
            state.put_authority(scope, stands.as_ref(), authority)?;
            Ok(outcome)
        })
    }

    async fn delete_authority(
        &self,
        scope: &IdScope,
        name: &CaName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        self.write(|state| {
            let Some(stands) = state.of(scope).authority(name)? else { return Ok(DeleteOutcome::Missing) };
            if let Err(refused) = when.judge_removal(Some(&authorities::tag(&state.of(scope), &stands)?)) {
                return Ok(refused);
            }
            if let Some(leaning) = authorities::who_leans_on(&state.of(scope), &stands)? {
                return Ok(DeleteOutcome::InUse(InUse::Leans(leaning)));
            }
            if let Some(gone) = authorities::let_go(Some(&stands), None) {
                state.remember(scope, &gone.der, gone.updated_at)?;
            }
            state.authorities.remove(&(scope.clone(), name.clone()));
            state.count_admission(scope, Way::Certificates);
            state.revise(scope);
            Ok(DeleteOutcome::Deleted)
        })
    }

    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError> {
        self.write(|state| {
            if let Some((name, when)) = &when {
                let stands = state.of(scope).authority(name)?;
                let tag = stands.map(|stands| authorities::tag(&state.of(scope), &stands)).transpose()?;
                if let Err(refused) = when.judge(tag.as_deref()) {
                    return Ok(refused);
                }
            }
            let changed = match revocations::changed(state.of(scope).said_of(&change.issuer)?, &change) {
                Ok(Some(changed)) => changed,
                Ok(None) => return Ok(PutOutcome::Replaced),
                Err(conflict) => return Ok(PutOutcome::Conflict(conflict)),
            };
            let kept = &mut state.tenant(scope).revocations;
            let at = kept.iter().position(|kept| kept.record.issuer.is(&change.issuer));
            let mut list = at.and_then(|at| kept.remove(at).list);
            for change in changed.lists {
                list = match change {
                    ListChange::Put(der) => Some(der),
                    ListChange::Remove => None,
                };
            }
            kept.extend(changed.record.map(|record| KeptRevocations { record, list }));
            state.count_admission(scope, Way::Certificates);
            state.revise(scope);
            Ok(PutOutcome::Replaced)
        })
    }
}

impl State {
    fn put_authority(
        &mut self,
        scope: &IdScope,
        stands: Option<&CertificateAuthority>,
        next: CertificateAuthority,
    ) -> Result<(), StoreError> {
        if let Some(gone) = authorities::let_go(stands, Some(&next)) {
            self.remember(scope, &gone.der, gone.updated_at)?;
        }
        if authorities::admits_otherwise(stands, &next) {
            self.count_admission(scope, Way::Certificates);
        }
        self.authorities.insert((scope.clone(), next.name.clone()), next);
        self.revise(scope);
        Ok(())
    }

    /// Remembers a certificate of an issuer that is no longer held.
    pub(super) fn remember(&mut self, scope: &IdScope, der: &[u8], at: Timestamp) -> Result<(), StoreError> {
        let record = revocations::remembering(der, at, |issuer| self.of(scope).said_of(issuer))?;
        if let Some(record) = record {
            self.keep_record(scope, record);
        }
        Ok(())
    }

    fn keep_record(&mut self, scope: &IdScope, record: RevocationRecord) {
        let kept = &mut self.tenant(scope).revocations;
        match kept.iter_mut().find(|kept| kept.record.issuer.is(&record.issuer)) {
            Some(kept) => kept.record = record,
            None => kept.push(KeptRevocations { record, list: None }),
        }
    }
}
