//! The part of the store that every decision reads, held in memory: id scopes with their hubs, groups, authorities and
//! plugins.
//!
//! There are few of these and they rarely change. So a change reads them anew and replaces the catalogue; a request
//! works on the catalogue that it began with. What there may be millions of (individual enrollments, manufacturing
//! records, registrations) is looked up in the store one by one.

pub mod candidates;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use landfall_attestation::symmetric_key::GroupKey;
use landfall_attestation::x509::endorsement::TpmMakers;
use landfall_attestation::x509::revocation::{Known, Standing};
use landfall_attestation::x509::{Anchor, AnchorIndex, PresentedChain};
use landfall_domain::decision::Content;
use landfall_domain::enrollment::{
    Allocation, CertificateAuthority, CertificatePin, EnrollmentRef, Group, GroupAttestation, PolicyBinding, Terms,
};
use landfall_domain::hub::Hub;
use landfall_domain::json::JsonText;
use landfall_domain::names::{CaName, Digest, GroupId, IdScope, PluginName};
use landfall_domain::plugin::PublishedPlugin;
use landfall_domain::plugin::rules::{PluginLimits, Resort};
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::shipped;
use landfall_policy::watch::{Watch, Watched, Watches};
use landfall_store::{Admissions, CatalogueRecords, ScopeRecords};
use rustls_pki_types::CertificateDer;

use crate::catalogue::candidates::{HubLoads, Hubs};

/// The catalogue of all id scopes.
#[derive(Default)]
pub struct Catalogue {
    scopes: HashMap<IdScope, Arc<ScopeCatalogue>>,
    /// How full the hubs are.
    loads: Arc<HubLoads>,
}

/// The catalogue of one id scope.
pub struct ScopeCatalogue {
    /// The id scope.
    pub scope: IdScope,
    /// The revision, which grows by one with every change.
    pub revision: u64,
    /// Counters of changes to what is read to find a device's enrollment.
    pub admissions: Admissions,
    /// Its linked hubs.
    pub hubs: Hubs,
    /// Its hubs as decisions name them: a JSON list in the order of [`Hubs::iter`].
    pub hubs_list: Content,
    authorities: BTreeMap<CaName, CertificateAuthority>,
    groups: BTreeMap<GroupId, Arc<BoundGroup>>,
    signers: Arc<[Arc<BoundGroup>]>,
    anchors: AnchorIndex<AnchorOwner>,
    revocations: Known,
    plugins: Plugins,
}

/// What is needed to bind policies to revisions.
struct Plugins {
    scope: IdScope,
    published: BTreeMap<PluginName, PublishedPlugin>,
    watches: Arc<Watches>,
}

/// A group, with everything that admitting its devices needs.
#[expect(missing_docs, reason = "the names say it")]
pub struct BoundGroup {
    pub group: Group,
    /// The terms for its devices.
    pub terms: Arc<Terms>,
    pub allocation: Arc<BoundAllocation>,
    /// The certificates that end the chains of its devices.
    pub anchors: Vec<Anchor>,
    /// The makers of TPMs on whom it relies.
    pub makers: Option<TpmMakers>,
    /// The keys from which its devices' keys are derived.
    pub keys: Vec<GroupKey>,
}

/// The group to which a certificate on a chain belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct AnchorOwner {
    pub group: GroupId,
    /// The group's certificate authority, if its key has not been proven.
    pub unproven: Option<CaName>,
}

/// An enrollment's policies, each bound to one revision.
#[derive(Clone)]
pub struct BoundAllocation {
    /// Chooses the hub.
    pub selection: BoundPolicy,
    /// Chooses the hub if the first abstains.
    pub fallback: Option<BoundPolicy>,
    /// Choose the device's place.
    pub grouping: Vec<BoundPolicy>,
}

impl BoundAllocation {
    /// All policies of the allocation.
    pub fn policies(&self) -> impl Iterator<Item = &BoundPolicy> {
        std::iter::once(&self.selection).chain(&self.fallback).chain(&self.grouping)
    }
}

/// A policy bound to one revision.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BoundPolicy {
    /// The plugin's name.
    pub plugin: PluginName,
    /// Its revision. A plugin that is not published, or no longer, has none, and its devices wait.
    pub revision: Option<Digest>,
    /// Its id scope. Images are shared among id scopes, but the turns to make them are not.
    pub scope: IdScope,
    pub settings: JsonText,
    /// SHA-256 of the settings' text.
    pub settings_digest: Digest,
    /// What a call of it may use, if that differs from the configuration.
    pub limits: PluginLimits,
    /// Its breaker and its meters; a plugin that is not published has none.
    pub watch: Option<Arc<Watch>>,
    /// The policies that are asked in this order when it gives no answer. They have no stand-ins of their own.
    pub stand_ins: Vec<StandIn>,
}

impl BoundPolicy {
    /// Whether both use the same image.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.plugin, &self.revision, &self.settings_digest, &self.limits)
            == (&other.plugin, &other.revision, &other.settings_digest, &other.limits)
    }
}

/// A policy that is asked in another's place.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct StandIn {
    /// Its role for that policy: the kind of [`Resort`].
    pub resort: &'static str,
    pub policy: BoundPolicy,
}

impl BoundPolicy {
    /// The policy, and then its stand-ins with their roles.
    pub fn chain(&self) -> impl Iterator<Item = (Option<&'static str>, &Self)> {
        let stand_ins = self.stand_ins.iter().map(|stand_in| (Some(stand_in.resort), &stand_in.policy));
        std::iter::once((None, self)).chain(stand_ins)
    }

    /// Whether both are the same revision with the same settings.
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        self.revision == other.revision && self.settings_digest == other.settings_digest && self.plugin == other.plugin
    }
}

impl Catalogue {
    /// The catalogue of what the store holds. Hubs keep counting the places that are being taken in `before`. A scope
    /// that did not change is taken over as it was. In a changed scope, groups whose keys and certificates are the same
    /// are not read again. So the cost of a change depends on its size.
    pub fn new(records: CatalogueRecords, before: &Self, watches: &Arc<Watches>, sealing: &SealingKey) -> Self {
        let scopes = records.scopes.into_iter().map(|records| {
            let known = before.scope(&records.scope);
            let scope = match known
                .filter(|known| (known.revision, known.admissions) == (records.revision, records.admissions))
            {
                Some(same) => Arc::clone(same),
                None => {
                    let known = known.map(|scope| &**scope);
                    Arc::new(ScopeCatalogue::new(records, known, &before.loads, watches, sealing))
                }
            };
            (scope.scope.clone(), scope)
        });
        Self { scopes: scopes.collect(), loads: Arc::clone(&before.loads) }
    }

    /// The catalogue of nothing, whose successors know how full their hubs are from these numbers.
    pub fn following(loads: Arc<HubLoads>) -> Self {
        Self { loads, ..Self::default() }
    }

    /// One id scope.
    pub fn scope(&self, scope: &IdScope) -> Option<&Arc<ScopeCatalogue>> {
        self.scopes.get(scope)
    }

    /// All id scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &Arc<ScopeCatalogue>> {
        self.scopes.values()
    }
}

impl ScopeCatalogue {
    fn new(
        records: ScopeRecords,
        before: Option<&Self>,
        loads: &HubLoads,
        watches: &Arc<Watches>,
        sealing: &SealingKey,
    ) -> Self {
        let ScopeRecords { scope, revision, admissions, hubs, groups, authorities, revocations, plugins } = records;
        let mut told: Vec<&Hub> = hubs.iter().collect();
        told.sort_by(|a, b| a.name.cmp(&b.name));
        let hubs_list = Content::of(serde_json::to_vec(&told).unwrap_or_default());
        let with_load = |hub: Hub| {
            let load = loads.of(&scope, &hub.name);
            (hub, load)
        };
        let plugins = plugins.into_iter().map(|plugin| (plugin.name.clone(), plugin)).collect();
        let plugins = Plugins { scope: scope.clone(), published: plugins, watches: Arc::clone(watches) };
        let authorities: BTreeMap<_, _> = authorities.into_iter().map(|ca| (ca.name.clone(), ca)).collect();
        let uploaded = authorities.values().map(|authority| {
            let standing = if authority.verified { Standing::Held } else { Standing::Unproven };
            (authority.der.as_slice(), standing)
        });
        let held = uploaded.chain(groups.iter().flat_map(Group::intermediates).map(|der| (der, Standing::Held)));
        let revocations = Known::new(revocations, held, before.map(|before| &before.revocations));
        let mut anchors = AnchorIndex::default();
        let groups = groups.into_iter().map(|group| {
            let known = before.and_then(|before| before.groups.get(&group.id));
            let read = known.filter(|known| known.group.attestation == group.attestation).map(|known| &**known);
            (group.id.clone(), Arc::new(bind_group(group, read, &authorities, &plugins, &mut anchors, sealing)))
        });
        let groups: BTreeMap<_, Arc<BoundGroup>> = groups.collect();
        Self {
            signers: groups.values().filter(|bound| !bound.keys.is_empty()).cloned().collect(),
            hubs_list,
            hubs: Hubs::new(hubs.into_iter().map(with_load), before.map(|before| &before.hubs)),
            scope,
            revision,
            admissions,
            authorities,
            groups,
            anchors,
            revocations,
            plugins,
        }
    }

    /// The group with this id.
    pub fn group(&self, id: &GroupId) -> Option<&Arc<BoundGroup>> {
        self.groups.get(id)
    }

    /// All enrollment groups.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<BoundGroup>> {
        self.groups.values()
    }

    /// The groups that have symmetric keys.
    pub fn signers(&self) -> &Arc<[Arc<BoundGroup>]> {
        &self.signers
    }

    /// Finds the groups whose certificates are on a chain.
    pub fn anchors(&self) -> &AnchorIndex<AnchorOwner> {
        &self.anchors
    }

    /// What is revoked: by authorities, and of them.
    pub fn revocations(&self) -> &Known {
        &self.revocations
    }

    /// The certificate authority of this name.
    pub fn authority(&self, name: &CaName) -> Option<&CertificateAuthority> {
        self.authorities.get(name)
    }

    /// All certificate authorities.
    pub fn authorities(&self) -> impl Iterator<Item = &CertificateAuthority> {
        self.authorities.values()
    }

    /// Checks that an intermediate's certificate was issued by a proven authority of this id scope. The error says why
    /// it was not.
    pub fn vouches_for(&self, intermediate: &[u8]) -> Result<(), String> {
        Anchor::parse(intermediate).map_err(|error| error.to_string())?;
        let chain = PresentedChain::parse(&[CertificateDer::from(intermediate)]).map_err(|error| error.to_string())?;
        let mut proven = AnchorIndex::default();
        for authority in self.authorities.values().filter(|authority| authority.verified) {
            if let Ok(anchor) = Anchor::parse(&authority.der) {
                proven.insert(&anchor, ());
            }
        }
        match proven.nearest(&chain).first() {
            Some(()) => Ok(()),
            None => Err("no uploaded, proven authority has issued this intermediate: landfall ca upload".to_owned()),
        }
    }

    /// All published plugins.
    pub fn plugins(&self) -> impl Iterator<Item = &PublishedPlugin> {
        self.plugins.published.values()
    }

    /// The published plugin of this name.
    pub fn plugin(&self, name: &PluginName) -> Option<&PublishedPlugin> {
        self.plugins.published.get(name)
    }

    /// Binds an individual enrollment's policies to revisions.
    pub fn bind(&self, allocation: &Allocation) -> BoundAllocation {
        bind_allocation(allocation, &self.plugins, Watches::get_for_one)
    }

    /// Binds one policy to a revision.
    pub fn bind_one(&self, binding: &PolicyBinding) -> BoundPolicy {
        bind(binding, &self.plugins, Watches::get_for_one)
    }
}

/// Binds a group. `read` is the group as it was bound before with the same attestation.
fn bind_group(
    group: Group,
    read: Option<&BoundGroup>,
    authorities: &BTreeMap<CaName, CertificateAuthority>,
    plugins: &Plugins,
    index: &mut AnchorIndex<AnchorOwner>,
    sealing: &SealingKey,
) -> BoundGroup {
    let (mut anchors, mut keys, mut makers) = (Vec::new(), Vec::new(), None);
    let mut add = |der: &[u8], unproven: Option<CaName>| {
        let known = read.and_then(|read| read.anchors.iter().find(|anchor| anchor.sha256() == Digest::of(der)));
        // A certificate that does not parse is refused when it is uploaded. But a newer and stricter version may refuse
        // a stored one.
        let Some(anchor) = known.cloned().or_else(|| Anchor::parse(der).ok()) else {
            tracing::error!(group = %group.id, "a certificate of this group is not acceptable any more: its devices are refused");
            return;
        };
        index.insert(&anchor, AnchorOwner { group: group.id.clone(), unproven });
        anchors.push(anchor);
    };
    match &group.attestation {
        GroupAttestation::X509Authorities { primary, secondary } => {
            for authority in std::iter::once(primary).chain(secondary).filter_map(|name| authorities.get(name)) {
                add(&authority.der, (!authority.verified).then(|| authority.name.clone()));
            }
        }
        GroupAttestation::X509Intermediates { primary, secondary } => {
            let pins = std::iter::once(primary).chain(secondary);
            for der in pins.filter_map(|CertificatePin { der, .. }| der.as_deref()) {
                add(der, None);
            }
        }
        GroupAttestation::Token(_) | GroupAttestation::Directory(_) => {}
        GroupAttestation::TpmMakers { .. } if read.is_some_and(|read| read.makers.is_some()) => {
            makers = read.and_then(|read| read.makers.clone());
        }
        GroupAttestation::SymmetricKey(_) if read.is_some_and(|read| !read.keys.is_empty()) => {
            keys.extend(read.into_iter().flat_map(|read| read.keys.iter().cloned()));
        }
        GroupAttestation::TpmMakers { roots, intermediates } => match TpmMakers::parse(roots, intermediates) {
            Ok(parsed) => makers = Some(parsed),
            Err(error) => {
                tracing::error!(group = %group.id, %error, "a TPM maker's certificate is not acceptable any more: the devices of this group are refused");
            }
        },
        GroupAttestation::SymmetricKey(sealed) => {
            match sealed.open(&EnrollmentRef::Group(group.id.clone()), &plugins.scope, sealing) {
                Ok(opened) => keys.extend(opened.iter().map(GroupKey::new)),
                Err(error) => {
                    tracing::error!(group = %group.id, %error, "the keys of this group cannot be opened: its devices are refused")
                }
            }
        }
    }
    let allocation = Arc::new(bind_allocation(&group.terms.allocation, plugins, Watches::get));
    BoundGroup { terms: Arc::new(group.terms.clone()), group, allocation, anchors, makers, keys }
}

/// How a policy gets its watch.
type Watching = fn(&Watches, Watched) -> Arc<Watch>;

fn bind_allocation(allocation: &Allocation, plugins: &Plugins, watching: Watching) -> BoundAllocation {
    let bind = |binding| bind(binding, plugins, watching);
    BoundAllocation {
        selection: bind(&allocation.selection),
        fallback: allocation.fallback.as_ref().map(bind),
        grouping: allocation.grouping.iter().map(bind).collect(),
    }
}

fn bind(binding: &PolicyBinding, plugins: &Plugins, watching: Watching) -> BoundPolicy {
    let published = plugins.published.get(&binding.plugin);
    let rules = published.map(|plugin| &plugin.rules);
    let watch = |plugin: &PluginName, revision, settings| {
        let (scope, plugin, settings) = (plugins.scope.clone(), plugin.clone(), Some(settings));
        Some(watching(&plugins.watches, Watched { scope, plugin, revision, settings }))
    };
    let settings_digest = Digest::of(binding.settings.as_str().as_bytes());
    let revision = binding.revision.or_else(|| published.map(|plugin| plugin.live));
    let mut bound = BoundPolicy {
        plugin: binding.plugin.clone(),
        watch: revision.and_then(|revision| watch(&binding.plugin, revision, settings_digest)),
        revision,
        scope: plugins.scope.clone(),
        settings: binding.settings.clone(),
        settings_digest,
        limits: rules.map(|rules| rules.limits).unwrap_or_default(),
        stand_ins: Vec::new(),
    };
    let stand_ins = rules.into_iter().flat_map(|rules| &rules.on_failure).filter_map(|resort| {
        let policy = match resort {
            Resort::PreviousRevision if binding.revision.is_some() => return None,
            Resort::PreviousRevision => {
                let previous = published?.previous.first().copied()?;
                let watch = watch(&binding.plugin, previous, settings_digest);
                BoundPolicy { revision: Some(previous), watch, ..bound.clone() }
            }
            Resort::Shipped { policy, settings } => {
                let revision = shipped::digest_of(policy.as_str())?;
                let settings_digest = Digest::of(settings.as_str().as_bytes());
                BoundPolicy {
                    plugin: policy.clone(),
                    revision: Some(revision),
                    watch: watch(policy, revision, settings_digest),
                    scope: plugins.scope.clone(),
                    settings: settings.clone(),
                    settings_digest,
                    limits: PluginLimits::default(),
                    stand_ins: Vec::new(),
                }
            }
        };
        Some(StandIn { resort: resort.kind(), policy })
    });
    bound.stand_ins = stand_ins.collect();
    bound
}

#[cfg(test)]
mod tests {
    use landfall_attestation::symmetric_key::SymmetricKey;
    use landfall_domain::clock::Ambient;
    use landfall_domain::enrollment::SealedKeys;
    use landfall_store::suite::make;

    use super::*;
    use crate::config::Limits;

    #[test]
    fn a_change_reads_nothing_again_that_it_did_not_change() {
        let (ambient, scope) = (Ambient::system(), make::scope());
        let sealing = |byte| SealingKey::new(&[byte; 32]).unwrap();
        let owner = EnrollmentRef::Group("meters".parse().unwrap());
        let key = || SymmetricKey::of_bytes(vec![7; 32].into()).unwrap();
        let sealed = SealedKeys::seal(&[key(), key()], &owner, &scope, &sealing(1), &ambient);
        let group = make::group("meters", GroupAttestation::SymmetricKey(sealed));
        let records = |revision, weight| {
            let hub = Hub { weight, ..make::hub("a.example", 9) };
            let of = |scope: &IdScope, revision| ScopeRecords {
                scope: scope.clone(),
                revision,
                admissions: Admissions::default(),
                hubs: vec![hub.clone()],
                groups: vec![group.clone()],
                authorities: Vec::new(),
                revocations: Vec::new(),
                plugins: Vec::new(),
            };
            let other: IdScope = "0neOTHER".parse().unwrap();
            CatalogueRecords { scopes: vec![of(&scope, revision), of(&other, 1)] }
        };
        let watches = Arc::new(Watches::new(Limits::default().policy.breaker(), ambient));
        let first = Catalogue::new(records(1, 1), &Catalogue::default(), &watches, &sealing(1));
        // Another sealing key could not open the keys. The test passes because they are not opened again.
        let second = Catalogue::new(records(2, 5), &first, &watches, &sealing(2));
        let of = |catalogue: &Catalogue, scope: &str| Arc::clone(catalogue.scope(&scope.parse().unwrap()).unwrap());
        assert!(Arc::ptr_eq(&of(&first, "0neOTHER"), &of(&second, "0neOTHER")), "nobody changed it");
        let changed = of(&second, scope.as_str());
        assert_eq!(changed.revision, 2);
        let told = String::from_utf8_lossy(changed.hubs_list.bytes());
        assert!(told.contains("\"weight\":5"), "{told}");
        assert_eq!(changed.group(&"meters".parse().unwrap()).unwrap().keys.len(), 2);
        let anew = Catalogue::new(records(3, 5), &Catalogue::default(), &watches, &sealing(2));
        assert_eq!(of(&anew, scope.as_str()).group(&"meters".parse().unwrap()).unwrap().keys.len(), 0);
    }
}
