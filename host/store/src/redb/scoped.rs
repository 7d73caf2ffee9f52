//! The view of a transaction that the rules use: rows of one id scope, and contents.

use std::collections::BTreeSet;

use landfall_attestation::x509::revocation::{Issuer, RevocationRecord};
use landfall_domain::enrollment::{CertificateAuthority, EnrollmentRef, Group};
use landfall_domain::hub::Hub;
use landfall_domain::names::{
    CaName, DeviceId, Digest, GroupId, HubName, IdScope, PluginName, RegistrationId, TrackingId,
};
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};
use landfall_domain::registration::Registration;
use landfall_domain::registry::ManufacturingRecord;
use serde::Deserialize;

use super::codec::{self, key, pair};
use super::tables::Tables;
use super::{admissions, challenges, revocations};
use crate::rules::Scoped;
use crate::rules::contents::{self, Contents};
use crate::{Held, StoreError, Way};

/// The rows of an id scope.
pub(super) struct InScope<'a, 't> {
    pub(super) tables: &'a Tables<'t>,
    pub(super) scope: &'a IdScope,
}

impl<'t> Tables<'t> {
    /// The view of an id scope that the rules use.
    pub(super) fn of<'a>(&'a self, scope: &'a IdScope) -> InScope<'a, 't> {
        InScope { tables: self, scope }
    }
}

impl InScope<'_, '_> {
    fn key(&self, name: impl AsRef<[u8]>) -> Vec<u8> {
        key(self.scope, name)
    }
}

/// The entity tag of an enrollment. The other fields may be long, and are skipped.
#[derive(Deserialize)]
struct Tagged {
    terms: Tag,
}

#[derive(Deserialize)]
struct Tag {
    etag: String,
}

impl Scoped for InScope<'_, '_> {
    fn registration(&self, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        self.tables.registrations.get(&self.key(id.key()))
    }

    fn record(&self, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError> {
        self.tables.records.get(&self.key(id.key()))
    }

    fn individual_tag(&self, id: &RegistrationId) -> Result<Option<String>, StoreError> {
        Ok(self.tables.individuals.get::<Tagged>(&self.key(id.key()))?.map(|stands| stands.terms.etag))
    }

    fn group_tag(&self, id: &GroupId) -> Result<Option<String>, StoreError> {
        Ok(self.tables.groups.get::<Tagged>(&self.key(id.as_str()))?.map(|stands| stands.terms.etag))
    }

    fn groups(&self) -> Result<Vec<Group>, StoreError> {
        self.tables.groups.starting_with(&self.key(""))
    }

    fn count_groups(&self) -> Result<u64, StoreError> {
        self.tables.groups.count_between(&self.key(""), &codec::end_of(self.scope))
    }

    fn authority(&self, name: &CaName) -> Result<Option<CertificateAuthority>, StoreError> {
        self.tables.authorities.get(&self.key(name.as_str()))
    }

    fn authorities(&self) -> Result<Vec<CertificateAuthority>, StoreError> {
        self.tables.authorities.starting_with(&self.key(""))
    }

    fn said_of(&self, issuer: &Issuer) -> Result<Option<RevocationRecord>, StoreError> {
        Ok(revocations::find(self.tables, self.scope, issuer)?.map(|(_, record)| record))
    }

    fn holder(&self, held: &Held) -> Result<Option<EnrollmentRef>, StoreError> {
        self.tables.certificates.get(&self.key(held.name()))
    }

    fn hub(&self, name: &HubName) -> Result<Option<Hub>, StoreError> {
        self.tables.hubs.get(&self.key(name.as_str()))
    }

    fn hub_load(&self, name: &HubName) -> Result<u64, StoreError> {
        self.tables.hub_loads.count(&self.key(name.as_str()))
    }

    fn owner_of_key(&self, shown: Digest) -> Result<Option<RegistrationId>, StoreError> {
        self.tables.bound_keys.get(&self.key(shown.to_string()))
    }

    fn owner_of_identity(&self, hub: &HubName, id: &DeviceId) -> Result<Option<RegistrationId>, StoreError> {
        self.tables.hub_identities.get(&pair(self.scope, hub.as_str(), id.as_str()))
    }

    fn admissions(&self, way: Way) -> Result<u64, StoreError> {
        self.tables.admissions.count(&admissions::row(self.scope, way))
    }

    fn revision(&self) -> Result<u64, StoreError> {
        self.tables.scopes.count(&self.key(""))
    }

    fn has_plugin(&self, name: &PluginName) -> Result<bool, StoreError> {
        self.tables.plugins.has(&self.key(name.as_str()))
    }

    fn has_component(&self, component: Digest) -> Result<bool, StoreError> {
        contents::is_there(self.tables, component)
    }

    fn is_spent(&self, challenge: TrackingId) -> Result<Option<bool>, StoreError> {
        challenges::is_spent(self.tables, challenge)
    }
}

impl Contents for Tables<'_> {
    fn uses(&self, content: Digest) -> Result<u64, StoreError> {
        self.uses.count(content.as_bytes())
    }

    fn set_uses(&mut self, content: Digest, uses: u64) -> Result<(), StoreError> {
        self.uses.set_count(content.as_bytes(), uses)
    }

    fn size(&self, content: Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.content.size_of(content.as_bytes())?.map(|size| u64::try_from(size).unwrap_or(u64::MAX)))
    }

    fn put(&mut self, content: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.content.put_encoded(content.as_bytes(), bytes)
    }

    fn remove(&mut self, content: Digest) -> Result<(), StoreError> {
        self.content.remove(content.as_bytes())
    }

    fn is_built_in(&self, component: Digest) -> bool {
        (self.kept.built_in)(component)
    }

    fn is_kept(&self, component: Digest) -> Result<bool, StoreError> {
        self.kept_components.has(component.as_bytes())
    }

    fn keep(&mut self, component: Digest, kept: &KeptComponent) -> Result<(), StoreError> {
        self.kept_components.put(component.as_bytes(), kept)
    }

    fn keep_no_more(&mut self, component: Digest) -> Result<(), StoreError> {
        self.kept_components.remove(component.as_bytes())
    }

    fn kept(&self) -> Result<Vec<(Digest, KeptComponent)>, StoreError> {
        let mut all = Vec::new();
        self.kept_components.each(|row, kept: KeptComponent| {
            all.extend(<[u8; 32]>::try_from(row).map(|digest| (Digest::from_bytes(digest), kept)));
            Ok(())
        })?;
        Ok(all)
    }

    fn plugin(&self, scope: &IdScope, name: &PluginName) -> Result<Option<PublishedPlugin>, StoreError> {
        self.plugins.get(&key(scope, name.as_str()))
    }

    fn put_plugin(&mut self, scope: &IdScope, plugin: &PublishedPlugin) -> Result<(), StoreError> {
        self.plugins.put(&key(scope, plugin.name.as_str()), plugin)
    }

    fn plugins(&self, scope: &IdScope) -> Result<Vec<PublishedPlugin>, StoreError> {
        self.plugins.starting_with(&key(scope, ""))
    }

    fn named_by_plugins(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let mut named = BTreeSet::new();
        self.plugins.each(|_, plugin: PublishedPlugin| {
            named.extend(plugin.revisions().map(|(revision, _)| revision));
            Ok(())
        })?;
        Ok(named)
    }

    fn signatures_of(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        Ok(self.signatures.get(component.as_bytes())?.unwrap_or_default())
    }

    fn put_signatures(&mut self, component: Digest, signatures: &[Signature]) -> Result<(), StoreError> {
        if signatures.is_empty() {
            return self.signatures.remove(component.as_bytes());
        }
        self.signatures.put(component.as_bytes(), &signatures)
    }
}

#[cfg(test)]
mod tests {
    use landfall_domain::enrollment::{GroupAttestation, Individual};

    use super::*;
    use crate::suite::make;

    #[test]
    fn the_tag_of_an_enrollment_is_read_without_the_rest() {
        let tag = |bytes: &[u8]| codec::decode::<Tagged>("enrollment", bytes).unwrap().terms.etag;
        let attestation = GroupAttestation::X509Intermediates { primary: make::pin("x"), secondary: None };
        assert_eq!(tag(&codec::encode(&make::group("pumps", attestation)).unwrap()), "g1");
        let individual: Individual = make::individual("a", "i7", "c1", None);
        assert_eq!(tag(&codec::encode(&individual).unwrap()), "i7");
    }
}
