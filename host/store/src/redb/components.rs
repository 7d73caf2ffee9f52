//! Components that no plugin has any more.
//!
//! What is published takes room, and a publisher's quota bounds what its plugins name. So the bytes of a component go in
//! the transaction in which the last plugin lets go of it, unless a decision or an enrollment names it: those are marked
//! when they are written, because looking through all decisions would take too long. A mark stays when what named the
//! component is gone; `landfall store compact` looks through all of them and removes the component then.

use std::collections::HashSet;

use landfall_domain::decision::{Entry, EntryKind};
use landfall_domain::enrollment::{Allocation, Group, Individual};
use landfall_domain::names::Digest;
use landfall_domain::plugin::PublishedPlugin;

use super::tables::{Rows, Tables};
use crate::StoreError;

/// The components that a decision was made with.
pub(super) fn of_entry(entry: &Entry) -> Vec<Digest> {
    let EntryKind::Decided(decision) = &entry.kind else { return Vec::new() };
    let mut revisions: Vec<Digest> = decision.calls.iter().map(|call| call.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    revisions
}

/// The components that an enrollment keeps to.
pub(super) fn pinned(allocation: &Allocation) -> impl Iterator<Item = Digest> {
    allocation.bindings().filter_map(|binding| binding.revision)
}

/// Marks components as named.
pub(super) fn name(tables: &mut Tables<'_>, components: impl IntoIterator<Item = Digest>) -> Result<(), StoreError> {
    components.into_iter().try_for_each(|component| mark(&mut tables.named_components, component))
}

/// Whether all of these can be had: what a decision names must be there when somebody runs it again.
pub(super) fn are_there(tables: &Tables<'_>, components: &[Digest]) -> Result<bool, StoreError> {
    for component in components {
        if !tables.content.has(component.as_bytes())? && !(tables.kept.built_in)(*component) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes those of these that nothing names, after a plugin has let go of them. What comes with Landfall stays: it is
/// small, and it is kept once.
pub(super) fn let_go(tables: &mut Tables<'_>, components: impl Iterator<Item = Digest>) -> Result<(), StoreError> {
    let mut unnamed = HashSet::new();
    for component in components {
        if !tables.named_components.has(component.as_bytes())? && !(tables.kept.built_in)(component) {
            unnamed.insert(component);
        }
    }
    if unnamed.is_empty() {
        return Ok(());
    }
    tables.plugins.each(|_, plugin: PublishedPlugin| {
        let named: Vec<Digest> = plugin.revisions().map(|(revision, _)| revision).collect();
        unnamed.retain(|component| !named.contains(component));
        Ok(())
    })?;
    unnamed.iter().try_for_each(|component| {
        tables.content.remove(component.as_bytes())?;
        tables.signatures.remove(component.as_bytes())
    })
}

/// Marks again all components that something names.
pub(super) fn name_all(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let Tables { named_components, decisions, others, individuals, groups, .. } = tables;
    named_components.clear()?;
    let mut all = HashSet::new();
    for entries in [&*decisions, &*others] {
        entries.each(|_, entry: Entry| {
            all.extend(of_entry(&entry));
            Ok(())
        })?;
    }
    individuals.each(|_, entry: Individual| {
        all.extend(pinned(&entry.terms.allocation));
        Ok(())
    })?;
    groups.each(|_, group: Group| {
        all.extend(pinned(&group.terms.allocation));
        Ok(())
    })?;
    all.into_iter().try_for_each(|component| mark(named_components, component))
}

fn mark(named: &mut Rows<'_>, component: Digest) -> Result<(), StoreError> {
    if named.has(component.as_bytes())? { Ok(()) } else { named.put_encoded(component.as_bytes(), &[]) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use landfall_domain::clock::Timestamp;
    use landfall_domain::plugin::PublishBounds;
    use redb::TableHandle;

    use super::*;
    use crate::redb::tables::{CONTENT, NAMED_COMPONENTS};
    use crate::redb::tests::settings;
    use crate::redb::{Database, RedbStore};
    use crate::suite::make;
    use crate::{CommitOutcome, DeleteOutcome, Precondition, PutOutcome, RegistrationCommit, Store};

    const MOST_BYTES: u64 = 3000;

    fn component(number: u32) -> Vec<u8> {
        number.to_le_bytes().repeat(250)
    }

    fn digest(number: u32) -> Digest {
        Digest::of(&component(number))
    }

    async fn publish(store: &RedbStore, number: u32) {
        let plugin =
            PublishedPlugin::first("ours".parse().unwrap(), &component(number), Timestamp::from_millis(1), "t1");
        let bounds = PublishBounds { plugins: 8, bytes: MOST_BYTES, by_publisher: Some(MOST_BYTES) };
        let put = store.publish_plugin(&make::scope(), plugin, component(number), Vec::new(), bounds).await.unwrap();
        assert!(matches!(put, PutOutcome::Created | PutOutcome::Replaced), "{number}: {put:?}");
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
        publish(&store, 0).await;
        store.put_individual(&make::scope(), pinning(0), Precondition::New).await.unwrap();
        publish(&store, 1).await;
        store.record_entry(make::decided(7, digest(1))).await.unwrap();
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
        assert!(transaction.delete_table(NAMED_COMPONENTS).unwrap(), "{}", NAMED_COMPONENTS.name());
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
    }

    #[tokio::test]
    async fn nothing_is_decided_with_a_revision_that_was_removed_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("landfall.redb"), settings()).unwrap();
        for number in 0..5 {
            publish(&store, number).await;
        }
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(store);
        make::link(&store, &[("a.example", 9)]).await;
        for (number, taken) in [(0, false), (4, true)] {
            let commit = make::commit_of(make::registration("pump-1", Some("a.example"), &[]), 0);
            let entry = Entry { kind: make::decided(1, digest(number)).kind, ..commit.entry };
            let basis = crate::AdmissionBasis { revision: make::admission(&store).await, ..Default::default() };
            let outcome = store.commit_registration(RegistrationCommit { entry, basis, ..commit }).await.unwrap();
            assert_eq!(matches!(outcome, CommitOutcome::Committed(_)), taken, "{outcome:?}");
            assert_eq!(outcome == CommitOutcome::RevisionGone, !taken);
        }
    }
}
