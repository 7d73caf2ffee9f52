//! What the harness knows must be in the database, and what may be.

use std::collections::{BTreeMap, BTreeSet};

use landfall_domain::decision::Entry;
use landfall_domain::names::{Digest, TrackingId};
use landfall_domain::registration::{Registration, Version};
use landfall_domain::registry::ManufacturingRecord;
use landfall_store::redb::RedbStore;
use landfall_store::{
    AdmissionBasis, CommitOutcome, HubStore as _, ImportBatch, Lane, LedgerStore as _, Page, Precondition,
    RecordFilter, RecordStore as _, RegistrationCommit, RegistrationFilter, RegistrationStore as _, RowOutcome,
    StoreError,
};

use super::Report;
use super::things::{HUBS, entry, hub, name, record, registration, scope};
use crate::chance::Chance;

/// Something to write.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Register(Box<RegistrationCommit>),
    Delete(String),
    Refuse(Entry),
    Import(Vec<ManufacturingRecord>),
    Keep(Vec<u8>),
    Link(&'static str, u64),
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Registered(CommitOutcome),
    Deleted(bool),
    Imported(Vec<RowOutcome>),
    Done,
}

impl Write {
    /// Hands it to the store.
    pub(super) async fn send(&self, store: &RedbStore) -> Result<Answer, StoreError> {
        match self {
            Self::Register(commit) => store.commit_registration((**commit).clone()).await.map(Answer::Registered),
            Self::Delete(id) => {
                let gone = store.delete_registration(&scope(), &name(id), Precondition::Any).await?;
                Ok(Answer::Deleted(gone.is_ok()))
            }
            Self::Refuse(entry) => store.record_entry(entry.clone(), Vec::new()).await.map(|()| Answer::Done),
            Self::Import(rows) => {
                let batch = ImportBatch {
                    scope: scope(),
                    manufacturer: name("acme"),
                    quota: None,
                    rows: rows.clone(),
                    all_or_nothing: false,
                    dry_run: false,
                    drop_evidence: false,
                };
                let results = store.import_batch(batch).await?;
                Ok(Answer::Imported(results.into_iter().map(|row| row.outcome).collect()))
            }
            Self::Keep(content) => store.keep_content(Lane::Device, content.clone()).await.map(|_| Answer::Done),
            Self::Link(name, capacity) => {
                let hub = hub(name, *capacity);
                store.put_hub(&scope(), hub, Precondition::Any).await.map(|_| Answer::Done)
            }
        }
    }
}

/// Everything acknowledged, and the one transaction that may be there.
#[derive(Default)]
pub(super) struct Known {
    registrations: BTreeMap<String, Registration>,
    entries: BTreeMap<TrackingId, Entry>,
    records: BTreeMap<String, ManufacturingRecord>,
    contents: BTreeSet<Vec<u8>>,
    /// Tracking ids of what was refused or is not there: nothing may stand under them.
    absent: Vec<TrackingId>,
    /// The writes of a transaction whose commit failed.
    open: Vec<Write>,
    drawn: u64,
}

impl Known {
    /// The next writes. Those of one group are about different things, so that they can be told apart.
    pub(super) fn draw(&mut self, chance: &mut Chance) -> Vec<Write> {
        if chance.percent(8) {
            let count = chance.between(1, 60);
            let rows = (0..count).map(|_| some_record(chance)).collect();
            return vec![Write::Import(rows)];
        }
        let mut used = BTreeSet::new();
        let most = if chance.percent(20) { 60 } else { 6 };
        let count = chance.between(1, most);
        let mut group = Vec::new();
        for _ in 0..count {
            self.drawn += 1;
            let id = format!("device-{}", chance.between(0, 80));
            let write = match chance.between(0, 100) {
                0..4 => Some(Write::Link(chance.pick(&HUBS).copied().unwrap_or_default(), chance.between(0, 40))),
                4..14 => Some(Write::Refuse(some_entry(self.drawn, "refused", chance))),
                14..22 => Some(Write::Keep(vec![7; usize::try_from(chance.between(0, 20_000)).unwrap_or(0)])),
                22..30 if used.insert(id.clone()) => Some(Write::Delete(id)),
                30.. if used.insert(id.clone()) => Some(self.registration(id, chance)),
                _ => None,
            };
            group.extend(write);
        }
        group
    }

    fn registration(&self, id: String, chance: &mut Chance) -> Write {
        let stands = self.registrations.get(&id);
        let stale = chance.percent(5);
        let entry = some_entry(self.drawn, &id, chance);
        let hub = chance.pick(&HUBS).copied().filter(|_| chance.percent(95));
        let path: Vec<_> = (0..chance.between(0, 4)).map(|_| format!("g{}", chance.between(0, 3))).collect();
        let registration = registration(self.drawn, &id, hub, &path);
        let version = stands.map(Registration::version);
        let other = Version { generation: stands.map_or(0, |r| r.generation) + 1, decision: registration.decision };
        let expected = if stale { Some(other) } else { version };
        let record = self.records.get(&id).cloned();
        Write::Register(Box::new(RegistrationCommit {
            scope: scope(),
            registration,
            expected,
            record,
            basis: AdmissionBasis::default(),
            answered: None,
            entry,
            contents: Vec::new(),
        }))
    }

    /// Takes over what was answered; answers how many were acknowledged.
    pub(super) fn learn(&mut self, group: Vec<Write>, answers: Vec<Result<Answer, StoreError>>) -> Result<u64, String> {
        let mut acknowledged = 0;
        for (write, answer) in group.into_iter().zip(answers) {
            match answer {
                Ok(answer) => {
                    acknowledged += 1;
                    self.acknowledge(write, answer)?;
                }
                Err(StoreError::Outcome(_)) => self.open.push(write),
                // Nothing of it may be there.
                Err(StoreError::Write(_) | StoreError::Read(_) | StoreError::Closed) => self.refused(&write),
                Err(other) => return Err(format!("an answer that cannot be: {other}")),
            }
        }
        Ok(acknowledged)
    }

    fn acknowledge(&mut self, write: Write, answer: Answer) -> Result<(), String> {
        match (write, answer) {
            (Write::Register(commit), Answer::Registered(CommitOutcome::Committed(written))) => {
                let id = commit.registration.registration_id.key().to_owned();
                let before = self.registrations.insert(id, *written).map(|r| r.version());
                if before != commit.expected {
                    return Err(format!("a stale commit of {} was taken", commit.registration.registration_id));
                }
                self.entries.insert(commit.entry.tracking_id, commit.entry);
            }
            (write @ Write::Register(_), Answer::Registered(_)) => self.refused(&write),
            (Write::Delete(id), Answer::Deleted(gone)) if self.registrations.remove(&id).is_some() != gone => {
                return Err(format!("the removal of {id} was answered wrongly"));
            }
            (Write::Refuse(entry), _) => {
                self.entries.insert(entry.tracking_id, entry);
            }
            (Write::Import(rows), Answer::Imported(outcomes)) => {
                if !outcomes.iter().all(|outcome| outcome.is_good()) {
                    return Err("a good import was refused".to_owned());
                }
                self.import(rows);
            }
            (Write::Keep(content), _) => {
                self.contents.insert(content);
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, rows: Vec<ManufacturingRecord>) {
        for row in rows {
            let stands = self.records.get(row.registration_id.key());
            if !stands.is_some_and(|stands| stands.says_the_same_as(&row)) {
                self.records.insert(row.registration_id.key().to_owned(), row);
            }
        }
    }

    fn refused(&mut self, write: &Write) {
        match write {
            Write::Register(commit) => self.absent.push(commit.entry.tracking_id),
            Write::Refuse(entry) => self.absent.push(entry.tracking_id),
            _ => {}
        }
    }

    /// Compares the store with all this, after the open transaction has been found there or not.
    pub(super) async fn compare(&mut self, store: &RedbStore, report: &mut Report) -> Result<(), String> {
        self.settle(store, report).await?;
        let read = |error: StoreError| error.to_string();
        let page = Page { after: None, limit: 10_000 };
        let stored = store.registrations(&scope(), page, RegistrationFilter::default()).await.map_err(read)?;
        let stored: BTreeMap<String, Registration> =
            stored.items.into_iter().map(|r| (r.registration_id.key().to_owned(), r)).collect();
        same("registration", &stored, &self.registrations)?;
        for (id, entry) in &self.entries {
            if store.ledger_entry(*id).await.map_err(read)?.as_ref() != Some(entry) {
                return Err(format!("the acknowledged ledger entry {id} is lost or changed"));
            }
        }
        for id in &self.absent {
            if store.ledger_entry(*id).await.map_err(read)?.is_some() {
                return Err(format!("the ledger entry {id} is there, and what it explains was refused"));
            }
        }
        let page = Page { after: None, limit: 10_000 };
        let stored = store.records(&scope(), page, RecordFilter::default()).await.map_err(read)?;
        let stored: BTreeMap<String, ManufacturingRecord> =
            stored.items.into_iter().map(|r| (r.registration_id.key().to_owned(), r)).collect();
        same("manufacturing record", &stored, &self.records)?;
        for content in &self.contents {
            if store.content(Digest::of(content)).await.map_err(read)?.as_ref() != Some(content) {
                return Err(format!("an acknowledged content of {} bytes is lost", content.len()));
            }
        }
        Ok(())
    }

    /// Finds out whether the open transaction is there. One sign of it decides; that all the rest agrees is then
    /// compared like everything else.
    async fn settle(&mut self, store: &RedbStore, report: &mut Report) -> Result<(), String> {
        let open = std::mem::take(&mut self.open);
        let read = |error: StoreError| error.to_string();
        let mut arrived = None;
        for write in &open {
            let there = match write {
                Write::Register(commit) => self.sign_of(commit.entry.tracking_id, store).await?,
                Write::Refuse(entry) => self.sign_of(entry.tracking_id, store).await?,
                Write::Delete(id) if self.registrations.contains_key(id) => {
                    Some(store.registration(&scope(), &name(id)).await.map_err(read)?.is_none())
                }
                Write::Import(rows) => self.sign_of_import(rows, store).await?,
                _ => None,
            };
            // A registration that is stale or finds no room leaves no sign even when the transaction is there.
            match (write, there) {
                (Write::Register(commit), Some(false)) if !self.must_be_taken(commit) => {}
                (_, None) => {}
                (_, Some(there)) if arrived.is_some_and(|before| before != there) => {
                    return Err("a transaction is there in part".to_owned());
                }
                (_, Some(there)) => arrived = Some(there),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if arrived == Some(true) {
            report.arrived += 1;
        } else {
            report.vanished += 1;
        }
        for write in open {
            match write {
                Write::Register(commit) => {
                    let id = commit.registration.registration_id.clone();
                    let entry = store.ledger_entry(commit.entry.tracking_id).await.map_err(read)?;
                    let stands = store.registration(&scope(), &id).await.map_err(read)?;
                    // With its entry the registration must be there, and without it the one before.
                    match (entry.is_some(), stands) {
                        (true, Some(stands)) if stands.decision == commit.entry.tracking_id => {
                            self.registrations.insert(id.key().to_owned(), stands);
                            self.entries.insert(commit.entry.tracking_id, commit.entry);
                        }
                        (true, _) => return Err(format!("{id} has its ledger entry and not its registration")),
                        (false, _) => self.absent.push(commit.entry.tracking_id),
                    }
                }
                write if arrived == Some(true) => {
                    let answer = match &write {
                        Write::Delete(id) => Answer::Deleted(self.registrations.contains_key(id)),
                        Write::Import(rows) => Answer::Imported(vec![RowOutcome::Added; rows.len()]),
                        _ => Answer::Done,
                    };
                    self.acknowledge(write, answer)?;
                }
                write => self.refused(&write),
            }
        }
        Ok(())
    }

    /// Whether nothing can refuse a registration: it needs no room, and nobody overtook it.
    fn must_be_taken(&self, commit: &RegistrationCommit) -> bool {
        let stands = self.registrations.get(commit.registration.registration_id.key());
        commit.registration.hub().is_none() && commit.expected == stands.map(Registration::version)
    }

    async fn sign_of(&self, id: TrackingId, store: &RedbStore) -> Result<Option<bool>, String> {
        let entry = store.ledger_entry(id).await.map_err(|error| error.to_string())?;
        Ok(Some(entry.is_some()))
    }

    /// A record that the import would have changed tells.
    async fn sign_of_import(&self, rows: &[ManufacturingRecord], store: &RedbStore) -> Result<Option<bool>, String> {
        // The last row of a device is what an import leaves.
        let last: BTreeMap<&str, &ManufacturingRecord> =
            rows.iter().map(|row| (row.registration_id.key(), row)).collect();
        for (id, row) in last {
            if !self.records.get(id).is_some_and(|stands| stands.says_the_same_as(row)) {
                let stored = store.record(&scope(), &row.registration_id).await.map_err(|error| error.to_string())?;
                return Ok(Some(stored.is_some_and(|stored| stored.says_the_same_as(row))));
            }
        }
        Ok(None)
    }
}

fn same<T: PartialEq>(what: &str, stored: &BTreeMap<String, T>, known: &BTreeMap<String, T>) -> Result<(), String> {
    if let Some(id) = known.keys().find(|id| !stored.contains_key(*id)) {
        return Err(format!("the acknowledged {what} {id} is lost"));
    }
    match stored.iter().find(|(id, thing)| known.get(*id) != Some(thing)) {
        Some((id, _)) if known.contains_key(id) => Err(format!("the {what} {id} is not as it was acknowledged")),
        Some((id, _)) => Err(format!("the {what} {id} is there without ever having been acknowledged")),
        None => Ok(()),
    }
}

fn some_record(chance: &mut Chance) -> ManufacturingRecord {
    let id = format!("device-{}", chance.between(0, 300));
    record(&id, &some_text(300, chance))
}

fn some_entry(number: u64, id: &str, chance: &mut Chance) -> Entry {
    entry(number, id, &some_text(2_000, chance))
}

fn some_text(longest: u64, chance: &mut Chance) -> String {
    "x".repeat(usize::try_from(chance.between(1, longest)).unwrap_or(1))
}
