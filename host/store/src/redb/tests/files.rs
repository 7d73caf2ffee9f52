//! The file itself: created, opened, refused, copied.

use super::*;

#[tokio::test]
async fn a_file_in_use_is_refused_in_words() {
    let (store, folder) = open();
    let path = folder.path().join("landfall.redb");
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("landfall.redb") && error.contains("another landfall process uses it; stop"), "{error}");
    store.close().await.unwrap();
    drop(RedbStore::open(&path, settings()).unwrap());
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

#[tokio::test]
async fn only_who_says_so_makes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.redb");
    let not_made = StoreSettings { create: false, ..settings() };
    let missing = || RedbStore::open(&path, not_made.clone()).err().unwrap().to_string();
    assert!(missing().contains("it is not there; restore it from a backup"), "{}", missing());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    // Each message says what was found, and what to do.
    std::fs::create_dir(&path).unwrap();
    assert!(missing().contains("it is a folder"), "{}", missing());
    std::fs::remove_dir(&path).unwrap();
    for (bytes, said) in
        [(b"".as_slice(), "it is empty"), (b"red", "no database"), (b"SQLite format 3\0", "no database")]
    {
        std::fs::write(&path, bytes).unwrap();
        let copied = RedbStore::copy_file(&path, &folder.path().join("copy"), Timestamp::from_millis(1)).err().unwrap();
        for error in [missing(), copied.to_string()] {
            assert!(error.contains(said) && error.contains("backup.md"), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
    }
    let denied = open::unopened(&std::io::ErrorKind::PermissionDenied.into());
    assert!(denied.contains("permission denied") && denied.contains("chown"), "{denied}");
    std::fs::remove_file(&path).unwrap();
    RedbStore::open(&path, settings()).unwrap().close().await.unwrap();
    drop(RedbStore::open(&path, not_made).unwrap());
}

#[test]
fn what_a_failure_left_of_a_half_made_file_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.redb");
    std::fs::write(folder.path().join("landfall.redb.unfinished"), "x".repeat(100_000)).unwrap();
    drop(RedbStore::open(&path, settings()).unwrap());
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["landfall.redb"]);
}

#[tokio::test]
async fn a_copy_is_what_one_transaction_left_and_says_once_that_it_is_one() {
    let (store, folder) = open();
    let store: make::Shared = Arc::new(store);
    make::link(&store, &[("a.example", 9)]).await;
    let placed = make::place(&store, "pump-1", "a.example", &["eu"]).await;
    let copy = folder.path().join("copy.redb");
    let now = Timestamp::from_millis(7);
    let (copied, _) = tokio::join!(store.copy_to(&copy, now), make::place(&store, "pump-2", "a.example", &[]));
    assert!(copied.unwrap() > 5);
    assert!(store.copy_to(&copy, now).await.is_err(), "it goes over nothing");
    let copied = RedbStore::open(&copy, settings()).unwrap();
    assert_eq!(copied.check().await.unwrap(), []);
    assert_eq!(copied.copied_at().await.unwrap(), Some(now));
    assert_eq!(copied.copied_at().await.unwrap(), None);
    assert_eq!(copied.registration(&make::scope(), &placed.registration_id).await.unwrap(), Some(placed));
    // A file that no process has open can be copied too.
    store.close().await.unwrap();
    let again = folder.path().join("again.redb");
    RedbStore::copy_file(&folder.path().join("landfall.redb"), &again, now).unwrap();
    assert_eq!(RedbStore::open(&again, settings()).unwrap().check().await.unwrap(), []);
}

#[tokio::test]
async fn a_copy_that_is_not_whole_is_no_database() {
    let (store, folder) = open();
    let copy = folder.path().join("copy.redb");
    let view = store.view().unwrap();
    let left = std::cell::Cell::new(2);
    let room = || match left.replace(left.get() - 1) {
        0 => Err(StoreError::Busy),
        _ => Ok(()),
    };
    assert_eq!(super::copy::copy(&view.0, &copy, Timestamp::from_millis(7), room), Err(StoreError::Busy));
    assert!(RedbStore::open(&copy, settings()).is_err());
}
