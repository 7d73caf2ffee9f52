//! Reference counts of contents, and who pays for their bytes.
//!
//! A decision names the list of hubs, the settings, the budgets and the components that it was made with; an
//! enrollment names a component that it is pinned to. Each such row counts once for each content, in the transaction
//! that writes or removes the row. A content that only entries name is written with the first entry and removed with
//! the last, so that changing hubs or settings in a loop does not fill the disk.
//!
//! Published components take space, and a quota limits each publisher. The bytes of a component are removed in the
//! transaction in which the last plugin stops naming it, unless a decision or an enrollment names it. Then they are
//! kept until the last such row is gone, and still count against the quota of the publisher.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use landfall_domain::decision::{Content, Entry, EntryKind};
use landfall_domain::enrollment::{Allocation, PolicyBinding};
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};

use crate::{StoreError, Unused};

/// The contents of a store, their reference counts, and the plugins, within a transaction.
pub(crate) trait Contents {
    /// How many rows name a content.
    fn uses(&self, content: Digest) -> Result<u64, StoreError>;
    /// Sets the number of rows that name a content.
    fn set_uses(&mut self, content: Digest, uses: u64) -> Result<(), StoreError>;
    /// The size of a content, if it is stored.
    fn size(&self, content: Digest) -> Result<Option<u64>, StoreError>;
    /// Writes a content.
    fn put(&mut self, content: Digest, bytes: &[u8]) -> Result<(), StoreError>;
    /// Removes a content.
    fn remove(&mut self, content: Digest) -> Result<(), StoreError>;
    /// Whether a component is built into the program, and so always available.
    fn is_built_in(&self, component: Digest) -> bool;
    /// Whether a component that no plugin names is kept for decisions and enrollments.
    fn is_kept(&self, component: Digest) -> Result<bool, StoreError>;
    /// Marks a component as kept, with the publisher that it counts against.
    fn keep(&mut self, component: Digest, kept: &KeptComponent) -> Result<(), StoreError>;
    /// Removes that mark.
    fn keep_no_more(&mut self, component: Digest) -> Result<(), StoreError>;
    /// All components that are marked as kept.
    fn kept(&self) -> Result<Vec<(Digest, KeptComponent)>, StoreError>;
    /// A published plugin, if it exists.
    fn plugin(&self, scope: &IdScope, name: &PluginName) -> Result<Option<PublishedPlugin>, StoreError>;
    /// Writes a plugin.
    fn put_plugin(&mut self, scope: &IdScope, plugin: &PublishedPlugin) -> Result<(), StoreError>;
    /// The plugins of an id scope.
    fn plugins(&self, scope: &IdScope) -> Result<Vec<PublishedPlugin>, StoreError>;
    /// The revisions that plugins of any id scope name.
    fn named_by_plugins(&self) -> Result<BTreeSet<Digest>, StoreError>;
    /// The signatures of a component.
    fn signatures_of(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;
    /// Replaces the signatures of a component; an empty list removes them.
    fn put_signatures(&mut self, component: Digest, signatures: &[Signature]) -> Result<(), StoreError>;
}

/// The contents that a row names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Contents that only ledger entries name.
    texts: BTreeSet<Digest>,
    /// Components, each with the plugin that it is named for.
    components: BTreeMap<Digest, PluginName>,
    scope: Option<IdScope>,
}

impl Named {
    /// The contents that a ledger entry names.
    pub(crate) fn by_entry(entry: &Entry) -> Self {
        let EntryKind::Decided(decision) = &entry.kind else { return Self::default() };
        let texts = decision.calls.iter().flat_map(|call| std::iter::once(call.settings).chain(call.budget));
        Self {
            texts: texts.chain([decision.hubs]).collect(),
            components: decision.calls.iter().map(|call| (call.revision, call.plugin.clone())).collect(),
            scope: entry.scope.clone(),
        }
    }

    /// The contents that an enrollment names.
    pub(crate) fn by_allocation(scope: &IdScope, allocation: &Allocation) -> Self {
        let pinned = |binding: &PolicyBinding| Some((binding.revision?, binding.plugin.clone()));
        let components = allocation.bindings().filter_map(pinned).collect();
        Self { texts: BTreeSet::new(), components, scope: Some(scope.clone()) }
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &Digest> {
        self.components.keys()
    }

    /// The components, each with its id scope and plugin.
    pub(crate) fn named_components(&self) -> impl Iterator<Item = (Digest, &IdScope, &PluginName)> {
        let scope = self.scope.as_ref();
        self.components.iter().filter_map(move |(digest, plugin)| Some((*digest, scope?, plugin)))
    }

    /// The digests of all contents.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Digest> {
        self.texts.iter().chain(self.components.keys())
    }
}

/// Counts a row that names these contents, and writes the contents that no earlier row named.
pub(crate) fn take(store: &mut impl Contents, named: &Named, contents: &[Content]) -> Result<(), StoreError> {
    for digest in named.all() {
        let count = store.uses(*digest)?;
        store.set_uses(*digest, count.saturating_add(1))?;
        let content = contents.iter().find(|content| count == 0 && content.digest() == *digest);
        if let Some(content) = content.filter(|_| named.texts.contains(digest))
            && store.size(*digest)?.is_none()
        {
            store.put(*digest, content.bytes())?;
        }
        if let (0, Some(plugin), Some(scope)) = (count, named.components.get(digest), &named.scope) {
            first_named(store, *digest, scope, plugin)?;
        }
    }
    Ok(())
}

/// Uncounts a removed row. Contents that no row names any more are removed; returns what was removed.
pub(crate) fn give_back(store: &mut impl Contents, named: &Named) -> Result<Unused, StoreError> {
    let mut gone = Unused::default();
    for digest in named.all() {
        let count = store.uses(*digest)?.saturating_sub(1);
        store.set_uses(*digest, count)?;
        if count > 0 {
            continue;
        }
        let size = match named.texts.contains(digest) {
            true => {
                let size = store.size(*digest)?;
                store.remove(*digest)?;
                size
            }
            false => last_named(store, *digest)?,
        };
        if let Some(bytes) = size {
            gone = gone.and(Unused { contents: 1, bytes, ..Unused::default() });
        }
    }
    Ok(gone)
}

/// Whether a component is available: a component that a decision names must be available to replay the decision.
pub(crate) fn is_there(store: &impl Contents, component: Digest) -> Result<bool, StoreError> {
    Ok(store.size(component)?.is_some() || store.is_built_in(component))
}

/// Removes the bytes of those revisions that no row names, after a plugin has stopped naming them. `revisions` has the
/// publisher of each. Revisions that a row names are marked as kept. Built-in components are not removed: they are
/// small.
pub(crate) fn let_go(
    store: &mut impl Contents,
    (scope, plugin): (&IdScope, &PluginName),
    revisions: impl Iterator<Item = (Digest, String)>,
) -> Result<(), StoreError> {
    let mut gone: HashMap<Digest, String> = revisions.collect();
    let named = store.named_by_plugins()?;
    gone.retain(|revision, _| !named.contains(revision));
    for (revision, publisher) in gone {
        match store.size(revision)? {
            Some(bytes) if store.uses(revision)? > 0 => {
                let (scope, plugin) = (scope.clone(), plugin.clone());
                store.keep(revision, &KeptComponent { scope, plugin, publisher, bytes })?;
            }
            _ if store.is_built_in(revision) => {}
            _ => remove_component(store, revision)?,
        }
    }
    Ok(())
}

/// Called when the first decision or enrollment names a component. If no plugin names it, which only a file of an
/// earlier version can contain, the component is marked as kept.
fn first_named(
    store: &mut impl Contents,
    component: Digest,
    scope: &IdScope,
    plugin: &PluginName,
) -> Result<(), StoreError> {
    let Some(bytes) = store.size(component)? else { return Ok(()) };
    if store.named_by_plugins()?.contains(&component) {
        return Ok(());
    }
    let kept = KeptComponent { scope: scope.clone(), plugin: plugin.clone(), publisher: String::new(), bytes };
    store.keep(component, &kept)
}

/// Called when the last decision or enrollment that named a component is gone. Removes the component if it was kept
/// only for such rows and is not built in; returns its size.
fn last_named(store: &mut impl Contents, component: Digest) -> Result<Option<u64>, StoreError> {
    if !store.is_kept(component)? {
        return Ok(None);
    }
    if store.is_built_in(component) {
        store.keep_no_more(component)?;
        return Ok(None);
    }
    let size = store.size(component)?;
    remove_component(store, component)?;
    Ok(size)
}

fn remove_component(store: &mut impl Contents, component: Digest) -> Result<(), StoreError> {
    store.remove(component)?;
    store.put_signatures(component, &[])?;
    store.keep_no_more(component)
}
