//! Who keeps which content.
//!
//! A decision names the list of hubs, the settings and the budgets that it was made with, and the components; an enrollment
//! names a component that it keeps to. Each such row counts once for each content, in the transaction that writes or removes
//! the row. What only entries name is written with the first of them and goes with the last, so that whoever changes hubs or
//! tries settings in a loop fills no disk.
//!
//! What is published takes room, and a quota bounds what a publisher takes. The bytes of a component go in the transaction
//! in which the last plugin lets go of it, unless a decision or an enrollment names it: then they are kept on behalf of who
//! published it, and count against that quota, until the last of these is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use landfall_domain::decision::{Content, Entry, EntryKind};
use landfall_domain::enrollment::{Allocation, PolicyBinding};
use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::signature::Signature;
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};

use crate::{StoreError, Unused};

/// The contents of a store, how many rows name each, and the plugins, within a transaction.
pub(crate) trait Contents {
    /// How many rows name a content.
    fn uses(&self, content: Digest) -> Result<u64, StoreError>;
    /// Notes how many do.
    fn set_uses(&mut self, content: Digest, uses: u64) -> Result<(), StoreError>;
    /// The size of a content that is there.
    fn size(&self, content: Digest) -> Result<Option<u64>, StoreError>;
    /// Writes a content.
    fn put(&mut self, content: Digest, bytes: &[u8]) -> Result<(), StoreError>;
    /// Removes a content.
    fn remove(&mut self, content: Digest) -> Result<(), StoreError>;
    /// Whether a component comes with the program: it is always at hand.
    fn is_built_in(&self, component: Digest) -> bool;
    /// Whether a component is kept that no plugin names.
    fn is_kept(&self, component: Digest) -> Result<bool, StoreError>;
    /// Keeps one, on behalf of somebody.
    fn keep(&mut self, component: Digest, kept: &KeptComponent) -> Result<(), StoreError>;
    /// Keeps it no more for that.
    fn keep_no_more(&mut self, component: Digest) -> Result<(), StoreError>;
    /// All that are kept.
    fn kept(&self) -> Result<Vec<(Digest, KeptComponent)>, StoreError>;
    /// A plugin.
    fn plugin(&self, scope: &IdScope, name: &PluginName) -> Result<Option<PublishedPlugin>, StoreError>;
    /// Writes a plugin.
    fn put_plugin(&mut self, scope: &IdScope, plugin: &PublishedPlugin) -> Result<(), StoreError>;
    /// The plugins of an id scope.
    fn plugins(&self, scope: &IdScope) -> Result<Vec<PublishedPlugin>, StoreError>;
    /// The revisions that plugins of any id scope name.
    fn named_by_plugins(&self) -> Result<BTreeSet<Digest>, StoreError>;
    /// The signatures of a component.
    fn signatures_of(&self, component: Digest) -> Result<Vec<Signature>, StoreError>;
    /// Writes them; without any, none are kept.
    fn put_signatures(&mut self, component: Digest, signatures: &[Signature]) -> Result<(), StoreError>;
}

/// The contents that a row names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    /// Those that only entries name.
    texts: BTreeSet<Digest>,
    /// Components, each with the plugin that it is named as.
    components: BTreeMap<Digest, PluginName>,
    scope: Option<IdScope>,
}

impl Named {
    /// By an entry of the ledger.
    pub(crate) fn by_entry(entry: &Entry) -> Self {
        let EntryKind::Decided(decision) = &entry.kind else { return Self::default() };
        let texts = decision.calls.iter().flat_map(|call| std::iter::once(call.settings).chain(call.budget));
        Self {
            texts: texts.chain([decision.hubs]).collect(),
            components: decision.calls.iter().map(|call| (call.revision, call.plugin.clone())).collect(),
            scope: entry.scope.clone(),
        }
    }

    /// By an enrollment.
    pub(crate) fn by_allocation(scope: &IdScope, allocation: &Allocation) -> Self {
        let pinned = |binding: &PolicyBinding| Some((binding.revision?, binding.plugin.clone()));
        let components = allocation.bindings().filter_map(pinned).collect();
        Self { texts: BTreeSet::new(), components, scope: Some(scope.clone()) }
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &Digest> {
        self.components.keys()
    }

    /// The same with what each is named as.
    pub(crate) fn named_components(&self) -> impl Iterator<Item = (Digest, &IdScope, &PluginName)> {
        let scope = self.scope.as_ref();
        self.components.iter().filter_map(move |(digest, plugin)| Some((*digest, scope?, plugin)))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Digest> {
        self.texts.iter().chain(self.components.keys())
    }
}

/// Counts a row that names these, and writes the contents that the first row names.
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

/// Counts a row away that named these. What nothing names any more goes; answers what went.
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

/// Whether a component can be had: what a decision names must be there when somebody runs it again.
pub(crate) fn is_there(store: &impl Contents, component: Digest) -> Result<bool, StoreError> {
    Ok(store.size(component)?.is_some() || store.is_built_in(component))
}

/// Removes those of a plugin's revisions that nothing names, after the plugin has let go of them; each with who published
/// it. What something names is kept. What comes with Landfall stays: it is small, and it is kept once.
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

/// The first decision or enrollment names a component. One that no plugin names, which only an earlier version can have left,
/// is kept for it from now on.
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

/// The last decision or enrollment that named a component is gone. Removes it if it was kept for them only, and does not come
/// with Landfall; answers its size.
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
