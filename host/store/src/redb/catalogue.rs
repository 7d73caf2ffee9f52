//! The catalogue: id scopes, hubs, certificate authorities and plugins. Few, and read as a whole.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use landfall_domain::enrollment::{EnrollmentRef, Group};
use landfall_domain::hub::Hub;
use landfall_domain::names::{Digest, HubName, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::{Over, Signature};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use redb::ReadableTable;
use serde::de::DeserializeOwned;

use super::codec::{self, key, pair};
use super::engine::Write;
use super::loads::Loads;
use super::tables::{self, ADMISSIONS, AUTHORITIES, Definition, GROUPS, HUBS, PLUGINS, SCOPES, Tables};
use super::{View, admissions, components, revocations, unreadable, uses};
use crate::{
    Admissions, CatalogueRecords, DeleteOutcome, Precondition, PutOutcome, ScopeRecords, StoreError, Way, entity_tag,
};

/// Everything of all scopes.
pub(super) fn load(view: &View, loads: &Loads) -> Result<CatalogueRecords, StoreError> {
    let mut scopes = BTreeMap::new();
    let counts = view.table(ADMISSIONS)?;
    let count = |scope: &IdScope, way| -> Result<u64, StoreError> {
        Ok(tables::get(&counts, "admission revision", &admissions::row(scope, way))?.unwrap_or(0))
    };
    for row in view.table(SCOPES)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        let (scope, _) = codec::parts("id scope", key.value())?;
        let records = ScopeRecords {
            scope: scope.clone(),
            revision: codec::decode("id scope", value.value())?,
            admissions: Admissions {
                certificates: count(&scope, Way::Certificates)?,
                tokens: count(&scope, Way::Tokens)?,
                directories: count(&scope, Way::Directories)?,
            },
            hubs: Vec::new(),
            groups: Vec::new(),
            authorities: Vec::new(),
            revocations: Vec::new(),
            plugins: Vec::new(),
        };
        scopes.insert(scope, records);
    }
    for ((scope, name), hub) in all::<Hub>(view, HUBS, "linked hub")? {
        let load = loads.of(&key(&scope, &name));
        if let Some(records) = scopes.get_mut(&scope) {
            records.hubs.push((hub, load));
        }
    }
    for ((scope, _), group) in all::<Group>(view, GROUPS, "enrollment group")? {
        scopes.entry(scope).and_modify(|records| records.groups.push(group));
    }
    for ((scope, _), authority) in all(view, AUTHORITIES, "certificate authority")? {
        scopes.entry(scope).and_modify(|records| records.authorities.push(authority));
    }
    for (scope, kept) in revocations::all(view)? {
        scopes.entry(scope).and_modify(|records| records.revocations.push(kept));
    }
    for ((scope, _), plugin) in all(view, PLUGINS, "published plugin")? {
        scopes.entry(scope).and_modify(|records| records.plugins.push(plugin));
    }
    Ok(CatalogueRecords { scopes: scopes.into_values().collect() })
}

/// A thing of an id scope, and its name.
type Named<T> = ((IdScope, String), T);

/// All rows of a table whose names are texts, by scope and name.
fn all<T: DeserializeOwned>(
    view: &View,
    definition: Definition,
    what: &'static str,
) -> Result<Vec<Named<T>>, StoreError> {
    let mut found = Vec::new();
    for row in view.table(definition)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        found.push((codec::parts(what, key.value())?, codec::decode(what, value.value())?));
    }
    Ok(found)
}

/// Counts a scope's revision up, and makes the scope when it is not there.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope) -> Result<(), StoreError> {
    let key = key(scope, "");
    let revision: u64 = tables.scopes.get(&key)?.unwrap_or(0);
    tables.scopes.put(&key, &revision.saturating_add(1))
}

/// [`bump`], and then the outcome of the change that was the reason.
pub(super) fn revised<T>(tables: &mut Tables<'_>, scope: &IdScope, outcome: T) -> Result<T, StoreError> {
    bump(tables, scope)?;
    Ok(outcome)
}

/// Makes an id scope.
pub(super) struct CreateScope(IdScope);

impl CreateScope {
    pub(super) fn new(scope: &IdScope) -> Self {
        Self(scope.clone())
    }
}

impl Write for CreateScope {
    type Answer = bool;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<bool, StoreError> {
        let new = !tables.scopes.has(&key(&self.0, ""))?;
        if new {
            bump(tables, &self.0)?;
        }
        Ok(new)
    }
}

/// Links a hub or changes it. Its count is a row of its own, and stays also while it is unlinked.
pub(super) struct PutHub {
    scope: IdScope,
    hub: Hub,
    when: Precondition,
}

impl PutHub {
    pub(super) fn new(scope: &IdScope, hub: Hub, when: Precondition) -> Self {
        Self { scope: scope.clone(), hub, when }
    }
}

impl Write for PutHub {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.hub.name.as_str());
        let tag = tables.hubs.get::<Hub>(&key)?.map(|hub| entity_tag(&hub));
        let outcome = match self.when.judge(tag.as_deref()) {
            Ok(outcome) => outcome,
            Err(refused) => return Ok(refused),
        };
        tables.hubs.put(&key, &self.hub)?;
        revised(tables, &self.scope, outcome)
    }
}

/// Unlinks a hub.
pub(super) struct DeleteHub {
    scope: IdScope,
    name: HubName,
    when: Precondition,
}

impl DeleteHub {
    pub(super) fn new(scope: &IdScope, name: &HubName, when: Precondition) -> Self {
        Self { scope: scope.clone(), name: name.clone(), when }
    }
}

impl Write for DeleteHub {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let tag = tables.hubs.get::<Hub>(&key)?.map(|hub| entity_tag(&hub));
        if let Err(refused) = self.when.judge_removal(tag.as_deref()) {
            return Ok(refused);
        }
        tables.hubs.remove(&key)?;
        revised(tables, &self.scope, DeleteOutcome::Deleted)
    }
}

/// Publishes a revision of a plugin.
pub(super) struct Publish {
    scope: IdScope,
    plugin: PublishedPlugin,
    bytes: Vec<u8>,
    signatures: Vec<Signature>,
    digest: Digest,
    bounds: PublishBounds,
}

impl Publish {
    pub(super) fn new(
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
    ) -> Self {
        Self { scope: scope.clone(), plugin, digest: Digest::of(&bytes), bytes, signatures, bounds }
    }
}

impl Publish {
    /// Lets go of the plugin's oldest revisions until everything is within the bounds; says what is beyond them if that is
    /// not enough. The revision before the live one stays: somebody may have to go back to it.
    ///
    /// What no plugin names any more and a decision or an enrollment does is there all the same, and counts for who
    /// published it: so to let go of a revision of `before` makes no room while something names it.
    fn fit(
        &self,
        tables: &Tables<'_>,
        before: &[(Digest, String)],
        plugin: &mut PublishedPlugin,
    ) -> Result<Option<String>, StoreError> {
        let PublishBounds { plugins, bytes, by_publisher } = self.bounds;
        let first = key(&self.scope, "");
        let of_scope = tables.plugins.starting_with::<PublishedPlugin>(&first)?;
        let others: Vec<_> = of_scope.into_iter().filter(|other| other.name != plugin.name).collect();
        if others.len() >= plugins {
            return Ok(Some(format!(
                "the id scope has {} plugins already, and at most {plugins} are taken (limits.management.plugins); take one \
                 away with `landfall plugin delete`",
                others.len()
            )));
        }
        let mut kept: Vec<(Digest, String)> = Vec::new();
        for (digest, of) in components::kept(tables)? {
            if of.scope == self.scope {
                kept.push((digest, of.publisher));
            }
        }
        for (digest, publisher) in before {
            if uses::are_there(tables, *digest)? && !(tables.kept.built_in)(*digest) {
                kept.push((*digest, publisher.clone()));
            }
        }
        let kept: Vec<(Digest, &str)> = kept.iter().map(|(digest, by)| (*digest, by.as_str())).collect();
        let mut sizes = HashMap::from([(self.digest, u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))]);
        let named = others.iter().chain([&*plugin]).flat_map(PublishedPlugin::revisions);
        for (digest, _) in named.chain(kept.iter().copied()) {
            if let Entry::Vacant(place) = sizes.entry(digest) {
                let kept = tables.content.size_of(digest.as_bytes())?;
                place.insert(u64::try_from(kept.unwrap_or_default()).unwrap_or(u64::MAX));
            }
        }
        loop {
            let named = |by: Option<&str>| -> HashSet<Digest> {
                let all = others.iter().chain([&*plugin]).flat_map(PublishedPlugin::revisions);
                all.filter(|(_, who)| by.is_none_or(|by| by == *who)).map(|(digest, _)| digest).collect()
            };
            let sum = |by: Option<&str>| {
                let named = named(by);
                let theirs = kept.iter().filter(|(_, who)| by.is_none_or(|by| by == *who)).map(|(digest, _)| *digest);
                let only_kept: HashSet<Digest> = theirs.filter(|digest| !named.contains(digest)).collect();
                let bytes = |digests: &HashSet<Digest>| {
                    let sizes = digests.iter().filter_map(|digest| sizes.get(digest));
                    sizes.fold(0_u64, |sum, size| sum.saturating_add(*size))
                };
                let kept = bytes(&only_kept);
                (bytes(&named).saturating_add(kept), kept)
            };
            let ((all, all_kept), (own, own_kept)) = (sum(None), sum(Some(&self.plugin.published_by)));
            if all <= bytes && by_publisher.is_none_or(|most| own <= most) {
                return Ok(None);
            }
            if plugin.previous.len() > 1 {
                plugin.forget_oldest();
                continue;
            }
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            let of_which = |kept: u64| match kept {
                0 => String::new(),
                kept => format!(
                    ", {} MiB of it revisions that no plugin names and that are kept for as long as a decision or an \
                     enrollment names them",
                    mib(kept)
                ),
            };
            return Ok(Some(match by_publisher.filter(|most| own > *most) {
                Some(most) => format!(
                    "the token's plugins would take {} MiB{}, and its quota is {} MiB; take one away with `landfall plugin \
                     delete`, or have an operator make a token with more room (landfall token create --plugins-mib)",
                    mib(own),
                    of_which(own_kept),
                    mib(most)
                ),
                None => format!(
                    "the id scope's plugins would take {} MiB{}, and at most {} MiB are taken (limits.management.plugins_mib); \
                     take one away with `landfall plugin delete`",
                    mib(all),
                    of_which(all_kept),
                    mib(bytes)
                ),
            }));
        }
    }

    /// The same bytes may be published again, with other signatures. None of the older form is added: what was published
    /// with such ones has them already.
    fn keep_signatures(&self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        let mut kept: Vec<Signature> = tables.signatures.get(self.digest.as_bytes())?.unwrap_or_default();
        let named = |signature: &&Signature| matches!(signature.over, Over::Revision(_)) && !kept.contains(signature);
        let new = self.signatures.iter().filter(named).cloned().collect::<Vec<_>>();
        if new.is_empty() {
            return Ok(());
        }
        kept.extend(new);
        kept.drain(..kept.len().saturating_sub(MOST_SIGNATURES));
        tables.signatures.put(self.digest.as_bytes(), &kept)
    }
}

impl Write for Publish {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        if self.digest != self.plugin.live {
            return Ok(PutOutcome::Conflict(format!(
                "the component's SHA-256 is {}, not {}",
                self.digest, self.plugin.live
            )));
        }
        let key = key(&self.scope, self.plugin.name.as_str());
        let stands: Option<PublishedPlugin> = tables.plugins.get(&key)?;
        let outcome = match &stands {
            Some(_) => PutOutcome::Replaced,
            None => PutOutcome::Created,
        };
        let before: Vec<(Digest, String)> = stands
            .iter()
            .flat_map(PublishedPlugin::revisions)
            .map(|(revision, publisher)| (revision, publisher.to_owned()))
            .collect();
        // Going back takes nothing that is not taken already.
        let adds = !before.iter().any(|(revision, _)| *revision == self.digest);
        let mut plugin = match stands {
            Some(before) => self.plugin.clone().after(before, MOST_PREVIOUS),
            None => self.plugin.clone(),
        };
        if adds && let Some(beyond) = self.fit(tables, &before, &mut plugin)? {
            return Ok(PutOutcome::Conflict(beyond));
        }
        tables.plugins.put(&key, &plugin)?;
        if !tables.content.has(self.digest.as_bytes())? {
            tables.content.put_encoded(self.digest.as_bytes(), &self.bytes)?;
        }
        self.keep_signatures(tables)?;
        tables.kept_components.remove(self.digest.as_bytes())?;
        components::let_go(tables, (&self.scope, &self.plugin.name), before.into_iter())?;
        revised(tables, &self.scope, outcome)
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Changes what the operator says of a plugin.
pub(super) struct SetRules {
    scope: IdScope,
    name: PluginName,
    rules: PluginRules,
}

impl SetRules {
    pub(super) fn new(scope: &IdScope, name: &PluginName, rules: PluginRules) -> Self {
        Self { scope: scope.clone(), name: name.clone(), rules }
    }
}

impl Write for SetRules {
    type Answer = PutOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<PutOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let Some(stands) = tables.plugins.get::<PublishedPlugin>(&key)? else {
            return Ok(PutOutcome::Missing);
        };
        tables.plugins.put(&key, &PublishedPlugin { rules: self.rules.clone(), ..stands })?;
        revised(tables, &self.scope, PutOutcome::Replaced)
    }
}

/// Removes the name of a plugin that no enrollment uses.
pub(super) struct DeletePlugin {
    scope: IdScope,
    name: PluginName,
}

impl DeletePlugin {
    pub(super) fn new(scope: &IdScope, name: &PluginName) -> Self {
        Self { scope: scope.clone(), name: name.clone() }
    }
}

impl Write for DeletePlugin {
    type Answer = DeleteOutcome;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<DeleteOutcome, StoreError> {
        let key = key(&self.scope, self.name.as_str());
        let Some(stands) = tables.plugins.get::<PublishedPlugin>(&key)? else {
            return Ok(DeleteOutcome::Missing);
        };
        let first = pair(&self.scope, self.name.as_str(), "");
        if let Some(user) = tables.plugin_uses.first_of::<EnrollmentRef>(&first)? {
            return Ok(DeleteOutcome::InUse(format!("{} uses it", user)));
        }
        tables.plugins.remove(&key)?;
        let revisions = stands.revisions().map(|(revision, publisher)| (revision, publisher.to_owned()));
        components::let_go(tables, (&self.scope, &self.name), revisions)?;
        revised(tables, &self.scope, DeleteOutcome::Deleted)
    }
}

/// How many earlier revisions a plugin's record names. The bytes of older ones go with them, unless a decision was made with
/// one or an enrollment keeps to it: those go with the last of these.
const MOST_PREVIOUS: usize = 20;
/// How many signatures of one component are kept: the newest.
const MOST_SIGNATURES: usize = 256;
