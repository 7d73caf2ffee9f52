use super::*;
use crate::store::suite::store_suite;

pub(super) fn settings() -> StoreSettings {
    let on_fatal: OnFatal = Arc::new(|error| panic!("{error}"));
    StoreSettings { entries_kept: 10, on_fatal, ..StoreSettings::default() }
}

fn open() -> (RedbStore, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&folder.path().join("landfall.redb"), settings()).unwrap();
    (store, folder)
}

store_suite!(open());

#[tokio::test]
async fn a_file_in_use_is_refused_in_words() {
    let (store, folder) = open();
    let path = folder.path().join("landfall.redb");
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("landfall.redb") && error.contains("another landfall process uses it; stop"), "{error}");
    store.close().await.unwrap();
    drop(RedbStore::open(&path, settings()).unwrap());
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused_and_left_as_it_is() {
    let (store, folder) = open();
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    tables::Tables::open(&transaction, 0).unwrap().meta.put(b"format", &2_u32).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("format 2") && error.contains("newer version"), "{error}");
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("format 2"), "{error}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("another program"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "x".repeat(10_000)).unwrap();
    assert!(matches!(RedbStore::open(&path, settings()), Err(StoreError::Open { .. })));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_store, folder) = open();
    let mode = std::fs::metadata(folder.path().join("landfall.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}
