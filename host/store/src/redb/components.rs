//! Components that no plugin has any more.
//!
//! What is published takes room, and a quota bounds what a publisher takes. The bytes of a component go in the transaction
//! in which the last plugin lets go of it, unless a decision or an enrollment names it ([`uses`]): then they are kept on
//! behalf of who published it, and count against that quota, until the last of these is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::{KeptComponent, PublishedPlugin};

use super::check::each;
use super::tables::{KEPT_COMPONENTS, Tables};
use super::{View, uses};
use crate::StoreError;

/// Whether all of these can be had: what a decision names must be there when somebody runs it again.
pub(super) fn are_there<'a>(
    tables: &Tables<'_>,
    components: impl IntoIterator<Item = &'a Digest>,
) -> Result<bool, StoreError> {
    for component in components {
        if !tables.content.has(component.as_bytes())? && !(tables.kept.built_in)(*component) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes those of a plugin's revisions that nothing names, after the plugin has let go of them; each with who published
/// it. What something names is kept. What comes with Landfall stays: it is small, and it is kept once.
pub(super) fn let_go(
    tables: &mut Tables<'_>,
    (scope, plugin): (&IdScope, &PluginName),
    revisions: impl Iterator<Item = (Digest, String)>,
) -> Result<(), StoreError> {
    let mut gone: HashMap<Digest, String> = revisions.collect();
    let named = named_by_plugins(tables)?;
    gone.retain(|revision, _| !named.contains(revision));
    for (revision, publisher) in gone {
        let row = revision.as_bytes();
        match tables.content.size_of(row)? {
            Some(size) if uses::are_there(tables, revision)? => {
                let bytes = u64::try_from(size).unwrap_or(u64::MAX);
                let (scope, plugin) = (scope.clone(), plugin.clone());
                tables.kept_components.put(row, &KeptComponent { scope, plugin, publisher, bytes })?;
            }
            _ if (tables.kept.built_in)(revision) => {}
            _ => remove(tables, revision)?,
        }
    }
    Ok(())
}

/// The last decision or enrollment that named a component is gone. Removes it if it was kept for them only, and does not come
/// with Landfall; answers its size.
pub(super) fn unnamed(tables: &mut Tables<'_>, component: Digest) -> Result<Option<usize>, StoreError> {
    if !tables.kept_components.has(component.as_bytes())? {
        return Ok(None);
    }
    if (tables.kept.built_in)(component) {
        tables.kept_components.remove(component.as_bytes())?;
        return Ok(None);
    }
    let size = tables.content.size_of(component.as_bytes())?;
    remove(tables, component)?;
    Ok(size)
}

/// The first decision or enrollment names a component. One that no plugin names, which only an earlier version can have left,
/// is kept for it from now on.
pub(super) fn named(
    tables: &mut Tables<'_>,
    component: Digest,
    scope: &IdScope,
    plugin: &PluginName,
) -> Result<(), StoreError> {
    let Some(size) = tables.content.size_of(component.as_bytes())? else { return Ok(()) };
    if named_by_plugins(tables)?.contains(&component) {
        return Ok(());
    }
    let bytes = u64::try_from(size).unwrap_or(u64::MAX);
    let kept = KeptComponent { scope: scope.clone(), plugin: plugin.clone(), publisher: String::new(), bytes };
    tables.kept_components.put(component.as_bytes(), &kept)
}

/// All that are kept, and for whom.
pub(super) fn kept(tables: &Tables<'_>) -> Result<Vec<(Digest, KeptComponent)>, StoreError> {
    let mut all = Vec::new();
    tables.kept_components.each(|row, kept: KeptComponent| {
        all.extend(<[u8; 32]>::try_from(row).map(|digest| (Digest::from_bytes(digest), kept)));
        Ok(())
    })?;
    Ok(all)
}

/// Those of an id scope's plugins.
pub(super) fn of_scope(view: &View, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
    let mut found = Vec::new();
    each(view, KEPT_COMPONENTS, "component that is kept", |_, kept: KeptComponent| {
        found.extend(Some(kept).filter(|kept| kept.scope == *scope));
        Ok(())
    })?;
    Ok(found)
}

/// Finds again which components are kept, as for a file that was written before that was noted. Who published one is known
/// only where it stood there already.
pub(super) fn keep_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let known: BTreeMap<Digest, KeptComponent> = kept(tables)?.into_iter().collect();
    let mut names = BTreeMap::new();
    uses::each_named(tables, |named| {
        for (digest, scope, plugin) in named.named_components() {
            names.entry(digest).or_insert_with(|| (scope.clone(), plugin.clone()));
        }
    })?;
    tables.kept_components.clear()?;
    let named = named_by_plugins(tables)?;
    for (digest, (scope, plugin)) in names {
        let Some(size) = tables.content.size_of(digest.as_bytes())? else { continue };
        if named.contains(&digest) {
            continue;
        }
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        let found = || KeptComponent { scope, plugin, publisher: String::new(), bytes };
        let kept = known.get(&digest).cloned().unwrap_or_else(found);
        tables.kept_components.put(digest.as_bytes(), &kept)?;
    }
    Ok(())
}

fn remove(tables: &mut Tables<'_>, component: Digest) -> Result<(), StoreError> {
    tables.content.remove(component.as_bytes())?;
    tables.signatures.remove(component.as_bytes())?;
    tables.kept_components.remove(component.as_bytes())
}

fn named_by_plugins(tables: &Tables<'_>) -> Result<BTreeSet<Digest>, StoreError> {
    let mut named = BTreeSet::new();
    tables.plugins.each(|_, plugin: PublishedPlugin| {
        named.extend(plugin.revisions().map(|(revision, _)| revision));
        Ok(())
    })?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use landfall_domain::clock::Timestamp;
    use landfall_domain::decision::Entry;
    use landfall_domain::enrollment::Individual;
    use landfall_domain::plugin::PublishBounds;
    use redb::TableHandle;

    use super::*;
    use crate::contract::*;
    use crate::redb::tables::{CONTENT, USES};
    use crate::redb::tests::settings;
    use crate::redb::{Database, RedbStore};
    use crate::suite::make;

    const MOST_BYTES: u64 = 5100;

    fn component(number: u32) -> Vec<u8> {
        number.to_le_bytes().repeat(250)
    }

    fn digest(number: u32) -> Digest {
        Digest::of(&component(number))
    }

    async fn publish(store: &RedbStore, number: u32) {
        let put = try_publish(store, number).await;
        assert!(matches!(put, PutOutcome::Created | PutOutcome::Replaced), "{number}: {put:?}");
    }

    async fn try_publish(store: &RedbStore, number: u32) -> PutOutcome {
        let plugin =
            PublishedPlugin::first("ours".parse().unwrap(), &component(number), Timestamp::from_millis(1), "t1");
        let bounds = PublishBounds { plugins: 8, bytes: MOST_BYTES, by_publisher: Some(MOST_BYTES) };
        store.publish_plugin(&make::scope(), plugin, component(number), Vec::new(), bounds).await.unwrap()
    }

    /// Which of the first components are there.
    fn there(store: &RedbStore, first: u32) -> BTreeSet<u32> {
        let table = store.view().unwrap().table(CONTENT).unwrap();
        (0..first).filter(|number| table.get(digest(*number).as_bytes().as_slice()).unwrap().is_some()).collect()
    }

    fn pinning(number: u32) -> Individual {
        let mut pinning = make::individual("pump-1", "1", "c1", None);
        pinning.terms.allocation.selection.revision = Some(digest(number));
        pinning
    }

    #[tokio::test]
    async fn whoever_publishes_over_and_over_fills_no_disk_and_what_is_named_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("landfall.redb");
        let store = RedbStore::open(&path, settings()).unwrap();
        make::policies_in(&store, &make::scope()).await;
        publish(&store, 0).await;
        store.put_individual(&make::scope(), pinning(0), Precondition::New).await.unwrap();
        publish(&store, 1).await;
        store.record_entry(make::decided(7, digest(1)), Vec::new()).await.unwrap();
        for number in 2..60 {
            publish(&store, number).await;
        }
        assert_eq!(
            there(&store, 60),
            BTreeSet::from([0, 1, 57, 58, 59]),
            "the pin's, the decision's, and the plugin's"
        );
        let refused = store.put_individual(&make::scope(), pinning(5), Precondition::Any).await.unwrap();
        assert!(matches!(&refused, PutOutcome::Conflict(why) if why.contains("was removed")), "{refused:?}");
        store.close().await.unwrap();

        // A file of before knows what is named as soon as it is opened.
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        for table in [USES, KEPT_COMPONENTS] {
            assert!(transaction.delete_table(table).unwrap(), "{}", table.name());
        }
        transaction.commit().unwrap();
        drop(database);
        let store = RedbStore::open(&path, settings()).unwrap();
        for number in 60..70 {
            publish(&store, number).await;
        }
        assert_eq!(there(&store, 70), BTreeSet::from([0, 1, 67, 68, 69]));

        let gone = store.delete_plugin(&make::scope(), &"ours".parse().unwrap()).await.unwrap();
        assert_eq!(gone, DeleteOutcome::Deleted);
        assert_eq!(there(&store, 70), BTreeSet::from([0, 1]));
        assert_eq!(store.check().await.unwrap(), []);

        // Each goes with the last that names it.
        store
            .put_individual(&make::scope(), make::individual("pump-1", "2", "c1", None), Precondition::Any)
            .await
            .unwrap();
        assert_eq!(there(&store, 70), BTreeSet::from([1]));
        for number in 100..100 + settings().entries_kept {
            store.record_entry(make::refusal(number), Vec::new()).await.unwrap();
        }
        assert_eq!(there(&store, 70), BTreeSet::new());
        assert_eq!(store.check().await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_kept_for_decisions_counts_against_the_quota_of_who_published_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("landfall.redb"), settings()).unwrap();
        // Each revision decides once; three that no plugin names any more, and the two that one always names, are 5000 bytes.
        for number in 0..5 {
            publish(&store, number).await;
            store.record_entry(make::decided(number.into(), digest(number)), Vec::new()).await.unwrap();
        }
        let beyond = try_publish(&store, 5).await;
        assert!(
            matches!(&beyond, PutOutcome::Conflict(why) if why.contains("MiB") && why.contains("kept")),
            "{beyond:?}"
        );
        let kept = store.kept_components(&make::scope()).await.unwrap();
        assert_eq!(kept, [], "what was refused has changed nothing: the plugin names all of them");
        // Nor does taking the plugin away make room: the bytes are still there.
        store.delete_plugin(&make::scope(), &"ours".parse().unwrap()).await.unwrap();
        let kept = store.kept_components(&make::scope()).await.unwrap();
        assert_eq!((kept.len(), kept.iter().map(|one| one.bytes).sum()), (5, 5000_u64));
        assert!(kept.iter().all(|one| one.publisher == "t1" && one.plugin.as_str() == "ours"));
        assert!(matches!(try_publish(&store, 5).await, PutOutcome::Conflict(_)));
        // What is there already takes no more of it.
        assert_eq!(try_publish(&store, 4).await, PutOutcome::Created);
        assert_eq!(store.kept_components(&make::scope()).await.unwrap().len(), 4);
        assert_eq!(store.check().await.unwrap(), []);
        for number in 100..100 + settings().entries_kept {
            store.record_entry(make::refusal(number), Vec::new()).await.unwrap();
        }
        assert_eq!(store.kept_components(&make::scope()).await.unwrap(), []);
        assert_eq!(try_publish(&store, 5).await, PutOutcome::Replaced);
        assert_eq!(store.check().await.unwrap(), []);
    }

    #[tokio::test]
    async fn nothing_is_decided_with_a_revision_that_was_removed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("landfall.redb"), settings()).unwrap();
        for number in 0..7 {
            publish(&store, number).await;
        }
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(store);
        make::link(&store, &[("a.example", 9)]).await;
        for (number, taken) in [(0, false), (6, true)] {
            let commit = make::commit_of(make::registration("pump-1", Some("a.example"), &[]), 0);
            let entry = Entry { kind: make::decided(1, digest(number)).kind, ..commit.entry };
            let outcome = store.commit_registration(RegistrationCommit { entry, ..commit }).await.unwrap();
            assert_eq!(matches!(outcome, CommitOutcome::Committed(_)), taken, "{outcome:?}");
            assert_eq!(outcome == CommitOutcome::RevisionGone, !taken);
        }
    }
}
