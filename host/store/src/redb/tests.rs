use landfall_domain::decision::call::{Attestation, Device, EnrollmentKind};
use landfall_domain::decision::{Decision, EntryKind, Factors, Verdict};

use super::*;
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
    tables::Tables::open(&transaction, tables::Kept::default())
        .unwrap()
        .meta
        .put(b"format", &(steps::FORMAT + 1))
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    let (newer, ours) = (format!("format {}", steps::FORMAT + 1), format!("up to {}", steps::FORMAT));
    for words in [&newer, &ours, env!("CARGO_PKG_VERSION"), "newer version"] {
        assert!(error.contains(words), "{error}");
    }
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains(&newer), "{error}");
}

#[tokio::test]
async fn a_file_that_lacks_any_one_table_is_brought_up_when_it_is_opened() {
    use redb::TableHandle;
    let (store, folder) = open();
    let store: make::Shared = Arc::new(store);
    make::link(&store, &[("a.example", 9)]).await;
    let placed = make::place(&store, "pump-1", "a.example", &["eu"]).await;
    store.record_entry(make::refusal(5), Vec::new()).await.unwrap();
    store.import_batch(make::batch(vec![make::record("a", "acme", "x")])).await.unwrap();
    make::policies(&store).await;
    // A component that a decision has outlived.
    let gone = PublishedPlugin::first("gone".parse().unwrap(), b"gone", Timestamp::from_millis(1), "t1");
    let scope = make::scope();
    store.publish_plugin(&scope, gone, b"gone".to_vec(), Vec::new(), PublishBounds::NONE).await.unwrap();
    store.record_entry(make::decided(6, Digest::of(b"gone")), Vec::new()).await.unwrap();
    store.delete_plugin(&scope, &"gone".parse().unwrap()).await.unwrap();
    store.put_individual(&make::scope(), make::individual("a", "1", "c1", None), Precondition::New).await.unwrap();
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let counts = ["hub_loads", "group_counts", "record_counts"];
    let owners = ["bound_keys", "hub_identities", "certificates", "plugin_uses"];
    let derived =
        [&counts[..], &owners, &["registration_views", "record_views", "others_order"], &["uses", "kept_components"]]
            .concat();
    let others: Vec<_> = tables::ALL.iter().filter(|table| table.name() != tables::META.name()).collect();
    assert!(derived.iter().all(|name| others.iter().any(|table| table.name() == *name)));
    for table in others {
        let lacking = folder.path().join(table.name());
        std::fs::copy(&path, &lacking).unwrap();
        let database = Database::open(&lacking).unwrap();
        let transaction = database.begin_write().unwrap();
        assert!(transaction.delete_table(*table).unwrap());
        transaction.commit().unwrap();
        drop(database);
        // What is not made from anything else cannot be made again; that it was there is known.
        if ["registrations", "records", "scopes"].contains(&table.name()) {
            let error = RedbStore::open(&lacking, settings()).err().unwrap().to_string();
            assert!(error.contains("contradicts itself") && error.contains("landfall store check"), "{error}");
            continue;
        }
        for _ in 0..2 {
            let store = RedbStore::open(&lacking, settings()).unwrap_or_else(|e| panic!("{}: {e}", table.name()));
            let rows = store.view().unwrap().table(*table).unwrap_or_else(|e| panic!("{}: {e}", table.name()));
            if derived.contains(&table.name()) {
                assert_eq!(store.check().await.unwrap(), [], "{}", table.name());
                assert!(redb::ReadableTableMetadata::len(&rows).unwrap() > 0, "{}", table.name());
            }
            let owner = store.device_of_key(&make::scope(), placed.key_identity.unwrap()).await.unwrap();
            assert_eq!(owner.as_ref(), Some(&placed.registration_id), "{}", table.name());
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn signatures_of_format_1_count_for_the_names_that_were_published_with_them() {
    use landfall_domain::plugin::signature::{Over, Signature};
    let (store, folder) = open();
    let path = folder.path().join("landfall.redb");
    let publish = async |store: &RedbStore, name: &str, bytes: &[u8], signatures| {
        let plugin = PublishedPlugin::first(name.parse().unwrap(), bytes, Timestamp::from_millis(1), "t1");
        let scope = make::scope();
        let put = store.publish_plugin(&scope, plugin, bytes.to_vec(), signatures, PublishBounds::NONE).await;
        assert!(matches!(put.unwrap(), PutOutcome::Created | PutOutcome::Replaced));
    };
    for (name, bytes) in [("sg", b"one".as_slice()), ("sg", b"two"), ("also", b"one")] {
        publish(&store, name, bytes, Vec::new()).await;
    }
    store.close().await.unwrap();
    let digest = Digest::of(b"one");
    let bare = Signature { key: "0123456789abcdef".parse().unwrap(), over: Over::Bytes, bytes: [7; 64] };
    let for_name = |name: &str| Signature { over: Over::BytesFor(name.parse().unwrap()), ..bare.clone() };
    {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
            tables.meta.put(b"format", &1_u32).unwrap();
            for bytes in [b"one".as_slice(), b"of-nobody"] {
                tables.signatures.put(Digest::of(bytes).as_bytes(), &vec![bare.clone()]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    let store = RedbStore::open(&path, settings()).unwrap();
    assert_eq!(store.signatures(digest).await.unwrap(), [for_name("also"), for_name("sg")]);
    assert_eq!(store.signatures(Digest::of(b"of-nobody")).await.unwrap(), []);
    // A name that gets the bytes later gets no such signature, and none is ever added.
    publish(&store, "later", b"one", vec![bare.clone(), for_name("later")]).await;
    store.close().await.unwrap();
    let store = RedbStore::open(&path, settings()).unwrap();
    assert_eq!(store.signatures(digest).await.unwrap(), [for_name("also"), for_name("sg")]);
}

#[tokio::test]
async fn bindings_that_a_version_of_format_1_did_not_keep_are_made_again() {
    let (store, folder) = open();
    let store: make::Shared = Arc::new(store);
    make::link(&store, &[("a.example", 9)]).await;
    let placed = make::place(&store, "pump-1", "a.example", &[]).await;
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        tables.bound_keys.clear().unwrap();
        tables.hub_identities.clear().unwrap();
        tables.registration_views.clear().unwrap();
        tables.meta.put(steps::FORMAT_KEY, &1_u32).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = RedbStore::open(&path, settings()).unwrap();
    let owner = store.device_of_key(&make::scope(), placed.key_identity.unwrap()).await.unwrap();
    assert_eq!(owner, Some(placed.registration_id));
    assert_eq!(store.check().await.unwrap(), []);
    let meta = store.view().unwrap().table(tables::META).unwrap();
    assert_eq!(tables::get::<u32>(&meta, "file property", steps::FORMAT_KEY).unwrap(), Some(steps::FORMAT));
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

#[tokio::test]
async fn a_check_names_what_contradicts_itself() {
    let (store, folder) = open();
    let shared: make::Shared = Arc::new(store);
    make::link(&shared, &[("a.example", 9)]).await;
    make::place(&shared, "pump-1", "a.example", &["eu"]).await;
    shared.import_batch(make::batch(vec![make::record("a", "acme", "x")])).await.unwrap();
    make::policies(&shared).await;
    shared.record_entry(make::decided(7, Digest::of(b"weighted")), Vec::new()).await.unwrap();
    let individual = make::individual("a", "1", "c1", None);
    shared.put_individual(&make::scope(), individual, Precondition::New).await.unwrap();
    shared.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let reopened = RedbStore::open(&path, settings()).unwrap();
    assert_eq!(reopened.check().await.unwrap(), []);
    reopened.close().await.unwrap();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        let key = |name: &str| codec::key(&make::scope(), name);
        tables.hub_loads.put(&key("a.example"), &2_u64).unwrap();
        tables.group_counts.put(&key("other"), &1_u64).unwrap();
        tables.record_counts.remove(&key("acme")).unwrap();
        tables.decisions.remove(make::decision_of("pump-1").as_bytes()).unwrap();
        tables.certificates.remove(&key(&Digest::of(b"c1").to_string())).unwrap();
        tables.content.put_encoded(Digest::of(b"x").as_bytes(), b"y").unwrap();
        tables.decision_views.put_encoded(&key("of nothing"), b"x").unwrap();
        tables.uses.put(Digest::of(b"weighted").as_bytes(), &5_u64).unwrap();
        let (plugin, publisher) = ("weighted".parse().unwrap(), "t1".to_owned());
        let kept = KeptComponent { scope: make::scope(), plugin, publisher, bytes: 8 };
        tables.kept_components.put(Digest::of(b"weighted").as_bytes(), &kept).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
    assert!(error.contains("1 registrations are there, the hubs count 2 devices, and the groups 1"), "{error}");
    let settings = StoreSettings { take_contradictions: true, ..settings() };
    let store = RedbStore::open(&path, settings).unwrap();
    let findings = store.check().await.unwrap();
    let found: Vec<_> = findings.iter().map(|finding| finding.what).collect();
    let wanted = [
        "database",
        "registration",
        "count of a hub",
        "count of a group",
        "count of a manufacturer",
        "use of a certificate",
        "content",
        "view of the ledger",
        "use of a content",
        "component that is kept",
    ];
    assert_eq!(found, wanted, "{findings:?}");
    let weighted = Digest::of(b"weighted").to_string();
    assert!(findings.iter().any(|finding| finding.detail.contains(&weighted)), "{findings:?}");
    store.repair().await.unwrap();
    let left: Vec<_> = store.check().await.unwrap().iter().map(|finding| finding.what).collect();
    assert_eq!(left, ["registration", "content"]);
}

#[tokio::test]
async fn an_entry_that_nobody_can_read_makes_room_like_any_other() {
    let (store, folder) = open();
    for number in 1..=10 {
        store.record_entry(make::refusal(number), Vec::new()).await.unwrap();
    }
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        tables.others.put_encoded(make::tracking(1).as_bytes(), b"?").unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = RedbStore::open(&path, settings()).unwrap();
    store.record_entry(make::refusal(11), Vec::new()).await.unwrap();
    assert_eq!(store.ledger_entry(make::tracking(1)).await.unwrap(), None);
    let page = crate::DecisionPage { after: None, limit: 100 };
    let listed = store.decisions(&make::scope(), page, crate::DecisionFilter::default()).await.unwrap();
    assert_eq!(listed.items.len(), 10, "its rows in the views show nothing");
}

fn decision_among(hubs: Digest) -> Decision {
    let device = Device {
        registration_id: "device-6".into(),
        attestation: Attestation::X509,
        enrollment: EnrollmentKind::Group,
        enrollment_id: "pumps".into(),
        facts: vec![],
        claims: vec![],
        tags: vec![],
        payload: None,
        prior: None,
    };
    let factors = Factors {
        enrollment: EnrollmentRef::Group("pumps".parse().unwrap()),
        credential: "a certificate".into(),
        key_identity: hubs,
        manufacturer: None,
        evidence: vec![],
    };
    let verdict = Verdict::NoRoom { detail: String::new() };
    Decision { factors, device, hubs, engine: hubs, calls: vec![], issued: None, verdict }
}

#[tokio::test]
async fn what_nothing_names_is_found_and_compacting_removes_it() {
    let (store, folder) = open();
    let store: make::Shared = Arc::new(store);
    make::link(&store, &[("a.example", 9)]).await;
    make::place(&store, "pump-1", "a.example", &[]).await;
    let content = store.keep_content(Lane::Device, b"of nobody".to_vec()).await.unwrap();
    let hubs = store.keep_content(Lane::Device, b"of a decision that goes".to_vec()).await.unwrap();
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    // What a version left that did not collect.
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        for number in 1..=5 {
            let entry =
                landfall_domain::decision::Entry { tracking_id: make::tracking(number), ..make::refusal(number) };
            tables.decisions.put(make::tracking(number).as_bytes(), &entry).unwrap();
        }
        tables.uses.put(hubs.as_bytes(), &1_u64).unwrap();
        let decided = EntryKind::Decided(Box::new(decision_among(hubs)));
        let entry =
            landfall_domain::decision::Entry { tracking_id: make::tracking(6), kind: decided, ..make::refusal(6) };
        tables.decisions.put(make::tracking(6).as_bytes(), &entry).unwrap();
        super::decisions::make(&mut tables).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = RedbStore::open(&path, settings()).unwrap();
    let unused = store.unused().await.unwrap();
    assert_eq!((unused.decisions, unused.contents), (6, 1));
    assert_eq!(store.check().await.unwrap(), []);
    // What only a decision named that is removed is removed with it, and counted.
    let more = u64::try_from(b"of a decision that goes".len()).unwrap();
    let removed = store.compact().await.unwrap();
    assert_eq!(removed, Unused { contents: 2, bytes: unused.bytes + more, ..unused });
    let store = RedbStore::open(&path, settings()).unwrap();
    assert_eq!(store.unused().await.unwrap(), Unused::default());
    assert_eq!(store.content(content).await.unwrap(), None);
    assert_eq!(store.content(hubs).await.unwrap(), None);
    assert!(store.ledger_entry(make::decision_of("pump-1")).await.unwrap().is_some());
    assert_eq!(store.check().await.unwrap(), []);
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
    // And of a file that nobody has open.
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
    // What ends the process panics in these tests.
    assert_eq!(store.write(Lane::Bulk, whole()).await, Err(full));
    assert_eq!((asked.load(Ordering::Relaxed), store.sequence()), (3, before));
    let all = Page { after: None, limit: 10 };
    let there = store.records(&make::scope(), all.clone(), RecordFilter::default()).await.unwrap();
    assert_eq!(there.items, []);
    // There is room again.
    assert_eq!(store.write(Lane::Bulk, whole()).await.unwrap().len(), 4);
    assert_eq!(store.records(&make::scope(), all, RecordFilter::default()).await.unwrap().items.len(), 4);
}

#[tokio::test]
async fn only_who_says_so_makes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.redb");
    let not_made = StoreSettings { create: false, ..settings() };
    let missing = || RedbStore::open(&path, not_made.clone()).err().unwrap().to_string();
    assert!(missing().contains("it is not there; restore it from a backup"), "{}", missing());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");
    // Each says what there is, and what helps.
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

#[tokio::test]
async fn what_is_found_beyond_a_thousand_is_counted() {
    let (store, folder) = open();
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        for number in 1..=1200_u64 {
            tables.others_order.put_encoded(&number.to_be_bytes(), b"nobody").unwrap();
        }
    }
    transaction.commit().unwrap();
    drop(database);
    let store = RedbStore::open(&path, settings()).unwrap();
    let (findings, _) = Store::check(&store).await.unwrap();
    // And that there are more turns than entries.
    assert_eq!((findings.first.len(), findings.count()), (1000, 1201));
}

/// A file of format 1 whose counts are not those of its rows stays of format 1: the version that wrote it can open it.
#[tokio::test]
async fn a_file_of_an_earlier_format_that_contradicts_itself_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/museum/data-0.1.0/data.tar.gz");
    let ran = std::process::Command::new("tar").args(["-xzf", archive, "-C"]).arg(folder.path()).status().unwrap();
    assert!(ran.success());
    let path = folder.path().join("landfall.redb");
    let good = folder.path().join("good.redb");
    std::fs::copy(&path, &good).unwrap();
    let rows = |path: &Path| -> Vec<(String, u64)> {
        let database = Database::open(path).unwrap();
        let view = database.begin_read().unwrap();
        let names = view.list_tables().unwrap().map(|table| redb::TableHandle::name(&table).to_owned());
        let count = |name: &str| {
            let definition = redb::TableDefinition::<&[u8], &[u8]>::new(name);
            redb::ReadableTableMetadata::len(&view.open_table(definition).unwrap()).unwrap()
        };
        let mut rows: Vec<_> = names.map(|name| (name.clone(), count(&name))).collect();
        rows.sort();
        rows
    };
    {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut loads = transaction.open_table(tables::HUB_LOADS).unwrap();
            let count = codec::encode(&99_u64).unwrap();
            loads.insert(codec::key(&make::scope(), "nowhere").as_slice(), count.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }
    let before = rows(&path);
    for _ in 0..2 {
        let error = RedbStore::open(&path, settings()).err().unwrap().to_string();
        assert!(error.contains("contradicts itself") && error.contains("can still open it"), "{error}");
        assert_eq!(rows(&path), before);
    }
    let format = |path: &Path| {
        let database = Database::open(path).unwrap();
        let meta = database.begin_read().unwrap().open_table(tables::META).unwrap();
        tables::get::<u32>(&meta, "file property", steps::FORMAT_KEY).unwrap()
    };
    assert_eq!(format(&path), Some(1));
    RedbStore::open(&good, settings()).unwrap().close().await.unwrap();
    assert_eq!(format(&good), Some(steps::FORMAT));
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

#[test]
fn a_plugin_of_an_older_version_is_read() {
    #[derive(serde::Serialize)]
    struct Plugin {
        name: PluginName,
        live: Digest,
        previous: Vec<Digest>,
        published_at: Timestamp,
        published_by: String,
    }
    let (live, published_at) = (Digest::of(b"v1"), Timestamp::from_millis(7));
    let (name, published_by): (PluginName, _) = ("ours".parse().unwrap(), "t1".to_owned());
    let old = Plugin { name: name.clone(), live, previous: vec![], published_at, published_by: published_by.clone() };
    let read: PublishedPlugin = codec::decode("plugin", &codec::encode(&old).unwrap()).unwrap();
    assert_eq!(read, PublishedPlugin::first(name, b"v1", published_at, &published_by));
}

/// Format 1 kept what was revoked with each authority.
#[tokio::test]
async fn what_an_older_version_kept_of_revocations_with_an_authority_is_taken_into_rows_of_their_own() {
    use landfall_attestation::x509::revocation::RevocationRules;

    #[derive(serde::Serialize)]
    struct Before<'a> {
        name: &'a str,
        #[serde(with = "serde_bytes")]
        der: &'a [u8],
        verified: bool,
        verification_code: Option<String>,
        created_at: Timestamp,
        updated_at: Timestamp,
        #[serde(with = "serde_bytes")]
        crl: Option<&'a [u8]>,
        revocation: RevocationRules,
    }
    let now = Timestamp::from_millis(1_893_456_000_000);
    let root = landfall_attestation::x509::make::Authority::root("CA", now, 30).unwrap();
    let list = root.revocation_list(&[vec![7]], now, 7).unwrap();
    let other = landfall_attestation::x509::make::Authority::root("Another CA", now, 30).unwrap();
    let before = Before {
        name: "factory",
        der: &root.certificate_der,
        verified: true,
        verification_code: None,
        created_at: now,
        updated_at: now,
        crl: Some(&list),
        revocation: RevocationRules { whole: true, ..RevocationRules::default() },
    };
    let unread = Before {
        name: "other",
        der: &other.certificate_der,
        verification_code: None,
        crl: Some(b"no list"),
        revocation: before.revocation.clone(),
        ..before
    };
    let (store, folder) = open();
    store.create_scope(make::scope()).await.unwrap();
    store.close().await.unwrap();
    let path = folder.path().join("landfall.redb");
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut tables = tables::Tables::open(&transaction, tables::Kept::default()).unwrap();
        for row in [&before, &unread] {
            tables.authorities.put(&codec::key(&make::scope(), row.name), row).unwrap();
        }
    }
    assert!(transaction.delete_table(tables::REVOCATIONS).unwrap());
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let store = RedbStore::open(&path, settings()).unwrap();
        let scope = store.load_catalogue().await.unwrap().scopes.remove(0);
        let of = |der: &[u8]| scope.revocations.iter().find(|kept| kept.record.issuer.certificate == der).unwrap();
        let kept = of(&root.certificate_der);
        assert_eq!((scope.revocations.len(), kept.record.rules.whole), (2, true));
        // What an operator has said holds though the list cannot be read, and the list counts as one that is unread.
        let unread = of(&other.certificate_der);
        assert!(unread.record.rules.whole && unread.record.list.is_some(), "{:?}", unread.record);
        assert!(landfall_attestation::x509::Crl::kept(unread.list.as_deref().unwrap()).is_err());
        assert_eq!(kept.record.list.as_ref().map(|list| list.revoked), Some(1));
        assert_eq!(kept.list.as_deref(), Some(list.as_slice()));
        assert!(scope.authorities[0].verified);
        store.close().await.unwrap();
    }
}
