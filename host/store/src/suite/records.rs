//! Manufacturing records and their import.

use std::sync::Arc;

use landfall_domain::clock::Timestamp;
use landfall_domain::names::ManufacturerId;
use landfall_domain::registry::{Claim, Evidence, ManufacturingRecord, RecordState};

use super::make::{Shared, batch, counted, record, scope};
use crate::{
    Batches, ImportBatch, Page, Precondition, PutOutcome, RecordFilter, RowOutcome, RowResult, StoreError, entity_tag,
};

pub async fn an_import_says_what_came_of_each_row(store: Shared) {
    let first = vec![record("b", "acme", "x"), record("a", "acme", "x"), record("c", "acme", "x")];
    let added = store.import_batch(batch(first)).await.unwrap();
    assert_eq!(added, [RowOutcome::Added; 3]);
    let second = vec![record("c", "acme", "x"), record("d", "acme", "x"), record("b", "acme", "y")];
    let outcomes = store.import_batch(batch(second)).await.unwrap();
    assert_eq!(outcomes, [RowOutcome::Unchanged, RowOutcome::Added, RowOutcome::Updated]);
    assert_eq!(get(&store, "B").await.facts["model"], "y");
    assert_eq!(counted(&store, "acme").await, 4);
}

pub async fn importing_the_same_again_changes_nothing(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    let before = get(&store, "a").await;
    let later = ManufacturingRecord { updated_at: Timestamp::from_millis(99), ..record("a", "acme", "x") };
    assert_eq!(store.import_batch(batch(vec![later])).await.unwrap(), [RowOutcome::Unchanged]);
    assert_eq!(get(&store, "a").await, before);
}

pub async fn an_update_keeps_the_state_and_the_first_import(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    set_state(&store, "a", RecordState::Quarantined).await;
    let later = Timestamp::from_millis(99);
    let update = ManufacturingRecord { imported_at: later, updated_at: later, ..record("a", "acme", "y") };
    assert_eq!(store.import_batch(batch(vec![update])).await.unwrap(), [RowOutcome::Updated]);
    let now = get(&store, "a").await;
    assert_eq!(
        (now.state, now.imported_at, now.updated_at),
        (RecordState::Quarantined, Timestamp::from_millis(10), later)
    );
}

pub async fn evidence_that_a_row_leaves_out_stays_unless_that_is_said(store: Shared) {
    let bare = |model| ManufacturingRecord { evidence: Evidence::default(), ..record("a", "acme", model) };
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    let evidence = get(&store, "a").await.evidence;
    let names = |results: Vec<RowResult>| results[0].left_out.names().collect::<Vec<_>>();

    let kept = store.import_batch(batch(vec![bare("x")])).await.unwrap();
    assert_eq!(kept, [RowOutcome::Unchanged]);
    assert_eq!(names(kept), ["certificateSha256"]);
    let kept = store.import_batch(batch(vec![bare("y")])).await.unwrap();
    assert_eq!(kept, [RowOutcome::Updated]);
    let now = get(&store, "a").await;
    assert_eq!((now.facts["model"].as_str(), &now.evidence), ("y", &evidence));

    let dropping = ImportBatch { drop_evidence: true, ..batch(vec![bare("y")]) };
    let dry = store.import_batch(ImportBatch { dry_run: true, ..dropping.clone() }).await.unwrap();
    assert_eq!((names(dry), get(&store, "a").await.evidence), (vec!["certificateSha256"], evidence));
    assert_eq!(store.import_batch(dropping.clone()).await.unwrap(), [RowOutcome::Updated]);
    assert_eq!(get(&store, "a").await.evidence, Evidence::default());
    let again = store.import_batch(dropping).await.unwrap();
    assert!(again[0] == RowOutcome::Unchanged && again[0].left_out.is_none(), "{again:?}");
}

pub async fn another_manufacturers_device_is_refused(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    let other = ImportBatch { manufacturer: "evil".parse().unwrap(), ..batch(vec![record("a", "evil", "y")]) };
    assert_eq!(store.import_batch(other).await.unwrap(), [RowOutcome::OtherManufacturer]);
    // A batch of one manufacturer may not contain rows of another one.
    let forged = batch(vec![record("b", "evil", "x")]);
    assert_eq!(store.import_batch(forged).await.unwrap(), [RowOutcome::OtherManufacturer]);
    assert_eq!(get(&store, "a").await.manufacturer.as_str(), "acme");
    assert_eq!((counted(&store, "acme").await, counted(&store, "evil").await), (1, 0));
}

pub async fn a_retired_device_is_not_changed(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    set_state(&store, "a", RecordState::Retired).await;
    let rows = vec![record("a", "acme", "y")];
    assert_eq!(store.import_batch(batch(rows)).await.unwrap(), [RowOutcome::Retired]);
    assert_eq!(store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap(), [RowOutcome::Unchanged]);
    assert_eq!(get(&store, "a").await.facts["model"], "x");
}

pub async fn the_last_rows_to_come_are_beyond_the_quota(store: Shared) {
    store.import_batch(batch(vec![record("m", "acme", "x")])).await.unwrap();
    let rows = ["z", "m", "y", "a", "a", "m"].map(|id| record(id, "acme", "y"));
    let limited = ImportBatch { quota: Some(3), ..batch(rows.to_vec()) };
    let outcomes = store.import_batch(limited).await.unwrap();
    use RowOutcome::{Added, OverQuota, Unchanged, Updated};
    assert_eq!(outcomes, [Added, Updated, Added, OverQuota, OverQuota, Unchanged]);
    assert_eq!(counted(&store, "acme").await, 3);
    assert_eq!(store.record(&scope(), &"a".parse().unwrap()).await.unwrap(), None);
}

pub async fn one_bad_row_refuses_an_all_or_nothing_batch(store: Shared) {
    let rows = vec![record("a", "acme", "x"), record("b", "evil", "x"), record("c", "acme", "x")];
    let whole = ImportBatch { all_or_nothing: true, ..batch(rows) };
    let outcomes = store.import_batch(whole).await.unwrap();
    assert_eq!(outcomes, [RowOutcome::NotTaken, RowOutcome::OtherManufacturer, RowOutcome::NotTaken]);
    assert_eq!(counted(&store, "acme").await, 0);
    assert_eq!(store.record(&scope(), &"a".parse().unwrap()).await.unwrap(), None);
    let good = ImportBatch { all_or_nothing: true, ..batch(vec![record("a", "acme", "x")]) };
    assert_eq!(store.import_batch(good).await.unwrap(), [RowOutcome::Added]);
}

pub async fn batches_of_one_import_are_written_together_or_not_at_all(store: Shared) {
    struct These(Vec<ImportBatch>);
    impl Batches for These {
        fn begin(&self) -> Result<Box<dyn Iterator<Item = Result<ImportBatch, StoreError>>>, StoreError> {
            Ok(Box::new(self.0.clone().into_iter().map(Ok)))
        }
    }
    let good = |ids: [&str; 2]| batch(ids.map(|id| record(id, "acme", "x")).to_vec());
    let bad = batch(vec![record("c", "acme", "x"), record("d", "evil", "x")]);
    let before = store.sequence();
    let batches = These(vec![good(["a", "b"]), bad, good(["e", "f"])]);
    let refused = store.import_whole(Arc::new(batches)).await.unwrap();
    use RowOutcome::{Added, NotTaken, OtherManufacturer};
    assert_eq!(refused, [[Added, Added], [NotTaken, OtherManufacturer]], "none is looked at after the refused one");
    assert_eq!((counted(&store, "acme").await, store.sequence()), (0, before));
    let batches = These(vec![good(["a", "b"]), good(["b", "c"])]);
    let written = store.import_whole(Arc::new(batches)).await.unwrap();
    assert_eq!(written, [[Added, Added], [RowOutcome::Unchanged, Added]]);
    assert_eq!((counted(&store, "acme").await, store.sequence()), (3, before + 1), "in one transaction");
}

pub async fn a_dry_run_writes_nothing(store: Shared) {
    let dry = ImportBatch { dry_run: true, ..batch(vec![record("a", "acme", "x"), record("a", "acme", "y")]) };
    assert_eq!(store.import_batch(dry).await.unwrap(), [RowOutcome::Added, RowOutcome::Updated]);
    assert_eq!(counted(&store, "acme").await, 0);
    assert_eq!(store.record(&scope(), &"a".parse().unwrap()).await.unwrap(), None);
}

pub async fn one_device_twice_in_a_batch_is_added_and_updated(store: Shared) {
    let rows = vec![record("a", "acme", "x"), record("b", "acme", "x"), record("a", "acme", "y")];
    let outcomes = store.import_batch(batch(rows)).await.unwrap();
    assert_eq!(outcomes, [RowOutcome::Added, RowOutcome::Added, RowOutcome::Updated]);
    assert_eq!(get(&store, "a").await.facts["model"], "y");
    assert_eq!(counted(&store, "acme").await, 2);
}

pub async fn a_record_says_who_else_claims_its_device(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    let at = Timestamp::from_millis(50);
    let row = ManufacturingRecord { imported_at: at, ..record("a", "bolt", "y") };
    let of_bolt = ImportBatch { manufacturer: "bolt".parse().unwrap(), ..batch(vec![row]) };
    let dry = ImportBatch { dry_run: true, ..of_bolt.clone() };
    assert_eq!(store.import_batch(dry).await.unwrap(), [RowOutcome::OtherManufacturer]);
    assert_eq!(get(&store, "a").await.claim, None, "of a dry run nothing stays");
    assert_eq!(store.import_batch(of_bolt.clone()).await.unwrap(), [RowOutcome::OtherManufacturer]);
    let claimed = get(&store, "a").await;
    assert_eq!(claimed.claim, Some(Claim { manufacturer: "bolt".parse().unwrap(), at }));
    assert_eq!(ManufacturingRecord { claim: None, ..claimed }, record("a", "acme", "x"));
    store.import_batch(batch(vec![record("a", "acme", "z")])).await.unwrap();
    assert!(get(&store, "a").await.claim.is_some(), "its own manufacturer does not take it back");
    let own = ImportBatch { rows: vec![record("b", "bolt", "y")], ..of_bolt };
    store.import_batch(own).await.unwrap();
    let names: Vec<_> = store.manufacturers(&scope(), 9).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["acme", "bolt"]);
}

pub async fn retired_is_final(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    set_state(&store, "a", RecordState::Retired).await;
    let after = set_state(&store, "a", RecordState::Active).await.unwrap();
    assert_eq!(after.state, RecordState::Retired);
    assert_eq!(set_state(&store, "b", RecordState::Active).await, None);
}

pub async fn the_state_of_a_record_is_guarded_by_its_tag(store: Shared) {
    store.import_batch(batch(vec![record("a", "acme", "x")])).await.unwrap();
    let (id, now) = ("a".parse().unwrap(), Timestamp::from_millis(50));
    let set = async |state, when| store.set_record_state(&scope(), &id, state, now, when).await.unwrap();
    let seen = get(&store, "a").await;
    let over = |record: &ManufacturingRecord| Precondition::Match(entity_tag(record));
    let held = set(RecordState::Quarantined, over(&seen)).await.unwrap();
    assert_eq!(set(RecordState::Active, over(&seen)).await, Err(PutOutcome::Changed));
    assert_eq!(set(RecordState::Active, Precondition::New).await, Err(PutOutcome::AlreadyThere));
    assert_eq!(get(&store, "a").await, held);
    assert_eq!(set(RecordState::Active, over(&held)).await.map(|record| record.state), Ok(RecordState::Active));
    let (unknown, any) = ("b".parse().unwrap(), Precondition::Any);
    let unknown = store.set_record_state(&scope(), &unknown, RecordState::Active, now, any).await;
    assert_eq!(unknown.unwrap(), Err(PutOutcome::Missing));
}

pub async fn records_are_listed_by_prefix_state_and_manufacturer(store: Shared) {
    let rows = ["pump-1", "pump-2", "valve-1", "pumq"].map(|id| record(id, "acme", "x"));
    store.import_batch(batch(rows.to_vec())).await.unwrap();
    let other = ImportBatch { manufacturer: "bolt".parse().unwrap(), ..batch(vec![record("pump-3", "bolt", "x")]) };
    store.import_batch(other).await.unwrap();
    set_state(&store, "pump-2", RecordState::Quarantined).await;
    let list = async |filter: RecordFilter, limit: usize| {
        let page = Page { after: None, limit };
        let listing = store.records(&scope(), page, filter).await.unwrap();
        let ids: Vec<_> = listing.items.iter().map(|r| r.registration_id.to_string()).collect();
        (ids.join(" "), listing.next)
    };
    let prefix = |text: &str| RecordFilter { prefix: Some(text.to_owned()), ..RecordFilter::default() };
    assert_eq!(list(RecordFilter::default(), 9).await.0, "pump-1 pump-2 pump-3 pumq valve-1");
    assert_eq!(list(prefix("PUMP-"), 9).await, ("pump-1 pump-2 pump-3".to_owned(), None));
    assert_eq!(list(prefix("pump-"), 2).await, ("pump-1 pump-2".to_owned(), Some("pump-2".to_owned())));
    let bolt = RecordFilter { manufacturer: Some("bolt".parse().unwrap()), ..RecordFilter::default() };
    assert_eq!(list(bolt, 9).await.0, "pump-3");
    let held = RecordFilter { state: Some(RecordState::Quarantined), ..RecordFilter::default() };
    assert_eq!(list(held, 9).await.0, "pump-2");
}

/// A filter that few records pass finds them on the first page, however many others there are.
pub async fn one_among_many_is_listed_on_the_first_page(store: Shared) {
    let rows = |from: usize| (from..from + 3_500).map(|n| record(&format!("a-{n:05}"), "acme", "x")).collect();
    for from in [0, 3_500, 7_000] {
        store.import_batch(batch(rows(from))).await.unwrap();
    }
    let other = ImportBatch { manufacturer: "zeta".parse().unwrap(), ..batch(vec![record("z-1", "zeta", "x")]) };
    store.import_batch(other).await.unwrap();
    set_state(&store, "a-10499", RecordState::Quarantined).await;
    let acme: ManufacturerId = "acme".parse().unwrap();
    let zeta: ManufacturerId = "zeta".parse().unwrap();
    let held = Some(RecordState::Quarantined);
    for (manufacturer, state, wanted) in [
        (None, held, Some("a-10499")),
        (Some(acme), held, Some("a-10499")),
        (Some(zeta.clone()), held, None),
        (Some(zeta.clone()), None, Some("z-1")),
        (Some(zeta), Some(RecordState::Active), Some("z-1")),
    ] {
        let filter = RecordFilter { manufacturer, state, prefix: None };
        let listing = store.records(&scope(), Page { after: None, limit: 9 }, filter.clone()).await.unwrap();
        let ids: Vec<_> = listing.items.iter().map(|r| r.registration_id.as_str()).collect();
        assert_eq!((ids, listing.next), (wanted.into_iter().collect(), None), "{filter:?}");
    }
}

/// Whatever position a manufacturer requests a page from, it sees only its own records.
pub async fn the_place_of_the_next_page_is_never_anothers(store: Shared) {
    let own = (0..9).map(|n| record(&format!("m-{n}0"), "acme", "x")).collect();
    store.import_batch(batch(own)).await.unwrap();
    let theirs = (0..99).map(|n| record(&format!("m-{n:02}x"), "bolt", "x")).collect();
    let other = ImportBatch { manufacturer: "bolt".parse().unwrap(), ..batch(theirs) };
    store.import_batch(other).await.unwrap();
    for state in [None, Some(RecordState::Active), Some(RecordState::Quarantined)] {
        for after in (0..99).map(|n| format!("m-{n:02}")) {
            let filter = RecordFilter { manufacturer: Some("acme".parse().unwrap()), state, prefix: None };
            let page = Page { after: Some(after), limit: 1 };
            let listing = store.records(&scope(), page, filter).await.unwrap();
            let last = listing.items.last().map(|record| record.registration_id.to_string());
            assert!(listing.next.is_none() || listing.next == last, "{listing:?}");
        }
    }
}

async fn get(store: &Shared, id: &str) -> ManufacturingRecord {
    store.record(&scope(), &id.parse().unwrap()).await.unwrap().unwrap()
}

async fn set_state(store: &Shared, id: &str, state: RecordState) -> Option<ManufacturingRecord> {
    let now = Timestamp::from_millis(50);
    store.set_record_state(&scope(), &id.parse().unwrap(), state, now, Precondition::Any).await.unwrap().ok()
}
