//! The one thread that writes.
//!
//! Every write goes through two bounded queues to one thread, which puts all that waits into one transaction and
//! commits it once (group commit). There is no linger timer: while one commit waits for the disk, the next batch
//! gathers by itself, so that the batch grows with the load and a lone write waits for nobody.
//!
//! What is promised, and how:
//! - *Answers come after the disk.* Results are kept aside until the commit has returned.
//! - *Checks cannot race.* Each job looks and writes within the transaction, after all jobs before it.
//! - *One bad job spoils no other.* A job that fails or panics undoes the whole transaction, which then is repeated
//!   job by job, so that only the one at fault is told.
//! - *A commit that failed is never tried again.* Whether it is on disk is not known, and the kernel may have
//!   dropped the pages (fsync reports an error once): the batch is told [`StoreError::Outcome`], and the process ends.
//! - *Bulk work cannot starve devices, nor they it.* Devices go first; a bulk job waits for three commits at most.
//! - *Nothing grows without bound.* A full queue is [`StoreError::Busy`] at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;

/// What transactions are made of.
pub(crate) trait Engine: Send + 'static {
    /// What a job sees of a transaction.
    type Transaction<'a>;

    /// Runs `body` in a transaction and commits it durably, unless `body` fails or panics.
    fn transact(
        &mut self,
        body: &mut dyn FnMut(&mut Self::Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), Failure>;
}

/// How a transaction failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing of it is there, and the next one may do better.
    Undone(StoreError),
    /// Nothing of it is there, and the files take no more.
    Lost(String),
    /// It may be there or not, and the files take no more.
    Unknown(String),
}

/// A write that waits for its turn.
pub(crate) trait Job<E: Engine>: Send {
    /// About how many bytes it writes.
    fn size(&self) -> usize;
    /// Checks and writes, and keeps its result. Called once more when the transaction had to be repeated.
    fn apply(&mut self, transaction: &mut E::Transaction<'_>) -> Result<(), StoreError>;
    /// Tells whoever waits the result that was kept.
    fn answer(self: Box<Self>);
    /// Tells whoever waits that it failed.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// Which queue a job waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A device or a person waits for it.
    Device,
    /// Part of a long import.
    Bulk,
}

/// How much may wait, and how much goes into one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) device_queue: usize,
    pub(crate) bulk_queue: usize,
    pub(crate) batch_jobs: usize,
    pub(crate) batch_bytes: usize,
}

/// What ends the process when the files take no more. Called on the writer's thread, after everybody has been told.
pub type OnFatal = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// The writing end: takes turns until the queue is closed and empty, or the files take no more.
pub(crate) struct Writer<E: Engine> {
    engine: E,
    queue: Arc<Queue<E>>,
    on_fatal: OnFatal,
}

impl<E: Engine> Writer<E> {
    pub(crate) fn new(engine: E, queue: Arc<Queue<E>>, on_fatal: OnFatal) -> Self {
        Self { engine, queue, on_fatal }
    }

    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(batch) = self.queue.wait() {
            self.write(batch);
        }
    }

    /// Writes what waits now, in one turn; answers whether there was anything.
    pub(crate) fn turn(&mut self) -> bool {
        let batch = self.queue.take();
        let any = !batch.is_empty();
        if any {
            self.write(batch);
        }
        any
    }

    fn write(&mut self, batch: Vec<Box<dyn Job<E>>>) {
        let mut batch = batch;
        let done = self.engine.transact(&mut |transaction| batch.iter_mut().try_for_each(|job| job.apply(transaction)));
        match done {
            Ok(()) => batch.into_iter().for_each(|job| job.answer()),
            Err(Failure::Undone(error)) if batch.len() == 1 => {
                batch.into_iter().for_each(|job| job.refuse(error.clone()));
            }
            Err(Failure::Undone(error)) => {
                tracing::warn!(%error, jobs = batch.len(), "a transaction was undone: repeating its jobs one by one");
                for job in batch {
                    self.write(vec![job]);
                }
            }
            Err(Failure::Lost(reason)) => self.end(batch, &StoreError::Write(reason)),
            Err(Failure::Unknown(reason)) => self.end(batch, &StoreError::Outcome(reason)),
        }
    }

    fn end(&self, batch: Vec<Box<dyn Job<E>>>, error: &StoreError) {
        let waiting = self.queue.close();
        batch.into_iter().for_each(|job| job.refuse(error.clone()));
        for job in waiting {
            job.refuse(StoreError::Closed);
        }
        (self.on_fatal)(error);
    }
}

/// What waits to be written.
pub(crate) struct Queue<E: Engine> {
    bounds: Bounds,
    waiting: Mutex<Waiting<E>>,
    arrived: Condvar,
}

struct Waiting<E: Engine> {
    device: VecDeque<Box<dyn Job<E>>>,
    bulk: VecDeque<Box<dyn Job<E>>>,
    /// How many turns devices had while bulk work waited.
    passed_over: u32,
    closed: bool,
}

impl<E: Engine> Queue<E> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let waiting = Waiting { device: VecDeque::new(), bulk: VecDeque::new(), passed_over: 0, closed: false };
        Self { bounds, waiting: Mutex::new(waiting), arrived: Condvar::new() }
    }

    /// Adds a job, or says at once that there is no room.
    pub(crate) fn push(&self, lane: Lane, job: Box<dyn Job<E>>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        let (queue, room) = match lane {
            Lane::Device => (&mut waiting.device, self.bounds.device_queue),
            Lane::Bulk => (&mut waiting.bulk, self.bounds.bulk_queue),
        };
        if queue.len() >= room {
            return Err(StoreError::Busy);
        }
        queue.push_back(job);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
    }

    /// Takes nothing more in. What waits is still written.
    pub(crate) fn finish(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes nothing more in, and answers what will not be written.
    fn close(&self) -> Vec<Box<dyn Job<E>>> {
        let mut waiting = self.lock();
        waiting.closed = true;
        let mut left: Vec<_> = waiting.device.drain(..).collect();
        left.extend(waiting.bulk.drain(..));
        left
    }

    /// The next batch; waits until there is one. Nothing once the queue is closed and empty.
    fn wait(&self) -> Option<Vec<Box<dyn Job<E>>>> {
        let mut waiting = self.lock();
        loop {
            let batch = waiting.next(&self.bounds);
            if !batch.is_empty() {
                return Some(batch);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch, empty when nothing waits.
    fn take(&self) -> Vec<Box<dyn Job<E>>> {
        self.lock().next(&self.bounds)
    }

    // Nothing that can panic runs under the lock, so that a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> Waiting<E> {
    fn next(&mut self, bounds: &Bounds) -> Vec<Box<dyn Job<E>>> {
        let bulk_is_due = self.device.is_empty() || self.passed_over >= TURNS_BEFORE_BULK;
        if !self.bulk.is_empty() && bulk_is_due {
            self.passed_over = 0;
            // Nobody is kept waiting when only bulk work is there, so that several batches share one flush.
            let bytes = if self.device.is_empty() { QUIET_BULK_BYTES } else { 0 };
            return gather(&mut self.bulk, bounds.batch_jobs, bytes);
        }
        if !self.bulk.is_empty() {
            self.passed_over += 1;
        }
        gather(&mut self.device, bounds.batch_jobs, bounds.batch_bytes)
    }
}

/// The first jobs that together stay within the bounds; always at least one.
fn gather<E: Engine>(queue: &mut VecDeque<Box<dyn Job<E>>>, jobs: usize, bytes: usize) -> Vec<Box<dyn Job<E>>> {
    let mut batch = Vec::new();
    let mut size = 0_usize;
    while let Some(job) = queue.front() {
        size = size.saturating_add(job.size());
        if !batch.is_empty() && (batch.len() >= jobs || size > bytes) {
            break;
        }
        batch.extend(queue.pop_front());
    }
    batch
}

/// A bulk job waits for so many commits of devices at most.
const TURNS_BEFORE_BULK: u32 = 3;
/// How much bulk work goes into one transaction while no device waits: large enough to make the flush cheap, small
/// enough to keep a device that arrives meanwhile waiting for some tens of milliseconds only.
const QUIET_BULK_BYTES: usize = 2 * 1024 * 1024;
