//! Enrollments, individual and groups, and what may belong to one of them only.
//!
//! A certificate names one enrollment, so that a device's certificate leads to one decision about it: each pinned
//! certificate and each named authority is a row of its own that says whose it is. Which plugins an enrollment uses
//! is kept the same way, so that none is removed under it.

use landfall_domain::enrollment::{
    Allocation, CertificateAuthority, CertificatePin, EnrollmentRef, Group, GroupAttestation, Individual,
    IndividualAttestation, PolicyBinding,
};
use landfall_domain::names::{Digest, GroupId, IdScope, ManufacturerId, PluginName, RegistrationId};

use super::authorities::vouches;
use super::catalogue::{bump, revised};
use super::codec::{self, key, pair};
use super::engine::Write;
use super::listing::{self, Walk};
use super::tables::{self, CERTIFICATES, GROUPS, INDIVIDUALS, Tables};
use super::uses::{self, Named};
use super::{View, admissions, components, revocations, unreadable};
use crate::{DeleteOutcome, Listing, Page, Precondition, PutOutcome, StoreError};

/// The individual enrollment of an id. For an id that has none, one that stands beside it is read all the same.
pub(super) fn individual(view: &View, scope: &IdScope, id: &RegistrationId) -> Result<Option<Individual>, StoreError> {
    let table = view.table(INDIVIDUALS)?;
    let (first, own, end) = (key(scope, ""), key(scope, id.key()), codec::end_of(scope));
    let mut before = table.range(first.as_slice()..=own.as_slice()).map_err(unreadable)?;
    let found = match before.next_back() {
        Some(row) => Some(row),
        None => table.range(own.as_slice()..end.as_slice()).map_err(unreadable)?.next(),
    };
    let Some((_, row)) = found.transpose().map_err(unreadable)? else { return Ok(None) };
    let individual: Individual = codec::decode("individual enrollment", row.value())?;
    Ok((individual.registration_id == *id).then_some(individual))
}

/// A group.
pub(super) fn group(view: &View, scope: &IdScope, id: &GroupId) -> Result<Option<Group>, StoreError> {
    tables::get(&view.table(GROUPS)?, "enrollment group", &key(scope, id.as_str()))
}

/// A page of individual enrollments.
pub(super) fn individuals(view: &View, scope: &IdScope, page: &Page) -> Result<Listing<Individual>, StoreError> {
    let walk = Walk { things: INDIVIDUALS, what: "individual enrollment", view: None, prefix: "" };
    listing::page(view, &walk, scope, page, |_| true)
}

/// The enrollment that pins a certificate.
pub(super) fn of_certificate(
    view: &View,
    scope: &IdScope,
    certificate: Digest,
) -> Result<Option<EnrollmentRef>, StoreError> {
    let table = view.table(CERTIFICATES)?;
    let key = key(scope, certificate.to_string());
    tables::get(&table, "use of a certificate", &key)
}

/// Makes or replaces an individual enrollment.
pub(super) struct PutIndividual {
    scope: IdScope,
    entry: Individual,
    when: Precondition,
}

impl PutIndividual {
    pub(super) fn new(scope: &IdScope, entry: Individual, when: Precondition) -> Self {
        Self { scope: scope.clone(), entry, when }
    }
}

impl Write for PutIndividual {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.entry.registration_id.key());
        let stands: Option<Individual> = tables.individuals.get(&key)?;
        let outcome = match self.when.judge(stands.as_ref().map(|i| i.terms.etag.as_str())) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        let claims = stands.as_ref().map(|i| Claims::of_individual(&self.scope, i));
        if let Err(conflict) = Claims::of_individual(&self.scope, &self.entry).replace(tables, claims)? {
            return Ok(conflict);
        }
        tables.individuals.put(&key, &self.entry)?;
        Ok(outcome)
    }
}

/// Replaces individual enrollments that nobody changed since they were read.
pub(super) struct ReplaceIndividuals {
    pub(super) scope: IdScope,
    /// As they were read, and as they shall be.
    pub(super) entries: Vec<(Individual, Individual)>,
}

impl Write for ReplaceIndividuals {
    type Answer = usize;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<usize, StoreError> {
        let mut replaced = 0;
        for (read, new) in &self.entries {
            let key = key(&self.scope, read.registration_id.key());
            if tables.individuals.get::<Individual>(&key)?.as_ref() == Some(read) {
                tables.individuals.put(&key, new)?;
                replaced += 1;
            }
        }
        Ok(replaced)
    }
}

/// Removes an individual enrollment.
pub(super) struct DeleteIndividual {
    scope: IdScope,
    id: RegistrationId,
    when: Precondition,
}

impl DeleteIndividual {
    pub(super) fn new(scope: &IdScope, id: &RegistrationId, when: Precondition) -> Self {
        Self { scope: scope.clone(), id: id.clone(), when }
    }
}

impl Write for DeleteIndividual {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.id.key());
        let stands: Option<Individual> = tables.individuals.get(&key)?;
        let tag = stands.as_ref().map(|i| i.terms.etag.as_str());
        if let Err(refused) = self.when.judge_removal(tag) {
            return Ok(refused);
        }
        if let Some(stands) = &stands {
            Claims::of_individual(&self.scope, stands).give_back(tables)?;
            tables.individuals.remove(&key)?;
        }
        Ok(DeleteOutcome::Deleted)
    }
}

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

/// What an enrollment holds besides itself.
pub(super) struct Claims {
    owner: EnrollmentRef,
    /// Certificates: keys of rows, and how each is called in a conflict.
    certificates: Vec<(Vec<u8>, String)>,
    /// The plugins that it uses: the keys of their rows, and of those that say so.
    plugins: Vec<(PluginName, Vec<u8>)>,
    /// The components that it keeps to.
    named: Named,
    scope: IdScope,
}

impl Claims {
    pub(super) fn of_individual(scope: &IdScope, entry: &Individual) -> Self {
        let certificates = match &entry.attestation {
            IndividualAttestation::X509 { primary, secondary } => pinned(scope, primary, secondary.as_ref()),
            IndividualAttestation::SymmetricKey(_) | IndividualAttestation::Password { .. } => Vec::new(),
            // One TPM is one device.
            IndividualAttestation::Tpm { endorsement_key } => {
                let digest = Digest::of(endorsement_key);
                let called = format!("the endorsement key with SHA-256 {digest}");
                vec![(key(scope, format!("endorsement {digest}")), called)]
            }
        };
        let owner = EnrollmentRef::Individual(entry.registration_id.clone());
        Self {
            certificates,
            plugins: plugins(scope, &owner, &entry.terms.allocation),
            named: Named::by_allocation(scope, &entry.terms.allocation),
            scope: scope.clone(),
            owner,
        }
    }

    pub(super) fn of_group(scope: &IdScope, group: &Group) -> Self {
        let owner = EnrollmentRef::Group(group.id.clone());
        let certificates = match &group.attestation {
            GroupAttestation::X509Authorities { primary, secondary } => {
                let names = std::iter::once(primary).chain(secondary);
                names
                    .map(|name| {
                        let called = format!("the certificate authority {name}");
                        (authority_key(scope, name.as_str()), called)
                    })
                    .collect()
            }
            GroupAttestation::X509Intermediates { primary, secondary } => pinned(scope, primary, secondary.as_ref()),
            GroupAttestation::SymmetricKey(_) | GroupAttestation::Token(_) | GroupAttestation::Directory(_) => {
                Vec::new()
            }
            GroupAttestation::TpmMakers { roots, .. } => makers(scope, roots, group.terms.manufacturers.as_deref()),
        };
        Self {
            certificates,
            plugins: plugins(scope, &owner, &group.terms.allocation),
            named: Named::by_allocation(scope, &group.terms.allocation),
            scope: scope.clone(),
            owner,
        }
    }

    /// The keys of the rows for certificates and for plugins, and whose they are.
    pub(super) fn into_rows(self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>, EnrollmentRef) {
        let certificates = self.certificates.into_iter().map(|(key, _)| key);
        let plugins = self.plugins.into_iter().map(|(_, key)| key);
        (certificates.collect(), plugins.collect(), self.owner)
    }

    /// Takes these in place of what the same enrollment held before, if no other holds any of them.
    fn replace(&self, tables: &mut Tables<'_>, before: Option<Self>) -> Result<Result<(), PutOutcome>, StoreError> {
        for (key, called) in &self.certificates {
            match tables.certificates.get::<EnrollmentRef>(key)? {
                Some(other) if other != self.owner => {
                    return Ok(Err(PutOutcome::Conflict(format!(
                        "{called} belongs to {}; it can be in one enrollment only",
                        other
                    ))));
                }
                _ => {}
            }
        }
        if let Some(gone) = self.gone(tables, before.as_ref())? {
            return Ok(Err(PutOutcome::Conflict(gone)));
        }
        uses::take(tables, &self.named, &[])?;
        if let Some(before) = before {
            before.give_back(tables)?;
        }
        for (key, _) in &self.certificates {
            tables.certificates.put(key, &self.owner)?;
        }
        for (_, key) in &self.plugins {
            tables.plugin_uses.put(key, &self.owner)?;
        }
        Ok(Ok(()))
    }

    /// Which of the plugins and revisions is not there, or not any more: it may have been taken away since the caller looked.
    /// A plugin that the enrollment uses already is held for it, and is not looked at again.
    fn gone(&self, tables: &Tables<'_>, before: Option<&Self>) -> Result<Option<String>, StoreError> {
        let held = |key: &Vec<u8>| before.is_some_and(|before| before.plugins.iter().any(|(_, own)| own == key));
        for (plugin, _) in self.plugins.iter().filter(|(_, key)| !held(key)) {
            if !tables.plugins.has(&codec::key(&self.scope, plugin.as_str()))? {
                return Ok(Some(format!("no plugin {plugin} is published now; see landfall plugin list")));
            }
        }
        if !components::are_there(tables, self.named.components())? {
            let gone = "a revision that it keeps to was removed meanwhile; see `landfall plugin show`";
            return Ok(Some(gone.to_owned()));
        }
        Ok(None)
    }

    fn give_back(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        for (key, _) in &self.certificates {
            tables.certificates.remove(key)?;
        }
        for (_, key) in &self.plugins {
            tables.plugin_uses.remove(key)?;
        }
        uses::give_back(tables, &self.named)?;
        Ok(())
    }
}

/// The uploaded authorities of a scope. They are few.
pub(super) fn authorities(tables: &Tables<'_>, scope: &IdScope) -> Result<Vec<CertificateAuthority>, StoreError> {
    let rows = tables.authorities.range(&key(scope, ""), &codec::end_of(scope))?;
    Ok(rows.into_iter().map(|(_, authority)| authority).collect())
}

/// The row that says which group names an authority. A digest holds no such prefix.
pub(super) fn authority_key(scope: &IdScope, name: &str) -> Vec<u8> {
    key(scope, format!("authority {name}"))
}

fn pinned(scope: &IdScope, primary: &CertificatePin, secondary: Option<&CertificatePin>) -> Vec<(Vec<u8>, String)> {
    std::iter::once(primary)
        .chain(secondary)
        .map(|pin| {
            let called = format!("the certificate with SHA-256 {}", pin.sha256);
            (key(scope, pin.sha256.to_string()), called)
        })
        .collect()
}

/// Two groups may rely on one maker of TPMs, if no manufacturer's devices could come into both.
fn makers(scope: &IdScope, roots: &[Vec<u8>], manufacturers: Option<&[ManufacturerId]>) -> Vec<(Vec<u8>, String)> {
    let whose: Vec<&str> = match manufacturers {
        Some(manufacturers) => manufacturers.iter().map(ManufacturerId::as_str).collect(),
        None => vec!["*"],
    };
    let claims = roots.iter().flat_map(|der| {
        let digest = Digest::of(der);
        whose.iter().map(move |manufacturer| {
            let of = if *manufacturer == "*" { "any manufacturer" } else { manufacturer };
            let called = format!("the TPM maker's root with SHA-256 {digest} for devices of {of}");
            (key(scope, format!("tpm-maker {digest} {manufacturer}")), called)
        })
    });
    let mut claims: Vec<_> = claims.collect();
    claims.sort();
    claims.dedup();
    claims
}

fn plugins(scope: &IdScope, owner: &EnrollmentRef, allocation: &Allocation) -> Vec<(PluginName, Vec<u8>)> {
    let owner = match owner {
        EnrollmentRef::Individual(id) => format!("individual {}", id.key()),
        EnrollmentRef::Group(id) => format!("group {id}"),
    };
    let row = |binding: &PolicyBinding| (binding.plugin.clone(), pair(scope, binding.plugin.as_str(), &owner));
    allocation.bindings().map(row).collect()
}
