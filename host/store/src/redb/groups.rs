//! Enrollment groups: put, and taken away. Few, and read with the catalogue.

use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group, GroupAttestation};
use landfall_domain::names::{Digest, GroupId, IdScope};

use super::authorities::{authorities, vouches};
use super::catalogue::{bump, revised};
use super::claims::{Claims, authority_key};
use super::codec::{self, key};
use super::engine::Write;
use super::tables::Tables;
use super::{admissions, revocations};
use crate::{DeleteOutcome, Precondition, PutOutcome, StoreError};

/// Makes or replaces a group.
pub(super) struct PutGroup {
    scope: IdScope,
    group: Group,
    when: Precondition,
}

impl PutGroup {
    pub(super) fn new(scope: &IdScope, group: Group, when: Precondition) -> Self {
        Self { scope: scope.clone(), group, when }
    }
}

impl Write for PutGroup {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.group.id.as_str());
        let stands: Option<Group> = tables.groups.get(&key)?;
        let outcome = match self.when.judge(stands.as_ref().map(|g| g.terms.etag.as_str())) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        let most = tables.kept.groups;
        if stands.is_none()
            && tables.groups.count_between(&codec::key(&self.scope, ""), &codec::end_of(&self.scope))? >= most
        {
            return Ok(PutOutcome::Conflict(format!(
                "{} has {most} enrollment groups, and no more are taken; limits.store.groups_per_scope in landfall.toml is the limit",
                self.scope
            )));
        }
        if let Some(gone) = self.unfounded(tables, stands.as_ref())? {
            return Ok(PutOutcome::Conflict(gone));
        }
        if let Some(other) = self.held_otherwise(tables)? {
            return Ok(PutOutcome::Conflict(other));
        }
        let claims = stands.as_ref().map(|g| Claims::of_group(&self.scope, g));
        if let Err(conflict) = Claims::of_group(&self.scope, &self.group).replace(tables, claims)? {
            return Ok(conflict);
        }
        remember_without(tables, &self.scope, stands.as_ref(), Some(&self.group))?;
        tables.groups.put(&key, &self.group)?;
        admissions::bump_for(tables, &self.scope, stands.as_ref(), Some(&self.group))?;
        revised(tables, &self.scope, outcome)
    }
}

impl PutGroup {
    /// What the group shall rest on and is not there, or not any more: it may have been taken away since the caller looked.
    /// What the group rests on already is held for it, and is not looked at again.
    fn unfounded(&self, tables: &Tables<'_>, stands: Option<&Group>) -> Result<Option<String>, StoreError> {
        match &self.group.attestation {
            GroupAttestation::X509Authorities { primary, secondary } => {
                let named: Vec<_> = match stands.map(|group| &group.attestation) {
                    Some(GroupAttestation::X509Authorities { primary, secondary }) => {
                        std::iter::once(primary).chain(secondary).collect()
                    }
                    _ => Vec::new(),
                };
                for name in std::iter::once(primary).chain(secondary).filter(|name| !named.contains(name)) {
                    match tables.authorities.get::<CertificateAuthority>(&key(&self.scope, name.as_str()))? {
                        Some(authority) if authority.verified => {}
                        Some(_) => {
                            return Ok(Some(format!(
                                "the key of the authority {name} is not proven: landfall ca verify"
                            )));
                        }
                        None => return Ok(Some(format!("no authority {name} is uploaded now: landfall ca upload"))),
                    }
                }
            }
            GroupAttestation::X509Intermediates { primary, secondary } => {
                let held: Vec<_> = match stands.map(|group| &group.attestation) {
                    Some(GroupAttestation::X509Intermediates { primary, secondary }) => {
                        std::iter::once(primary).chain(secondary).collect()
                    }
                    _ => Vec::new(),
                };
                let all = authorities(tables, &self.scope)?;
                for pin in std::iter::once(primary).chain(secondary).filter(|pin| !held.contains(pin)) {
                    let vouched = |der| all.iter().any(|one| one.verified && vouches(one, der));
                    if !pin.der.as_deref().is_some_and(vouched) {
                        return Ok(Some(format!(
                            "no uploaded, proven authority has issued the intermediate with SHA-256 {}: landfall ca upload",
                            pin.sha256
                        )));
                    }
                }
            }
            GroupAttestation::SymmetricKey(_)
            | GroupAttestation::Token(_)
            | GroupAttestation::Directory(_)
            | GroupAttestation::TpmMakers { .. } => {}
        }
        Ok(None)
    }

    /// A certificate can be named, as an uploaded authority, or pinned, as an intermediate: it is the same certificate.
    fn held_otherwise(&self, tables: &Tables<'_>) -> Result<Option<String>, StoreError> {
        let owner = EnrollmentRef::Group(self.group.id.clone());
        let held = |key: &[u8]| -> Result<Option<EnrollmentRef>, StoreError> {
            Ok(tables.certificates.get::<EnrollmentRef>(key)?.filter(|other| *other != owner))
        };
        let conflict = |what: &str, other: &EnrollmentRef| {
            format!("{what} belongs to {}; one certificate can be in one enrollment only", other)
        };
        match &self.group.attestation {
            GroupAttestation::X509Authorities { primary, secondary } => {
                for name in std::iter::once(primary).chain(secondary) {
                    let Some(authority) =
                        tables.authorities.get::<CertificateAuthority>(&key(&self.scope, name.as_str()))?
                    else {
                        continue;
                    };
                    let pinned = key(&self.scope, Digest::of(&authority.der).to_string());
                    if let Some(other) = held(&pinned)? {
                        return Ok(Some(conflict(&format!("the certificate of the authority {name}"), &other)));
                    }
                }
            }
            GroupAttestation::X509Intermediates { primary, secondary } => {
                for authority in authorities(tables, &self.scope)? {
                    let digest = Digest::of(&authority.der);
                    if !std::iter::once(primary).chain(secondary).any(|pin| pin.sha256 == digest) {
                        continue;
                    }
                    if let Some(other) = held(&authority_key(&self.scope, authority.name.as_str()))? {
                        let what = format!("the certificate with SHA-256 {digest}, uploaded as {},", authority.name);
                        return Ok(Some(conflict(&what, &other)));
                    }
                }
            }
            GroupAttestation::SymmetricKey(_)
            | GroupAttestation::Token(_)
            | GroupAttestation::Directory(_)
            | GroupAttestation::TpmMakers { .. } => {}
        }
        Ok(None)
    }
}

/// Removes a group.
pub(super) struct DeleteGroup {
    scope: IdScope,
    id: GroupId,
    when: Precondition,
}

impl DeleteGroup {
    pub(super) fn new(scope: &IdScope, id: &GroupId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for DeleteGroup {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.id.as_str());
        let stands: Option<Group> = tables.groups.get(&key)?;
        let tag = stands.as_ref().map(|g| g.terms.etag.as_str());
        if let Err(refused) = self.when.judge_removal(tag) {
            return Ok(refused);
        }
        if let Some(stands) = &stands {
            Claims::of_group(&self.scope, stands).give_back(tables)?;
            remember_without(tables, &self.scope, Some(stands), None)?;
            tables.groups.remove(&key)?;
            admissions::bump_for(tables, &self.scope, Some(stands), None)?;
            bump(tables, &self.scope)?;
        }
        Ok(DeleteOutcome::Deleted)
    }
}

/// Remembers the intermediates that a group will not hold any more: what is revoked above them still reaches pinned
/// certificates below them.
fn remember_without(
    tables: &mut Tables<'_>,
    scope: &IdScope,
    before: Option<&Group>,
    next: Option<&Group>,
) -> Result<(), StoreError> {
    let Some(before) = before else { return Ok(()) };
    let stay: Vec<&[u8]> = next.into_iter().flat_map(Group::intermediates).collect();
    for der in before.intermediates().filter(|der| !stay.contains(der)) {
        revocations::remember(tables, scope, der, before.terms.updated_at)?;
    }
    Ok(())
}
