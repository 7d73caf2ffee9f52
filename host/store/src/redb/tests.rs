//! Tests of what only this store guarantees: its file, its formats, its writer.

mod checks;
mod files;
mod formats;

use std::sync::atomic::{AtomicU64, Ordering};

use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::*;
use crate::contract::*;
use crate::store_suite;
use crate::suite::make;

pub(super) fn settings() -> StoreSettings {
    let on_fatal: OnFatal = Arc::new(|error| panic!("{error}"));
    StoreSettings { create: true, entries_kept: 10, decisions_per_device: 3, on_fatal, ..StoreSettings::default() }
}

fn open() -> (RedbStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&folder.path().join("landfall.redb"), settings()).unwrap();
    (store, folder)
}

store_suite!(open());

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 16, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_does_as_the_model_does(operations in crate::suite::model::operations()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (store, folder) = open();
            let path = folder.path().join("landfall.redb");
            let reopen = async |store: make::Shared| {
                store.close().await.unwrap();
                let store = RedbStore::open(&path, settings()).unwrap();
                assert_eq!(store.check().await.unwrap(), []);
                let store: make::Shared = Arc::new(store);
                store
            };
            crate::suite::model::compare(Arc::new(store), operations, reopen).await;
        });
    }
}

#[test]
fn a_write_that_panics_is_undone_and_spoils_no_other() {
    struct Panics;
    impl Write for Panics {
        type Answer = ();
        fn apply(&self, tables: &mut tables::Tables<'_>) -> Result<(), StoreError> {
            tables.hub_loads.put(b"left behind", &1_u64)?;
            panic!("on purpose")
        }
    }
    let (store, mut turns) = RedbStore::open_with_backend(redb::backends::InMemoryBackend::new(), settings()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let good = store.create_scope(make::scope());
        let bad = store.write(Lane::Device, Panics);
        let turn = async { while turns.take() {} };
        let (good, bad, ()) = tokio::join!(good, bad, turn);
        assert_eq!(good, Ok(true));
        assert_eq!(bad, Err(StoreError::Write("the writer panicked: on purpose".to_owned())));
        assert_eq!(store.check().await.unwrap(), []);
        let next = store.create_scope("next".parse().unwrap());
        let turn = async { while turns.take() {} };
        assert_eq!(tokio::join!(next, turn).0, Ok(true));
    });
}

#[tokio::test]
async fn a_disk_that_fills_up_within_an_import_of_all_or_nothing_takes_it_back_and_ends_nothing() {
    struct Four;
    impl crate::Batches for Four {
        fn begin(&self) -> Result<Box<dyn Iterator<Item = Result<ImportBatch, StoreError>>>, StoreError> {
            Ok(Box::new((0..4).map(|n| Ok(make::batch(vec![make::record(&format!("d-{n}"), "acme", "x")])))))
        }
    }
    let (store, _folder) = open();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let full = StoreError::NoSpace { folder: "here".to_owned(), free_mib: 1, needed_mib: 2 };
    let said = full.clone();
    let room: super::records::Room = Arc::new(move || match counted.fetch_add(1, Ordering::Relaxed) {
        2 => Err(said.clone()),
        _ => Ok(()),
    });
    let before = store.sequence();
    let whole = || super::records::ImportWhole::new(Arc::new(Four), Arc::clone(&room));
    // In these tests, a fatal error of the store panics.
    assert_eq!(store.write(Lane::Bulk, whole()).await, Err(full));
    assert_eq!((asked.load(Ordering::Relaxed), store.sequence()), (3, before));
    let all = Page { after: None, limit: 10 };
    let there = store.records(&make::scope(), all.clone(), RecordFilter::default()).await.unwrap();
    assert_eq!(there.items, []);
    // There is space again.
    assert_eq!(store.write(Lane::Bulk, whole()).await.unwrap().len(), 4);
    assert_eq!(store.records(&make::scope(), all, RecordFilter::default()).await.unwrap().items.len(), 4);
}
