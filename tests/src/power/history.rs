//! One database through several power failures.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use landfall_store::redb::{RedbStore, StoreSettings, Turns};
use landfall_store::{HubStore as _, Precondition, StoreError, Upkeep as _};

use super::Report;
use super::disk::Disk;
use super::ledger::{Answer, Known};
use super::things::{HUBS, hub, scope};
use crate::chance::Chance;

/// A database, and what must be in it.
pub(super) struct History {
    chance: Chance,
    lying: bool,
    /// What is on the disk.
    found: Vec<u8>,
    known: Known,
    runtime: Option<tokio::runtime::Runtime>,
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Answer, StoreError>> + 'a>>;

impl History {
    pub(super) fn new(seed: u64, lying: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok();
        Self { chance: Chance::new(seed), lying, found: Vec::new(), known: Known::default(), runtime }
    }

    /// Fills the database until the power fails, and checks what is left; an error is a violation.
    pub(super) fn fail_once(&mut self, report: &mut Report) -> Result<(), String> {
        if self.found.is_empty() {
            self.make()?;
        }
        let operations = self.chance.between(2, LONGEST);
        let disk = Disk::new(std::mem::take(&mut self.found), operations, self.lying);
        // The power may fail while the database is being opened; then nothing is filled.
        if let Ok((store, turns)) = open(&disk) {
            self.fill(&store, turns, &disk, report)?;
        } else if !disk.is_dead() {
            return Err("the database does not open".to_owned());
        }
        self.found = disk.fail(&mut self.chance);
        if self.chance.percent(30) {
            report.second += 1;
            let disk = Disk::new(std::mem::take(&mut self.found), self.chance.between(2, 60), self.lying);
            drop(open(&disk));
            self.found = disk.fail(&mut self.chance);
        }
        self.verify(report)
    }

    /// Makes the database while the power holds: the store makes its file under another name, so that one that was
    /// made in part is never found.
    fn make(&mut self) -> Result<(), String> {
        let disk = Disk::new(Vec::new(), u64::MAX, false);
        drop(open(&disk).map_err(|error| error.to_string())?);
        self.found = disk.bytes();
        Ok(())
    }

    /// Writes in groups, each of which the writer takes in one turn, until the power fails.
    fn fill(&mut self, store: &RedbStore, mut turns: Turns, disk: &Disk, report: &mut Report) -> Result<(), String> {
        while !disk.is_dead() {
            let group = self.known.draw(&mut self.chance);
            let mut waiting: Vec<Pending<'_>> =
                group.iter().map(|write| -> Pending<'_> { Box::pin(write.send(store)) }).collect();
            let mut answers: Vec<_> = waiting.iter_mut().map(poll).collect();
            turns.take();
            for (answer, future) in answers.iter_mut().zip(&mut waiting) {
                if answer.is_none() {
                    *answer = poll(future);
                }
            }
            drop(waiting);
            let answers: Option<Vec<_>> = answers.into_iter().collect();
            let answers = answers.ok_or("a write was not answered by the end of its turn")?;
            report.acknowledged += self.known.learn(group, answers)?;
            if self.chance.percent(2) {
                // Stopped in order, and the power fails afterwards or during that.
                wait(store.close())?.ok();
                break;
            }
        }
        Ok(())
    }

    /// Opens what is left, and compares it with what must be there.
    fn verify(&mut self, report: &mut Report) -> Result<(), String> {
        let disk = Disk::new(self.found.clone(), u64::MAX, self.lying);
        let (store, mut turns) = open(&disk).map_err(|error| format!("the database does not open: {error}"))?;
        let runtime = self.runtime.as_ref().ok_or("no runtime")?;
        let findings = runtime.block_on(store.check()).map_err(|error| error.to_string())?;
        if let Some(first) = findings.first() {
            return Err(format!("{} contradictions, the first: {first}", findings.len()));
        }
        runtime.block_on(self.known.compare(&store, report))?;
        for name in HUBS {
            let scope = scope();
            let mut put = Box::pin(store.put_hub(&scope, hub(name, self.chance.between(0, 40)), Precondition::Any));
            let _ = put.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            turns.take();
            wait(put)?.map_err(|error| format!("the database takes nothing new: {error}"))?;
        }
        drop((store, turns));
        self.found = disk.fail(&mut self.chance);
        Ok(())
    }
}

/// Opens the store. A lying disk may make it panic.
fn open(disk: &Disk) -> Result<(RedbStore, Turns), StoreError> {
    let settings = StoreSettings {
        cache_bytes: 512 * 1024,
        // Where a process would end, the harness sees by itself that the power has failed.
        on_fatal: Arc::new(|_| ()),
        ..StoreSettings::default()
    };
    let opened = catch_unwind(AssertUnwindSafe(|| RedbStore::open_with_backend(disk.clone(), settings)));
    opened.unwrap_or_else(|_| Err(StoreError::Read("opening panicked".to_owned())))
}

fn poll(future: &mut Pending<'_>) -> Option<Result<Answer, StoreError>> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The outcome of what must be ready.
fn wait<T>(future: impl Future<Output = T>) -> Result<T, String> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => Err("a write was not answered by the end of its turn".to_owned()),
    }
}

/// The most operations of the disk before the power fails. Opening takes about 20, a small commit about 10.
const LONGEST: u64 = 900;
