//! Published plugins. Few, and read with the catalogue; their components are contents.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::rules::PluginRules;
use landfall_domain::plugin::signature::{Over, Signature};
use landfall_domain::plugin::{KeptComponent, PublishBounds, PublishedPlugin};

use super::catalogue::revised;
use super::codec::{key, pair};
use super::engine::Write;
use super::tables::Tables;
use super::{RedbStore, components, ledger, uses};
use crate::writer::Lane;
use crate::{DeleteOutcome, PutOutcome, StoreError};

#[async_trait]
impl crate::PluginStore for RedbStore {
    async fn publish_plugin(
        &self,
        scope: &IdScope,
        plugin: PublishedPlugin,
        bytes: Vec<u8>,
        signatures: Vec<Signature>,
        bounds: PublishBounds,
    ) -> Result<PutOutcome, StoreError> {
        // A component is as large as an import: it leaves devices and operators their room.
        self.space.check(Lane::Bulk)?;
        let publish = Publish::new(scope, plugin, bytes, signatures, bounds);
        self.write(Lane::Operator, publish).await
    }

    async fn set_plugin_rules(
        &self,
        scope: &IdScope,
        name: &PluginName,
        rules: PluginRules,
    ) -> Result<PutOutcome, StoreError> {
        let set = SetRules::new(scope, name, rules);
        self.write(Lane::Operator, set).await
    }

    async fn delete_plugin(&self, scope: &IdScope, name: &PluginName) -> Result<DeleteOutcome, StoreError> {
        let delete = DeletePlugin::new(scope, name);
        self.write(Lane::Operator, delete).await
    }

    async fn kept_components(&self, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
        let scope = scope.clone();
        self.look(move |view| components::of_scope(view, &scope)).await
    }

    async fn signatures(&self, component: Digest) -> Result<Vec<Signature>, StoreError> {
        ledger::signatures(&self.view()?, component)
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
