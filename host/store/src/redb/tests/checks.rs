//! Contradictions, and rows that nothing refers to.

use landfall_domain::decision::call::{Attestation, Device, EnrollmentKind};
use landfall_domain::decision::{Decision, EntryKind, Factors, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::plugin::KeptComponent;

use super::*;

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
    // A leftover of a version that did not collect unused contents.
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
        crate::redb::decisions::make(&mut tables).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = RedbStore::open(&path, settings()).unwrap();
    let unused = store.unused().await.unwrap();
    assert_eq!((unused.decisions, unused.contents), (6, 1));
    assert_eq!(store.check().await.unwrap(), []);
    // A content that only a removed decision named is removed with it, and counted.
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
    let (findings, _) = Upkeep::check(&store).await.unwrap();
    // There are also more order rows than entries.
    assert_eq!((findings.first.len(), findings.count()), (1000, 1201));
}
