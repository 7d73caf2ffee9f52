//! Certificate authorities. They are few, and are read with the catalogue.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::RevocationChange;
use landfall_domain::enrollment::CertificateAuthority;
use landfall_domain::names::{CaName, IdScope};

use super::catalogue::revised;
use super::codec::key;
use super::engine::Write;
use super::tables::Tables;
use super::{RedbStore, admissions, revocations};
use crate::rules::authorities;
use crate::writer::Lane;
use crate::{AuthorityUpload, DeleteOutcome, InUse, Precondition, PutOutcome, StoreError, Way, entity_tag};

#[async_trait]
impl crate::AuthorityStore for RedbStore {
    async fn upload_authority(
        &self,
        scope: &IdScope,
        upload: AuthorityUpload,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        self.write(Lane::Operator, UploadAuthority::new(scope, upload, when)).await
    }

    async fn put_authority(
        &self,
        scope: &IdScope,
        authority: CertificateAuthority,
        when: Precondition,
    ) -> Result<PutOutcome, StoreError> {
        let put = PutAuthority::new(scope, authority, when);
        self.write(Lane::Operator, put).await
    }

    async fn delete_authority(
        &self,
        scope: &IdScope,
        name: &CaName,
        when: Precondition,
    ) -> Result<DeleteOutcome, StoreError> {
        let delete = DeleteAuthority::new(scope, name, when);
        self.write(Lane::Operator, delete).await
    }

    async fn change_revocations(
        &self,
        scope: &IdScope,
        change: RevocationChange,
        when: Option<(CaName, Precondition)>,
    ) -> Result<PutOutcome, StoreError> {
        self.write(Lane::Operator, revocations::Change::new(scope, change, when)).await
    }
}

/// Uploads the certificate of an authority.
pub(super) struct UploadAuthority {
    scope: IdScope,
    upload: AuthorityUpload,
    when: Precondition,
}

impl UploadAuthority {
    pub(super) fn new(scope: &IdScope, upload: AuthorityUpload, when: Precondition) -> Self {
        Self { scope: scope.clone(), upload, when }
    }
}

impl Write for UploadAuthority {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let Self { scope, upload, when } = self;
        let key = key(scope, upload.name.as_str());
        let stands: Option<CertificateAuthority> = tables.authorities.get(&key)?;
        let tag = stands.as_ref().map(|stands| authorities::tag(&tables.of(scope), stands)).transpose()?;
        let outcome = match when.judge(tag.as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        // Uploading the same certificate again keeps the proof and all later changes.
        if stands.as_ref().is_some_and(|stands| stands.der == upload.der) {
            return Ok(outcome);
        }
        let next = match authorities::uploaded(&tables.of(scope), stands.clone(), upload)? {
            Ok(next) => next,
            Err(conflict) => return Ok(PutOutcome::Conflict(conflict)),
        };
        remember_without(tables, scope, stands.as_ref(), Some(&next))?;
        tables.authorities.put(&key, &next)?;
        admissions::bump(tables, scope, Way::Certificates)?;
        revised(tables, scope, outcome)
    }
}

/// Remembers the certificate of a proven authority that is being replaced or removed.
fn remember_without(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&CertificateAuthority>,
    next: Option<&CertificateAuthority>,
) -> Result<(), StoreError> {
    match authorities::let_go(before, next) {
        Some(gone) => revocations::remember(tables, scope, &gone.der, gone.updated_at),
        None => Ok(()),
    }
}

/// Creates or replaces a certificate authority.
pub(super) struct PutAuthority {
    scope: IdScope,
    authority: CertificateAuthority,
    when: Precondition,
}

impl PutAuthority {
    pub(super) fn new(scope: &IdScope, authority: CertificateAuthority, when: Precondition) -> Self {
        Self { scope: scope.clone(), authority, when }
    }
}

impl Write for PutAuthority {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let Self { scope, authority, when } = self;
        let key = key(scope, authority.name.as_str());
        let stands: Option<CertificateAuthority> = tables.authorities.get(&key)?;
        let outcome = match when.judge(stands.as_ref().map(entity_tag).as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        if let Some(conflict) = authorities::is_elsewhere(&tables.of(scope), authority)? {
            return Ok(PutOutcome::Conflict(conflict));
        }
        remember_without(tables, scope, stands.as_ref(), Some(authority))?;
        tables.authorities.put(&key, authority)?;
        if authorities::admits_otherwise(stands.as_ref(), authority) {
            admissions::bump(tables, scope, Way::Certificates)?;
        }
        revised(tables, scope, outcome)
    }
}

/// Removes a certificate authority on which no group depends. The revocations of its certificates stay.
pub(super) struct DeleteAuthority {
    scope: IdScope,
    name: CaName,
    when: Precondition,
}

impl DeleteAuthority {
    pub(super) fn new(scope: &IdScope, name: &CaName, when: Precondition) -> Self {
        Self { scope: scope.clone(), name: name.clone(), when }
    }
}

impl Write for DeleteAuthority {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let Self { scope, name, when } = self;
        let key = key(scope, name.as_str());
        let Some(stands) = tables.authorities.get::<CertificateAuthority>(&key)? else {
            return Ok(DeleteOutcome::Missing);
        };
        if let Err(refused) = when.judge_removal(Some(&authorities::tag(&tables.of(scope), &stands)?)) {
            return Ok(refused);
        }
        if let Some(leaning) = authorities::who_leans_on(&tables.of(scope), &stands)? {
            return Ok(DeleteOutcome::InUse(InUse::Leans(leaning)));
        }
        remember_without(tables, scope, Some(&stands), None)?;
        tables.authorities.remove(&key)?;
        admissions::bump(tables, scope, Way::Certificates)?;
        revised(tables, scope, DeleteOutcome::Deleted)
    }
}
