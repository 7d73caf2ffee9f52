//! The view of the state that the rules use.

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

use super::{State, of_scope};
use crate::rules::Scoped;
use crate::rules::claims::Claims;
use crate::rules::contents::{self, Contents};
use crate::{Held, StoreError, Way};

/// The state of one id scope.
pub(super) struct InScope<'a> {
    pub(super) state: &'a State,
    pub(super) scope: &'a IdScope,
}

impl State {
    /// The view of an id scope that the rules use.
    pub(super) fn of<'a>(&'a self, scope: &'a IdScope) -> InScope<'a> {
        InScope { state: self, scope }
    }

    /// The claims of all enrollments of an id scope, those of groups first.
    pub(super) fn claims<'a>(&'a self, scope: &'a IdScope) -> impl Iterator<Item = Claims> + 'a {
        let groups = of_scope(&self.groups, scope).map(move |(_, group)| Claims::of_group(scope, group));
        groups.chain(of_scope(&self.individuals, scope).map(move |(_, entry)| Claims::of_individual(scope, entry)))
    }

    /// The number of devices of a hub.
    pub(super) fn hub_load(&self, scope: &IdScope, hub: &HubName) -> u64 {
        let on_it = of_scope(&self.registrations, scope).filter(|(_, registration)| registration.hub() == Some(hub));
        u64::try_from(on_it.count()).unwrap_or(u64::MAX)
    }
}

impl InScope<'_> {
    fn device(&self, is_it: impl Fn(&Registration) -> bool) -> Option<RegistrationId> {
        let mut all = of_scope(&self.state.registrations, self.scope).map(|(_, registration)| registration);
        all.find(|registration| is_it(registration)).map(|registration| registration.registration_id.clone())
    }
}

impl Scoped for InScope<'_> {
    fn registration(&self, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        Ok(self.state.registrations.get(&(self.scope.clone(), id.key().to_owned())).cloned())
    }

    fn record(&self, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError> {
        Ok(self.state.records.get(&(self.scope.clone(), id.key().to_owned())).cloned())
    }

    fn individual_tag(&self, id: &RegistrationId) -> Result<Option<String>, StoreError> {
        let stands = self.state.individuals.get(&(self.scope.clone(), id.key().to_owned()));
        Ok(stands.map(|stands| stands.terms.etag.clone()))
    }

    fn group_tag(&self, id: &GroupId) -> Result<Option<String>, StoreError> {
        Ok(self.state.groups.get(&(self.scope.clone(), id.clone())).map(|stands| stands.terms.etag.clone()))
    }

    fn groups(&self) -> Result<Vec<Group>, StoreError> {
        Ok(of_scope(&self.state.groups, self.scope).map(|(_, group)| group.clone()).collect())
    }

    fn count_groups(&self) -> Result<u64, StoreError> {
        Ok(u64::try_from(of_scope(&self.state.groups, self.scope).count()).unwrap_or(u64::MAX))
    }

    fn authority(&self, name: &CaName) -> Result<Option<CertificateAuthority>, StoreError> {
        Ok(self.state.authorities.get(&(self.scope.clone(), name.clone())).cloned())
    }

    fn authorities(&self) -> Result<Vec<CertificateAuthority>, StoreError> {
        Ok(of_scope(&self.state.authorities, self.scope).map(|(_, authority)| authority.clone()).collect())
    }

    fn said_of(&self, issuer: &Issuer) -> Result<Option<RevocationRecord>, StoreError> {
        let kept = self.state.scopes.get(self.scope).map_or(&[] as &[_], |tenant| &tenant.revocations);
        Ok(kept.iter().find(|kept| kept.record.issuer.is(issuer)).map(|kept| kept.record.clone()))
    }

    fn holder(&self, held: &Held) -> Result<Option<EnrollmentRef>, StoreError> {
        Ok(self.state.claims(self.scope).find(|claims| claims.held.contains(held)).map(|claims| claims.owner))
    }

    fn hub(&self, name: &HubName) -> Result<Option<Hub>, StoreError> {
        Ok(self.state.hubs.get(&(self.scope.clone(), name.clone())).cloned())
    }

    fn hub_load(&self, name: &HubName) -> Result<u64, StoreError> {
        Ok(self.state.hub_load(self.scope, name))
    }

    fn owner_of_key(&self, key: Digest) -> Result<Option<RegistrationId>, StoreError> {
        Ok(self.device(|registration| registration.key_identity == Some(key)))
    }

    fn owner_of_identity(&self, hub: &HubName, id: &DeviceId) -> Result<Option<RegistrationId>, StoreError> {
        let is_it = |place: &landfall_domain::registration::Assignment| (&place.hub, &place.device_id) == (hub, id);
        Ok(self.device(|registration| registration.assignment().is_some_and(is_it)))
    }

    fn admissions(&self, way: Way) -> Result<u64, StoreError> {
        Ok(self.state.scopes.get(self.scope).map_or(0, |tenant| tenant.admissions.of(way)))
    }

    fn revision(&self) -> Result<u64, StoreError> {
        Ok(self.state.scopes.get(self.scope).map_or(0, |tenant| tenant.revision))
    }

    fn has_plugin(&self, name: &PluginName) -> Result<bool, StoreError> {
        Ok(self.state.plugins.contains_key(&(self.scope.clone(), name.clone())))
    }

    fn has_component(&self, component: Digest) -> Result<bool, StoreError> {
        contents::is_there(self.state, component)
    }

    fn is_spent(&self, challenge: TrackingId) -> Result<Option<bool>, StoreError> {
        Ok(self.state.challenges.get(&challenge).map(|kept| kept.spent))
    }
}

impl Contents for State {
    fn uses(&self, content: Digest) -> Result<u64, StoreError> {
        Ok(self.uses.get(&content).copied().unwrap_or(0))
    }

    fn set_uses(&mut self, content: Digest, uses: u64) -> Result<(), StoreError> {
        match uses {
            0 => drop(self.uses.remove(&content)),
            uses => drop(self.uses.insert(content, uses)),
        }
        Ok(())
    }

    fn size(&self, content: Digest) -> Result<Option<u64>, StoreError> {
        Ok(self.contents.get(&content).map(|bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
    }

    fn put(&mut self, content: Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.contents.insert(content, bytes.to_vec());
        Ok(())
    }

    fn remove(&mut self, content: Digest) -> Result<(), StoreError> {
        self.contents.remove(&content);
        Ok(())
    }

    fn is_built_in(&self, component: Digest) -> bool {
        (self.settings.built_in)(component)
    }

    fn is_kept(&self, component: Digest) -> Result<bool, StoreError> {
        Ok(self.kept_components.contains_key(&component))
    }

    fn keep(&mut self, component: Digest, kept: &KeptComponent) -> Result<(), StoreError> {
        self.kept_components.insert(component, kept.clone());
        Ok(())
    }

    fn keep_no_more(&mut self, component: Digest) -> Result<(), StoreError> {
        self.kept_components.remove(&component);
        Ok(())
    }

    fn kept(&self) -> Result<Vec<(Digest, KeptComponent)>, StoreError> {
        Ok(self.kept_components.iter().map(|(digest, kept)| (*digest, kept.clone())).collect())
    }

    fn plugin(&self, scope: &IdScope, name: &PluginName) -> Result<Option<PublishedPlugin>, StoreError> {
        Ok(self.plugins.get(&(scope.clone(), name.clone())).cloned())
    }

    fn put_plugin(&mut self, scope: &IdScope, plugin: &PublishedPlugin) -> Result<(), StoreError> {
        self.plugins.insert((scope.clone(), plugin.name.clone()), plugin.clone());
        Ok(())
    }

    fn plugins(&self, scope: &IdScope) -> Result<Vec<PublishedPlugin>, StoreError> {
        Ok(of_scope(&self.plugins, scope).map(|(_, plugin)| plugin.clone()).collect())
    }

    fn named_by_plugins(&self) -> Result<BTreeSet<Digest>, StoreError> {
        Ok(self.plugins.values().flat_map(PublishedPlugin::revisions).map(|(revision, _)| revision).collect())
    }

    fn signatures_of(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        Ok(self.signatures.get(&component).cloned().unwrap_or_default())
    }

    fn put_signatures(&mut self, component: Digest, signatures: &[Signature]) -> Result<(), StoreError> {
        match signatures {
            [] => drop(self.signatures.remove(&component)),
            some => drop(self.signatures.insert(component, some.to_vec())),
        }
        Ok(())
    }
}
