//! Components that no plugin names any more, and that are kept for decisions and enrollments.

use std::collections::BTreeMap;

use landfall_domain::names::{Digest, IdScope};
use landfall_domain::plugin::KeptComponent;

use super::check::each;
use super::tables::{KEPT_COMPONENTS, Tables};
use super::{View, uses};
use crate::StoreError;
use crate::rules::contents::Contents as _;

/// The kept components of the plugins of an id scope.
pub(super) fn of_scope(view: &View, scope: &IdScope) -> Result<Vec<KeptComponent>, StoreError> {
    let mut found = Vec::new();
    each(view, KEPT_COMPONENTS, "component that is kept", |_, kept: KeptComponent| {
        found.extend(Some(kept).filter(|kept| kept.scope == *scope));
        Ok(())
    })?;
    Ok(found)
}

/// Determines again which components are kept, for a file that was written before this was recorded. The publisher of
/// a component is known only if it was recorded already.
pub(super) fn keep_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let known: BTreeMap<Digest, KeptComponent> = tables.kept()?.into_iter().collect();
    let mut names = BTreeMap::new();
    uses::each_named(tables, |named| {
        for (digest, scope, plugin) in named.named_components() {
            names.entry(digest).or_insert_with(|| (scope.clone(), plugin.clone()));
        }
    })?;
    tables.kept_components.clear()?;
    let named = tables.named_by_plugins()?;
    for (digest, (scope, plugin)) in names {
        let Some(bytes) = tables.size(digest)? else { continue };
        if named.contains(&digest) {
            continue;
        }
        let found = || KeptComponent { scope, plugin, publisher: String::new(), bytes };
        let kept = known.get(&digest).cloned().unwrap_or_else(found);
        tables.keep(digest, &kept)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use landfall_domain::clock::Timestamp;
    use landfall_domain::decision::Entry;
    use landfall_domain::enrollment::Individual;
    use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
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
        store
            .publish_plugin(&make::scope(), plugin, component(number), Vec::new(), bounds, Precondition::Any)
            .await
            .unwrap()
    }

    /// Which of the first components exist.
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
        assert_eq!(refused, PutOutcome::Conflict(Conflict::NoRevision));
        store.close().await.unwrap();

        // For a file of an earlier version, the counts are complete as soon as it is opened.
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

        let gone = store.delete_plugin(&make::scope(), &"ours".parse().unwrap(), Precondition::Any).await.unwrap();
        assert_eq!(gone, DeleteOutcome::Deleted);
        assert_eq!(there(&store, 70), BTreeSet::from([0, 1]));
        assert_eq!(store.check().await.unwrap(), []);

        // Each component is removed with the last row that names it.
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
        // Each revision decides once. Three that no plugin names, and the two that the plugin always names, are 5000
        // bytes.
        for number in 0..5 {
            publish(&store, number).await;
            store.record_entry(make::decided(number.into(), digest(number)), Vec::new()).await.unwrap();
        }
        let beyond = try_publish(&store, 5).await;
        let (bytes, kept, most) = (6000, 4000, MOST_BYTES);
        let no_room = Conflict::NoRoom { of_publisher: true, bytes, kept, most };
        assert_eq!(beyond, PutOutcome::Conflict(no_room));
        let kept = store.kept_components(&make::scope()).await.unwrap();
        assert_eq!(kept, [], "what was refused has changed nothing: the plugin names all of them");
        // Removing the plugin frees no room either: the bytes are still stored.
        store.delete_plugin(&make::scope(), &"ours".parse().unwrap(), Precondition::Any).await.unwrap();
        let kept = store.kept_components(&make::scope()).await.unwrap();
        assert_eq!((kept.len(), kept.iter().map(|one| one.bytes).sum()), (5, 5000_u64));
        assert!(kept.iter().all(|one| one.publisher == "t1" && one.plugin.as_str() == "ours"));
        assert!(matches!(try_publish(&store, 5).await, PutOutcome::Conflict(_)));
        // A component that is stored already takes no more room.
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
