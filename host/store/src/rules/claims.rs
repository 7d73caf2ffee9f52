//! What an enrollment holds exclusively, and what it uses.
//!
//! A certificate may be held by one enrollment only, so that the certificate of a device leads to one decision. So the
//! holder of each pinned certificate and of each named authority is recorded. The plugins that an enrollment uses are
//! recorded too, so that none is removed while in use.

use landfall_domain::enrollment::{
    Allocation, CertificatePin, EnrollmentRef, Group, GroupAttestation, Individual, IndividualAttestation,
};
use landfall_domain::names::{Digest, IdScope, ManufacturerId, PluginName};

use super::Scoped;
use super::contents::Named;
use crate::{Conflict, Held, StoreError};

/// What an enrollment holds and uses.
pub(crate) struct Claims {
    pub(crate) owner: EnrollmentRef,
    /// What only one enrollment may hold.
    pub(crate) held: Vec<Held>,
    /// The plugins that the enrollment uses.
    pub(crate) plugins: Vec<PluginName>,
    /// The components that the enrollment is pinned to.
    pub(crate) named: Named,
}

impl Claims {
    pub(crate) fn of_individual(scope: &IdScope, entry: &Individual) -> Self {
        let held = match &entry.attestation {
            IndividualAttestation::X509 { primary, secondary } => pinned(primary, secondary.as_ref()),
            IndividualAttestation::SymmetricKey(_) | IndividualAttestation::Password { .. } => Vec::new(),
            IndividualAttestation::Tpm { endorsement_key } => vec![Held::EndorsementKey(Digest::of(endorsement_key))],
        };
        let owner = EnrollmentRef::Individual(entry.registration_id.clone());
        Self::new(scope, owner, held, &entry.terms.allocation)
    }

    pub(crate) fn of_group(scope: &IdScope, group: &Group) -> Self {
        let held = match &group.attestation {
            GroupAttestation::X509Authorities { primary, secondary } => {
                std::iter::once(primary).chain(secondary).cloned().map(Held::Authority).collect()
            }
            GroupAttestation::X509Intermediates { primary, secondary } => pinned(primary, secondary.as_ref()),
            GroupAttestation::SymmetricKey(_) | GroupAttestation::Token(_) | GroupAttestation::Directory(_) => {
                Vec::new()
            }
            GroupAttestation::TpmMakers { roots, .. } => makers(roots, group.terms.manufacturers.as_deref()),
        };
        Self::new(scope, EnrollmentRef::Group(group.id.clone()), held, &group.terms.allocation)
    }

    fn new(scope: &IdScope, owner: EnrollmentRef, held: Vec<Held>, allocation: &Allocation) -> Self {
        let plugins = allocation.bindings().map(|binding| binding.plugin.clone()).collect();
        Self { owner, held, plugins, named: Named::by_allocation(scope, allocation) }
    }

    /// Why these claims may not replace the earlier claims of the same enrollment: another enrollment holds one of
    /// them, or something was removed since the caller looked. A plugin that the enrollment uses already is not
    /// checked again.
    pub(crate) fn refused(&self, scope: &impl Scoped, before: Option<&Self>) -> Result<Option<Conflict>, StoreError> {
        for what in &self.held {
            if let Some(by) = scope.holder(what)?.filter(|other| *other != self.owner) {
                return Ok(Some(Conflict::Held { what: what.clone(), by }));
            }
        }
        let uses = |plugin: &&PluginName| before.is_some_and(|before| before.plugins.contains(plugin));
        for plugin in self.plugins.iter().filter(|plugin| !uses(plugin)) {
            if !scope.has_plugin(plugin)? {
                return Ok(Some(Conflict::NoPlugin(plugin.clone())));
            }
        }
        for component in self.named.components() {
            if !scope.has_component(*component)? {
                return Ok(Some(Conflict::NoRevision));
            }
        }
        Ok(None)
    }
}

fn pinned(primary: &CertificatePin, secondary: Option<&CertificatePin>) -> Vec<Held> {
    std::iter::once(primary).chain(secondary).map(|pin| Held::Certificate(pin.sha256)).collect()
}

fn makers(roots: &[Vec<u8>], manufacturers: Option<&[ManufacturerId]>) -> Vec<Held> {
    let whose: Vec<Option<ManufacturerId>> = match manufacturers {
        Some(manufacturers) => manufacturers.iter().cloned().map(Some).collect(),
        None => vec![None],
    };
    let claims = roots.iter().flat_map(|der| {
        let root = Digest::of(der);
        whose.iter().map(move |manufacturer| Held::TpmMaker { root, manufacturer: manufacturer.clone() })
    });
    let mut claims: Vec<_> = claims.collect();
    claims.sort_by_key(Held::name);
    claims.dedup();
    claims
}
