//! Files of other formats and of earlier versions.

use landfall_domain::names::PluginName;
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};

use super::*;

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
    // A component whose plugin is gone, but a decision of it remains.
    let gone = PublishedPlugin::first("gone".parse().unwrap(), b"gone", Timestamp::from_millis(1), "t1");
    let scope = make::scope();
    store
        .publish_plugin(&scope, gone, b"gone".to_vec(), Vec::new(), PublishBounds::NONE, Precondition::Any)
        .await
        .unwrap();
    store.record_entry(make::decided(6, Digest::of(b"gone")), Vec::new()).await.unwrap();
    store.delete_plugin(&scope, &"gone".parse().unwrap(), Precondition::Any).await.unwrap();
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
        // Rows that are not derived cannot be rebuilt, but the check knows that they existed.
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
        let put = store
            .publish_plugin(&scope, plugin, bytes.to_vec(), signatures, PublishBounds::NONE, Precondition::Any)
            .await;
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
    // A name under which the bytes are published later gets no such signature, and none is ever added.
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

/// A file of format 1 whose counts differ from its rows stays in format 1, so that the version that wrote it can open
/// it.
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

/// Format 1 stored revocations with each authority.
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
        // Revocations that an operator entered still apply although the list cannot be read, and the list counts as
        // unreadable.
        let unread = of(&other.certificate_der);
        assert!(unread.record.rules.whole && unread.record.list.is_some(), "{:?}", unread.record);
        assert!(landfall_attestation::x509::Crl::kept(unread.list.as_deref().unwrap()).is_err());
        assert_eq!(kept.record.list.as_ref().map(|list| list.revoked), Some(1));
        assert_eq!(kept.list.as_deref(), Some(list.as_slice()));
        assert!(scope.authorities[0].verified);
        store.close().await.unwrap();
    }
}
