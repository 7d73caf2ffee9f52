//! Certificate authorities: uploaded, proven, renewed, and kept while something leans on them.

use async_trait::async_trait;
use landfall_attestation::x509::revocation::{Issuer, RevocationChange, issued};
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group, GroupAttestation};
use landfall_domain::names::{CaName, Digest, IdScope};

use super::catalogue::revised;
use super::claims::authority_key;
use super::codec::{self, key};
use super::engine::Write;
use super::tables::Tables;
use super::{RedbStore, admissions, revocations};
use crate::writer::Lane;
use crate::{AuthorityUpload, DeleteOutcome, Precondition, PutOutcome, StoreError, Way, authority_tag, entity_tag};

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

    async fn delete_authority(&self, scope: &IdScope, name: &CaName) -> Result<DeleteOutcome, StoreError> {
        let delete = DeleteAuthority::new(scope, name);
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

/// Uploads an authority's certificate.
pub(super) struct UploadAuthority {
    scope: IdScope,
    upload: AuthorityUpload,
    when: Precondition,
}

impl UploadAuthority {
    pub(super) fn new(scope: &IdScope, upload: AuthorityUpload, when: Precondition) -> Self {
        Self { scope: scope.clone(), upload, when }
    }

    /// The authority as it is to be, or why it may not.
    fn next(
        &self,
        tables: &Tables<'_>,
        stands: Option<CertificateAuthority>,
    ) -> Result<Result<CertificateAuthority, String>, StoreError> {
        let AuthorityUpload { name, der, replace, now } = &self.upload;
        let new = CertificateAuthority {
            name: name.clone(),
            der: der.clone(),
            verified: false,
            verification_code: None,
            created_at: *now,
            updated_at: *now,
        };
        let Some(stands) = stands else { return Ok(Ok(new)) };
        let leaning = who_leans_on(tables, &self.scope, &stands)?;
        let same = Issuer::of(&stands.der).zip(Issuer::of(der)).is_some_and(|(stands, new)| stands.is(&new));
        if same {
            // It has the name and the key that were proven.
            let renewed = CertificateAuthority { der: der.clone(), updated_at: *now, ..stands };
            return Ok(match leaning {
                _ if *replace => Ok(renewed),
                None if !renewed.verified => Ok(renewed),
                _ => Err(format!(
                    "the authority {name} is there with another certificate of the same name and key; to put this one in its \
                     place, say so: landfall ca upload {name} FILE --replace"
                )),
            });
        }
        Ok(match leaning {
            Some(user) => Err(format!(
                "{user}, and this certificate has another name or key than {name}, so its devices would be refused at once. \
                 Upload it under a name of its own, prove it, and let the group take both while devices move (--secondary-ca)"
            )),
            None if stands.verified && !replace => Err(format!(
                "the authority {name} is there and proven, with another name or key; to put this certificate in its place, \
                 unproven, say so: landfall ca upload {name} FILE --replace"
            )),
            None => Ok(new),
        })
    }
}

impl Write for UploadAuthority {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.upload.name.as_str());
        let stands: Option<CertificateAuthority> = tables.authorities.get(&key)?;
        let tag = stands.as_ref().map(|stands| tag(tables, &self.scope, stands)).transpose()?;
        let outcome = match self.when.judge(tag.as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        // The same certificate again changes nothing of what was said and proven since.
        if stands.as_ref().is_some_and(|stands| stands.der == self.upload.der) {
            return Ok(outcome);
        }
        let next = match self.next(tables, stands.clone())? {
            Ok(next) => next,
            Err(conflict) => return Ok(PutOutcome::Conflict(conflict)),
        };
        if let Some(conflict) = is_elsewhere(tables, &self.scope, &next)? {
            return Ok(PutOutcome::Conflict(conflict));
        }
        remember_without(tables, &self.scope, stands.as_ref(), Some(&next))?;
        tables.authorities.put(&key, &next)?;
        admissions::bump(tables, &self.scope, Way::Certificates)?;
        revised(tables, &self.scope, outcome)
    }
}

/// The entity tag of an authority with what is said of its certificates.
pub(super) fn tag(
    tables: &Tables<'_>,
    scope: &IdScope,
    authority: &CertificateAuthority,
) -> Result<String, StoreError> {
    let said = match Issuer::of(&authority.der) {
        Some(issuer) => revocations::find(tables, scope, &issuer)?.map(|(_, record)| record),
        None => None,
    };
    Ok(authority_tag(authority, said.as_ref().filter(|record| !record.is_silent())))
}

/// Remembers the certificate of a proven authority that will be none: what is revoked above it still reaches all that it
/// has issued.
fn remember_without(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&CertificateAuthority>,
    next: Option<&CertificateAuthority>,
) -> Result<(), StoreError> {
    let Some(before) = before.filter(|before| before.verified) else { return Ok(()) };
    let issuer = |authority: &CertificateAuthority| Issuer::of(&authority.der);
    let is_it = |next: &CertificateAuthority| issuer(next).zip(issuer(before)).is_some_and(|(next, it)| next.is(&it));
    if next.filter(|next| next.verified).is_some_and(is_it) {
        return Ok(());
    }
    revocations::remember(tables, scope, &before.der, before.updated_at)
}

/// What would have no authority any more without this one: the group that names it, or one whose own intermediate no
/// other proven authority has issued.
fn who_leans_on(
    tables: &Tables<'_>,
    scope: &IdScope,
    authority: &CertificateAuthority,
) -> Result<Option<String>, StoreError> {
    let claim = authority_key(scope, authority.name.as_str());
    if let Some(user) = tables.certificates.get::<EnrollmentRef>(&claim)? {
        return Ok(Some(format!("{user} names it")));
    }
    if !authority.verified {
        return Ok(None);
    }
    let others = authorities(tables, scope)?;
    let others: Vec<_> = others.iter().filter(|other| other.verified && other.name != authority.name).collect();
    for (_, group) in tables.groups.range::<Group>(&key(scope, ""), &codec::end_of(scope))? {
        let GroupAttestation::X509Intermediates { primary, secondary } = &group.attestation else { continue };
        let pins = std::iter::once(primary).chain(secondary).filter_map(|pin| pin.der.as_deref());
        let mut own = pins.filter(|der| vouches(authority, der));
        if own.any(|der| !others.iter().any(|other| vouches(other, der))) {
            return Ok(Some(format!("the enrollment group {} holds an intermediate that it has issued", group.id)));
        }
    }
    Ok(None)
}

/// The uploaded authorities of a scope. They are few.
pub(super) fn authorities(tables: &Tables<'_>, scope: &IdScope) -> Result<Vec<CertificateAuthority>, StoreError> {
    let rows = tables.authorities.range(&key(scope, ""), &codec::end_of(scope))?;
    Ok(rows.into_iter().map(|(_, authority)| authority).collect())
}

/// Whether an authority is this intermediate, or has issued it.
pub(super) fn vouches(authority: &CertificateAuthority, intermediate: &[u8]) -> bool {
    authority.der == intermediate || issued(&authority.der, intermediate)
}

/// Where else the certificate stands, so that it could lead to two groups.
fn is_elsewhere(
    tables: &Tables<'_>,
    scope: &IdScope,
    authority: &CertificateAuthority,
) -> Result<Option<String>, StoreError> {
    // Authorities are few.
    let others = authorities(tables, scope)?;
    let same = others.iter().find(|other| other.der == authority.der && other.name != authority.name);
    if let Some(other) = same {
        return Ok(Some(format!("the same certificate is uploaded as {}", other.name)));
    }
    let pinned: Option<EnrollmentRef> =
        tables.certificates.get(&codec::key(scope, Digest::of(&authority.der).to_string()))?;
    let named: Option<EnrollmentRef> = tables.certificates.get(&authority_key(scope, authority.name.as_str()))?;
    Ok(match (pinned, named) {
        (Some(pinned), Some(named)) if pinned != named => Some(format!(
            "{} pins this certificate, and {} rests on {}; one certificate can be in one enrollment only",
            pinned, named, authority.name
        )),
        _ => None,
    })
}

/// Makes or replaces a certificate authority.
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
        let key = key(&self.scope, self.authority.name.as_str());
        let stands: Option<CertificateAuthority> = tables.authorities.get(&key)?;
        let outcome = match self.when.judge(stands.as_ref().map(entity_tag).as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        if let Some(conflict) = is_elsewhere(tables, &self.scope, &self.authority)? {
            return Ok(PutOutcome::Conflict(conflict));
        }
        remember_without(tables, &self.scope, stands.as_ref(), Some(&self.authority))?;
        tables.authorities.put(&key, &self.authority)?;
        // A code that somebody asked for admits nobody.
        let counts = |authority: &CertificateAuthority| (authority.verified, authority.der.clone());
        if stands.as_ref().map(counts) != Some(counts(&self.authority)) {
            admissions::bump(tables, &self.scope, Way::Certificates)?;
        }
        revised(tables, &self.scope, outcome)
    }
}

/// Removes a certificate authority on which no group leans. What is said of its certificates stays.
pub(super) struct DeleteAuthority {
    scope: IdScope,
    name: CaName,
}

impl DeleteAuthority {
    pub(super) fn new(scope: &IdScope, name: &CaName) -> Self {
        Self { scope: scope.clone(), name: name.clone() }
    }
}

impl Write for DeleteAuthority {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let Some(stands) = tables.authorities.get::<CertificateAuthority>(&key)? else {
            return Ok(DeleteOutcome::Missing);
        };
        if let Some(user) = who_leans_on(tables, &self.scope, &stands)? {
            return Ok(DeleteOutcome::InUse(user));
        }
        remember_without(tables, &self.scope, Some(&stands), None)?;
        tables.authorities.remove(&key)?;
        admissions::bump(tables, &self.scope, Way::Certificates)?;
        revised(tables, &self.scope, DeleteOutcome::Deleted)
    }
}
