//! The one thread that writes.
//!
//! Every write goes through two bounded queues to one thread, which puts all that waits into one transaction and
//! commits it once (group commit). While one commit waits for the disk, the next batch gathers by itself, so that the
//! batch grows with the load. On a fast disk that is not enough: batches stay small, and each costs two flushes and the
//! pages from the root down. So after a batch that had company the next begins `TURN` after it at the earliest; a
//! lone write waits for nobody.
//!
//! What is promised, and how:
//! - *Answers come after the disk.* Results are kept aside until the commit has returned.
//! - *Checks cannot race.* Each job looks and writes within the transaction, after all jobs before it.
//! - *One bad job spoils no other.* A job that fails or panics undoes the whole transaction, which then is repeated
//!   without it, and only this one is told.
//! - *A commit that failed is never tried again.* Whether it is on disk is not known, and the kernel may have
//!   dropped the pages (fsync reports an error once): the batch is told [`StoreError::Outcome`], and the process ends.
//! - *Devices cannot shut operators out.* What people write has a queue of its own: in a storm, a device that an
//!   operator quarantines is quarantined.
//! - *Bulk work cannot starve devices, nor they it.* Devices go first; a bulk job waits for three commits at most.
//! - *Nothing grows without bound.* A full queue is [`StoreError::Busy`] at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;

use crate::StoreError;

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
pub enum Lane {
    /// A device waits for it.
    Device,
    /// An operator waits for it. It goes with the devices' writes and before them, and finds room when they have none.
    Operator,
    /// Part of a long import.
    Bulk,
}

/// How much may wait, and how much goes into one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) device_queue: usize,
    pub(crate) operator_queue: usize,
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
        let mut not_before = None;
        while let Some(batch) = self.queue.wait(not_before) {
            let crowded = batch.len() >= COMPANY;
            not_before = crowded.then(|| self.queue.clock.instant() + TURN);
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

    /// Writes a batch. Each time that a job fails it is told, and the others are tried again without it; when that has
    /// happened often in one batch, each of them has a transaction of its own.
    fn write(&mut self, batch: Vec<Box<dyn Job<E>>>) {
        let mut batch = batch;
        for _ in 0..FAULTS_IN_A_BATCH {
            if batch.is_empty() {
                return;
            }
            let mut at_work = None;
            let done = self.engine.transact(&mut |transaction| {
                for (at, job) in batch.iter_mut().enumerate() {
                    at_work = Some(at);
                    job.apply(transaction)?;
                }
                at_work = None;
                Ok(())
            });
            match (done, at_work.filter(|at| *at < batch.len())) {
                (Ok(()), _) => return batch.into_iter().for_each(|job| job.answer()),
                (Err(Failure::Undone(error)), Some(at)) => {
                    if batch.len() > 1 {
                        tracing::warn!(%error, jobs = batch.len(), "a transaction was undone: repeating it without the job at fault");
                    }
                    batch.remove(at).refuse(error);
                }
                // No job is at fault: each tries alone, and is told what comes of it.
                (Err(Failure::Undone(error)), None) if batch.len() == 1 => {
                    return batch.into_iter().for_each(|job| job.refuse(error.clone()));
                }
                (Err(Failure::Undone(_)), None) => break,
                (Err(Failure::Lost(reason)), _) => return self.end(batch, &StoreError::Write(reason)),
                (Err(Failure::Unknown(reason)), _) => return self.end(batch, &StoreError::Outcome(reason)),
            }
        }
        for job in batch {
            self.write(vec![job]);
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
    clock: Arc<dyn Clock>,
}

struct Waiting<E: Engine> {
    operator: VecDeque<Box<dyn Job<E>>>,
    device: VecDeque<Box<dyn Job<E>>>,
    bulk: VecDeque<Box<dyn Job<E>>>,
    /// How many turns devices had while bulk work waited.
    passed_over: u32,
    /// The writer waits to be told that something has arrived. Telling costs a system call, so only then.
    asleep: bool,
    closed: bool,
}

impl<E: Engine> Queue<E> {
    pub(crate) fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Self {
        let waiting = Waiting {
            operator: VecDeque::new(),
            device: VecDeque::new(),
            bulk: VecDeque::new(),
            passed_over: 0,
            asleep: false,
            closed: false,
        };
        Self { bounds, waiting: Mutex::new(waiting), arrived: Condvar::new(), clock }
    }

    /// Adds a job, or says at once that there is no room.
    pub(crate) fn push(&self, lane: Lane, job: Box<dyn Job<E>>) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        let (queue, room) = match lane {
            Lane::Device => (&mut waiting.device, self.bounds.device_queue),
            Lane::Operator => (&mut waiting.operator, self.bounds.operator_queue),
            Lane::Bulk => (&mut waiting.bulk, self.bounds.bulk_queue),
        };
        if queue.len() >= room {
            return Err(StoreError::Busy);
        }
        queue.push_back(job);
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.arrived.notify_one();
        }
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
        let mut left: Vec<_> = waiting.operator.drain(..).collect();
        left.extend(waiting.device.drain(..));
        left.extend(waiting.bulk.drain(..));
        left
    }

    /// The next batch; waits until there is one, and, while more devices may still join it, until it is time. Nothing
    /// once the queue is closed and empty.
    fn wait(&self, mut not_before: Option<Instant>) -> Option<Vec<Box<dyn Job<E>>>> {
        let mut waiting = self.lock();
        loop {
            let now = self.clock.instant();
            let early = not_before.map(|time| time.saturating_duration_since(now)).unwrap_or_default();
            if !early.is_zero() && waiting.may_grow(&self.bounds) {
                drop(waiting);
                std::thread::sleep(early);
                // Waited for once: the clock may stand.
                not_before = None;
                waiting = self.lock();
                continue;
            }
            let batch = waiting.next(&self.bounds);
            if !batch.is_empty() {
                return Some(batch);
            }
            if waiting.closed {
                return None;
            }
            waiting.asleep = true;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.asleep = false;
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
    /// Whether devices wait, and more of them could be written with them.
    fn may_grow(&self, bounds: &Bounds) -> bool {
        let people_and_devices = self.operator.len() + self.device.len();
        !self.closed && people_and_devices > 0 && people_and_devices < bounds.batch_jobs
    }

    fn next(&mut self, bounds: &Bounds) -> Vec<Box<dyn Job<E>>> {
        let quiet = self.operator.is_empty() && self.device.is_empty();
        let bulk_is_due = quiet || self.passed_over >= TURNS_BEFORE_BULK;
        if !self.bulk.is_empty() && bulk_is_due {
            self.passed_over = 0;
            // Nobody is kept waiting when only bulk work is there, so that several batches share one flush.
            let bytes = if quiet { QUIET_BULK_BYTES } else { 0 };
            return gather([&mut self.bulk], bounds.batch_jobs, bytes);
        }
        if !self.bulk.is_empty() {
            self.passed_over += 1;
        }
        gather([&mut self.operator, &mut self.device], bounds.batch_jobs, bounds.batch_bytes)
    }
}

/// The first jobs that together stay within the bounds; always at least one.
fn gather<E: Engine, const N: usize>(
    queues: [&mut VecDeque<Box<dyn Job<E>>>; N],
    jobs: usize,
    bytes: usize,
) -> Vec<Box<dyn Job<E>>> {
    let mut batch = Vec::new();
    let mut size = 0_usize;
    for queue in queues {
        while let Some(job) = queue.front() {
            size = size.saturating_add(job.size());
            if !batch.is_empty() && (batch.len() >= jobs || size > bytes) {
                return batch;
            }
            batch.extend(queue.pop_front());
        }
    }
    batch
}

/// While devices come in numbers, a commit begins so long after the last one began at the earliest: long enough to put
/// a dozen devices on two flushes, short against what a device takes for its handshake over any real network.
const TURN: Duration = Duration::from_millis(5);
/// So many jobs of one batch fail before each of those that are left is written alone.
const FAULTS_IN_A_BATCH: usize = 8;
/// How many in one batch are a crowd.
const COMPANY: usize = 4;
/// A bulk job waits for so many commits of devices at most.
const TURNS_BEFORE_BULK: u32 = 3;
/// How much bulk work goes into one transaction while no device waits: large enough to make the flush cheap, small
/// enough to keep a device that arrives meanwhile waiting for some tens of milliseconds only.
const QUIET_BULK_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests;
