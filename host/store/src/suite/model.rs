//! Compares a store with a model: the same random operations, with the store closed and reopened in between, must lead
//! to the same state.

use std::collections::BTreeMap;

use landfall_domain::clock::Timestamp;
use landfall_domain::hub::HubState;
use landfall_domain::registration::Registration;
use landfall_domain::registry::{Claim, ManufacturingRecord, RecordState};
use proptest::prelude::*;

use super::make::{Shared, assigned, batch, commit_of, counted, group_count, hub, record, registration, scope};
use crate::{
    CommitOutcome, DeleteOutcome, ImportBatch, Page, Precondition, RecordFilter, RegistrationCommit,
    RegistrationFilter, RowOutcome,
};

/// An operation on a store.
#[derive(Clone, Debug)]
pub enum Operation {
    Link { hub: usize, capacity: u64, draining: bool },
    Unlink { hub: usize },
    Register { device: usize, hub: Option<usize>, path: Vec<&'static str>, behind: u64 },
    Delete { device: usize },
    Release { device: usize },
    Import { rows: Vec<(usize, usize, &'static str)>, quota: Option<u64>, all_or_nothing: bool, dry_run: bool },
    SetState { device: usize, state: RecordState },
    Reopen,
}

/// Any number of operations on a few things, so that they interact.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let device = 0..DEVICES.len();
    let linked = 0..HUBS.len();
    let path = prop::collection::vec(prop::sample::select(vec!["eu", "us", ""]), 0..3);
    let row = (device.clone(), 0..MAKERS.len(), prop::sample::select(vec!["x", "y"]));
    let states = vec![RecordState::Active, RecordState::Quarantined, RecordState::Retired];
    let operation = prop_oneof![
        3 => (linked.clone(), 0..4_u64, prop::bool::weighted(0.2))
            .prop_map(|(hub, capacity, draining)| Operation::Link { hub, capacity, draining }),
        1 => linked.clone().prop_map(|hub| Operation::Unlink { hub }),
        10 => (device.clone(), prop::option::weighted(0.9, linked), path, prop::sample::select(vec![0, 0, 0, 1]))
            .prop_map(|(device, hub, path, behind)| Operation::Register { device, hub, path, behind }),
        2 => device.clone().prop_map(|device| Operation::Delete { device }),
        1 => device.clone().prop_map(|device| Operation::Release { device }),
        4 => (
            prop::collection::vec(row, 0..6),
            prop::option::weighted(0.3, 0..4_u64),
            prop::bool::weighted(0.3),
            prop::bool::weighted(0.2),
        )
            .prop_map(|(rows, quota, all_or_nothing, dry_run)| {
                Operation::Import { rows, quota, all_or_nothing, dry_run }
            }),
        2 => (device, prop::sample::select(states))
            .prop_map(|(device, state)| Operation::SetState { device, state }),
        1 => Just(Operation::Reopen),
    ];
    prop::collection::vec(operation, 1..60)
}

/// Applies all operations to a store and to the model. `reopen` closes the store and opens it again.
pub async fn compare(mut store: Shared, operations: Vec<Operation>, reopen: impl AsyncFn(Shared) -> Shared) {
    let mut model = Model::default();
    store.create_scope(scope()).await.unwrap();
    for operation in operations {
        if matches!(operation, Operation::Reopen) {
            store = reopen(store).await;
        } else {
            model.step(&store, operation).await;
        }
    }
    model.equals(&store).await;
    model.equals(&reopen(store).await).await;
}

/// The state that a store must have, in the simplest form.
#[derive(Default)]
struct Model {
    hubs: BTreeMap<&'static str, (u64, bool)>,
    registrations: BTreeMap<String, Registration>,
    records: BTreeMap<String, ManufacturingRecord>,
    clock: u64,
}

impl Model {
    async fn step(&mut self, store: &Shared, operation: Operation) {
        self.clock += 1;
        match operation {
            Operation::Link { hub: name, capacity, draining } => {
                let state = if draining { HubState::Draining } else { HubState::Active };
                let linked = landfall_domain::hub::Hub { state, ..hub(HUBS[name], capacity) };
                store.put_hub(&scope(), linked, Precondition::Any).await.unwrap();
                self.hubs.insert(HUBS[name], (capacity, draining));
            }
            Operation::Unlink { hub } => {
                let outcome = store.delete_hub(&scope(), &HUBS[hub].parse().unwrap(), Precondition::Any).await.unwrap();
                let there = self.hubs.remove(HUBS[hub]).is_some();
                assert_eq!(outcome == DeleteOutcome::Deleted, there);
            }
            Operation::Register { device, hub, path, behind } => {
                self.register(store, DEVICES[device], hub.map(|hub| HUBS[hub]), &path, behind).await;
            }
            Operation::Delete { device } => {
                let gone = store
                    .delete_registration(&scope(), &DEVICES[device].parse().unwrap(), Precondition::Any)
                    .await
                    .unwrap();
                assert_eq!(gone.ok(), self.registrations.remove(DEVICES[device]));
            }
            Operation::Release { device } => {
                let found = store
                    .release_registration(&scope(), &DEVICES[device].parse().unwrap(), Precondition::Any)
                    .await
                    .unwrap();
                let stands = self.registrations.get_mut(DEVICES[device]);
                assert_eq!(found == DeleteOutcome::Deleted, stands.is_some());
                if let Some(stands) = stands {
                    stands.key_identity = None;
                    stands.generation += 1;
                }
            }
            Operation::Import { rows, quota, all_or_nothing, dry_run } => {
                let rows = rows.into_iter().map(|(device, maker, model)| ManufacturingRecord {
                    updated_at: Timestamp::from_millis(self.clock),
                    ..record(DEVICES[device], MAKERS[maker], model)
                });
                let import = ImportBatch { quota, all_or_nothing, dry_run, ..batch(rows.collect()) };
                let outcomes = store.import_batch(import.clone()).await.unwrap();
                assert_eq!(outcomes, self.import(&import), "{import:?}");
            }
            Operation::SetState { device, state } => {
                let now = Timestamp::from_millis(self.clock);
                let id = DEVICES[device].parse().unwrap();
                let changed = store.set_record_state(&scope(), &id, state, now, Precondition::Any).await.unwrap().ok();
                if let Some(stands) = self.records.get_mut(DEVICES[device])
                    && stands.state != RecordState::Retired
                    && stands.state != state
                {
                    stands.state = state;
                    stands.updated_at = now;
                }
                assert_eq!(changed.as_ref(), self.records.get(DEVICES[device]));
            }
            Operation::Reopen => {}
        }
    }

    async fn register(&mut self, store: &Shared, id: &str, hub: Option<&str>, path: &[&str], behind: u64) {
        let stands = self.registrations.get(id).cloned();
        let generation = stands.as_ref().map_or(0, |r| r.generation);
        let expected = generation.saturating_sub(behind);
        let mut wanted = registration(id, hub, path);
        let record = self.records.get(id).cloned();
        let commit = RegistrationCommit { record, ..commit_of(wanted.clone(), expected) };
        let outcome = store.commit_registration(commit).await.unwrap();
        if expected != generation {
            assert_eq!(outcome, CommitOutcome::Overtaken(stands.map(Box::new)));
            return;
        }
        let own = stands.as_ref().and_then(Registration::hub).map(ToString::to_string);
        let takes = |name: &str| {
            let Some((capacity, draining)) = self.hubs.get(name) else { return false };
            own.as_deref() == Some(name) || (!draining && self.load(name) < *capacity)
        };
        if hub.is_some_and(|name| !takes(name)) {
            assert_eq!(outcome, CommitOutcome::NoRoom);
            return;
        }
        wanted.generation = generation + 1;
        let initial = stands.and_then(|r| r.initial_hub);
        wanted.initial_hub = initial.or_else(|| hub.map(|name| name.parse().unwrap()));
        assert_eq!(outcome, CommitOutcome::Committed(Box::new(wanted.clone())));
        self.registrations.insert(id.to_owned(), wanted);
    }

    /// Imports row by row, as if each row were a batch.
    fn import(&mut self, import: &ImportBatch) -> Vec<RowOutcome> {
        let before = self.records.clone();
        let mut outcomes: Vec<_> = import.rows.iter().map(|row| self.import_row(import, row)).collect();
        let bad = import.all_or_nothing && outcomes.iter().any(|outcome| !outcome.is_good());
        if bad {
            outcomes.iter_mut().filter(|outcome| outcome.is_good()).for_each(|o| *o = RowOutcome::NotTaken);
        }
        if bad || import.dry_run {
            self.records = before;
        }
        outcomes
    }

    fn import_row(&mut self, import: &ImportBatch, row: &ManufacturingRecord) -> RowOutcome {
        let key = row.registration_id.key().to_owned();
        let stands = self.records.get(&key);
        if stands.unwrap_or(row).manufacturer != import.manufacturer || row.manufacturer != import.manufacturer {
            let claimer = &import.manufacturer;
            if let Some(old) = self.records.get_mut(&key)
                && old.manufacturer != *claimer
                && old.claim.as_ref().is_none_or(|claim| claim.manufacturer != *claimer)
            {
                old.claim = Some(Claim { manufacturer: claimer.clone(), at: row.imported_at });
            }
            return RowOutcome::OtherManufacturer;
        }
        let Some(old) = stands else {
            let owned = self.records.values().filter(|r| r.manufacturer == import.manufacturer).count();
            if import.quota.is_some_and(|quota| owned as u64 >= quota) {
                return RowOutcome::OverQuota;
            }
            self.records.insert(key, row.clone());
            return RowOutcome::Added;
        };
        if old.says_the_same_as(row) {
            return RowOutcome::Unchanged;
        }
        if old.state == RecordState::Retired {
            return RowOutcome::Retired;
        }
        let (state, imported_at, claim) = (old.state, old.imported_at, old.claim.clone());
        let updated = ManufacturingRecord { state, imported_at, claim, ..row.clone() };
        self.records.insert(key, updated);
        RowOutcome::Updated
    }

    fn load(&self, hub: &str) -> u64 {
        self.registrations.values().filter(|r| r.hub().is_some_and(|h| h.as_str() == hub)).count() as u64
    }

    /// Checks that the store has exactly the same state.
    async fn equals(&self, store: &Shared) {
        let page = Page { after: None, limit: 100 };
        let stored = store.registrations(&scope(), page.clone(), RegistrationFilter::default()).await.unwrap();
        assert!(stored.items.iter().eq(self.registrations.values()), "{:?}", stored.items);
        let stored = store.records(&scope(), page, RecordFilter::default()).await.unwrap();
        assert!(stored.items.iter().eq(self.records.values()), "{:?}", stored.items);
        for name in self.hubs.keys() {
            assert_eq!(assigned(store, name).await, self.load(name), "{name}");
        }
        for path in [&[] as &[&str], &["eu"], &["us"], &[""], &["eu", "us"], &["eu", ""], &["us", "eu"]] {
            let below = |r: &&Registration| {
                r.assignment()
                    .is_some_and(|a| path.len() <= a.group_path.len() && path.iter().eq(&a.group_path[..path.len()]))
            };
            let count = self.registrations.values().filter(below).count() as u64;
            assert_eq!(group_count(store, path).await, count, "{path:?}");
        }
        for maker in MAKERS {
            let count = self.records.values().filter(|r| r.manufacturer.as_str() == maker).count() as u64;
            assert_eq!(counted(store, maker).await, count);
        }
    }
}

const DEVICES: [&str; 5] = ["pump-1", "pump-10", "pump-2", "valve-1", "valve-2"];
const HUBS: [&str; 3] = ["a.example", "b.example", "c.example"];
const MAKERS: [&str; 2] = ["acme", "bolt"];
