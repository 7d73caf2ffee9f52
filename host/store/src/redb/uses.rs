//! How many rows name each content.
//!
//! A decision names the list of hubs, the settings and the budgets that it was made with, and the components; an enrollment
//! names a component that it keeps to. Each such row counts once for each content, in the transaction that writes or removes
//! the row. What only entries name is written with the first of them and goes with the last, so that whoever changes hubs or
//! tries settings in a loop fills no disk. A component goes when no plugin names it either ([`components`]).

use std::collections::{BTreeMap, BTreeSet};

use landfall_domain::decision::{Content, Entry, EntryKind};
use landfall_domain::enrollment::{Allocation, Group, Individual, PolicyBinding};
use landfall_domain::names::{Digest, IdScope, PluginName};

use super::check::each;
use super::tables::{DECISIONS, GROUPS, INDIVIDUALS, OTHERS, Tables};
use super::{Readable, codec, components};
use crate::{StoreError, Unused};

/// The contents that a row names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Those that only entries name.
    texts: BTreeSet<Digest>,
    /// Components, each with the plugin that it is named as.
    components: BTreeMap<Digest, PluginName>,
    scope: Option<IdScope>,
}

impl Named {
    /// By an entry of the ledger.
    pub(super) fn by_entry(entry: &Entry) -> Self {
        let EntryKind::Decided(decision) = &entry.kind else { return Self::default() };
        let texts = decision.calls.iter().flat_map(|call| std::iter::once(call.settings).chain(call.budget));
        Self {
            texts: texts.chain([decision.hubs]).collect(),
            components: decision.calls.iter().map(|call| (call.revision, call.plugin.clone())).collect(),
            scope: entry.scope.clone(),
        }
    }

    /// By an enrollment.
    pub(super) fn by_allocation(scope: &IdScope, allocation: &Allocation) -> Self {
        let pinned = |binding: &PolicyBinding| Some((binding.revision?, binding.plugin.clone()));
        let components = allocation.bindings().filter_map(pinned).collect();
        Self { texts: BTreeSet::new(), components, scope: Some(scope.clone()) }
    }

    /// The components.
    pub(super) fn components(&self) -> impl Iterator<Item = &Digest> {
        self.components.keys()
    }

    /// The same with what each is named as.
    pub(super) fn named_components(&self) -> impl Iterator<Item = (Digest, &IdScope, &PluginName)> {
        let scope = self.scope.as_ref();
        self.components.iter().filter_map(move |(digest, plugin)| Some((*digest, scope?, plugin)))
    }

    fn all(&self) -> impl Iterator<Item = &Digest> {
        self.texts.iter().chain(self.components.keys())
    }
}

/// Counts a row that names these, and writes the contents that the first row names.
pub(super) fn take(tables: &mut Tables<'_>, named: &Named, contents: &[Content]) -> Result<(), StoreError> {
    for digest in named.all() {
        let count = tables.uses.count(digest.as_bytes())?;
        tables.uses.set_count(digest.as_bytes(), count.saturating_add(1))?;
        let content = contents.iter().find(|content| count == 0 && content.digest() == *digest);
        if let Some(content) = content.filter(|_| named.texts.contains(digest))
            && !tables.content.has(digest.as_bytes())?
        {
            tables.content.put_encoded(digest.as_bytes(), content.bytes())?;
        }
        if let (0, Some(plugin), Some(scope)) = (count, named.components.get(digest), &named.scope) {
            components::named(tables, *digest, scope, plugin)?;
        }
    }
    Ok(())
}

/// Counts a row away that named these. What nothing names any more goes; answers what went.
pub(super) fn give_back(tables: &mut Tables<'_>, named: &Named) -> Result<Unused, StoreError> {
    let mut gone = Unused::default();
    for digest in named.all() {
        let row = digest.as_bytes();
        let count = tables.uses.count(row)?.saturating_sub(1);
        tables.uses.set_count(row, count)?;
        if count > 0 {
            continue;
        }
        let size = match named.texts.contains(digest) {
            true => {
                let size = tables.content.size_of(row)?;
                tables.content.remove(row)?;
                size
            }
            false => components::unnamed(tables, *digest)?,
        };
        if let Some(size) = size {
            gone =
                gone.and(Unused { contents: 1, bytes: u64::try_from(size).unwrap_or(u64::MAX), ..Unused::default() });
        }
    }
    Ok(gone)
}

/// The same for an entry as it is kept. One that cannot be understood goes all the same: nobody could read it, and what it
/// named must not keep its device from registering. `landfall store check` finds the count that is left.
pub(super) fn give_back_entry(tables: &mut Tables<'_>, entry: &[u8]) -> Result<Unused, StoreError> {
    match codec::decode::<Entry>("ledger entry", entry) {
        Ok(entry) => give_back(tables, &Named::by_entry(&entry)),
        Err(error) => {
            tracing::error!(%error, "an entry of the ledger is removed that cannot be understood");
            Ok(Unused::default())
        }
    }
}

/// Whether a row names a content.
pub(super) fn are_there(tables: &Tables<'_>, content: Digest) -> Result<bool, StoreError> {
    tables.uses.has(content.as_bytes())
}

/// Counts again all that rows name.
pub(super) fn count_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let mut counted = BTreeMap::new();
    each_named(tables, |named| count(&mut counted, &named))?;
    tables.uses.clear()?;
    counted.iter().try_for_each(|(digest, count)| tables.uses.set_count(digest.as_bytes(), *count))
}

/// Tells what each row names.
pub(super) fn each_named(tables: &Tables<'_>, mut tell: impl FnMut(Named)) -> Result<(), StoreError> {
    let Tables { decisions, others, individuals, groups, .. } = tables;
    for entries in [decisions, others] {
        entries.each(|_, entry: Entry| {
            tell(Named::by_entry(&entry));
            Ok(())
        })?;
    }
    individuals.each(|row, entry: Individual| {
        let (scope, _) = codec::parts("individual enrollment", row)?;
        tell(Named::by_allocation(&scope, &entry.terms.allocation));
        Ok(())
    })?;
    groups.each(|row, group: Group| {
        let (scope, _) = codec::parts("enrollment group", row)?;
        tell(Named::by_allocation(&scope, &group.terms.allocation));
        Ok(())
    })
}

/// What the table of uses should say.
pub(super) struct Expected {
    /// How many rows name each content, by the key of the table.
    pub(super) counts: BTreeMap<Vec<u8>, u64>,
    /// Which of these contents are components.
    pub(super) components: BTreeSet<Digest>,
}

/// Counts again how many rows name each content.
pub(super) fn expected(view: &impl Readable) -> Result<Expected, StoreError> {
    let (mut counted, mut all) = (BTreeMap::new(), BTreeSet::new());
    let mut name = |named: Named| {
        all.extend(named.components());
        count(&mut counted, &named);
        Ok(())
    };
    for table in [DECISIONS, OTHERS] {
        each(view, table, "ledger entry", |_, entry: Entry| name(Named::by_entry(&entry)))?;
    }
    each(view, INDIVIDUALS, "individual enrollment", |row, entry: Individual| {
        let (scope, _) = codec::parts("individual enrollment", row)?;
        name(Named::by_allocation(&scope, &entry.terms.allocation))
    })?;
    each(view, GROUPS, "enrollment group", |row, group: Group| {
        let (scope, _) = codec::parts("enrollment group", row)?;
        name(Named::by_allocation(&scope, &group.terms.allocation))
    })?;
    let counts = counted.into_iter().map(|(digest, count)| (digest.as_bytes().to_vec(), count)).collect();
    Ok(Expected { counts, components: all })
}

fn count(counted: &mut BTreeMap<Digest, u64>, named: &Named) {
    named.all().for_each(|digest| *counted.entry(*digest).or_default() += 1);
}
