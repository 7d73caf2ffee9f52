//! What may belong to one enrollment only.
//!
//! A certificate names one enrollment, so that a device's certificate leads to one decision about it: each pinned
//! certificate and each named authority is a row of its own that says whose it is. Which plugins an enrollment uses
//! is kept the same way, so that none is removed under it.

use landfall_domain::enrollment::{
    Allocation, CertificatePin, EnrollmentRef, Group, GroupAttestation, Individual, IndividualAttestation,
    PolicyBinding,
};
use landfall_domain::names::{Digest, IdScope, ManufacturerId, PluginName};

use super::codec::{self, key, pair};
use super::components;
use super::tables::Tables;
use super::uses::{self, Named};
use crate::{PutOutcome, StoreError};

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
    pub(super) fn replace(
        &self,
        tables: &mut Tables<'_>,
        before: Option<Self>,
    ) -> Result<Result<(), PutOutcome>, StoreError> {
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

    pub(super) fn give_back(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
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
