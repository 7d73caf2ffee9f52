//! The single writer thread.
//!
//! Every write passes through one of several bounded queues to one thread, which puts all waiting writes into one
//! transaction and commits it once (group commit). While a commit waits for the disk, the next batch collects, so that
//! batches grow with the load. On a fast disk that is not enough: batches stay small, and each costs two flushes and
//! rewrites the pages from the root down. So after a batch of several writes, the next one begins `TURN` after
//! it at the earliest. A lone write is not delayed.
//!
//! The guarantees, and how they are kept:
//! - *Answers follow the disk.* Results are held back until the commit has returned.
//! - *Checks do not race.* Each job reads and writes within the transaction, after all jobs before it.
//! - *One failing job does not affect others.* A job that fails or panics rolls back the whole transaction. The
//!   transaction is then repeated without that job, and only its caller gets the error.
//! - *A failed commit is never retried.* It is unknown whether it is on disk, and the kernel may have dropped the
//!   pages (fsync reports an error only once). The batch gets [`StoreError::Outcome`], and the process ends.
//! - *Devices cannot block operators.* Writes of operators have their own queue: an operator can quarantine a device
//!   even during a storm of registrations.
//! - *Bulk work and devices cannot starve each other.* Devices go first; a bulk job waits for three commits at most.
//! - *Queues are bounded.* A full queue returns [`StoreError::Busy`] at once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use landfall_domain::clock::Clock;

use crate::StoreError;

/// The engine that runs transactions.
pub(crate) trait Engine: Send + 'static {
    /// The transaction as a job sees it.
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
    /// Nothing was written, and the next transaction may succeed.
    Undone(StoreError),
    /// Nothing was written, and the file accepts no more writes.
    Lost(String),
    /// It is unknown whether it was written, and the file accepts no more writes.
    Unknown(String),
}

/// A queued write.
pub(crate) trait Job<E: Engine>: Send {
    /// The approximate number of bytes that it writes.
    fn size(&self) -> usize;
    /// Checks and writes, and keeps its result. Called again when the transaction has to be repeated.
    fn apply(&mut self, transaction: &mut E::Transaction<'_>) -> Result<(), StoreError>;
    /// Sends the kept result to the caller.
    fn answer(self: Box<Self>);
    /// Sends an error to the caller.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// The queue in which a job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A device waits for it.
    Device,
    /// An operator waits for it. It is written before and together with devices' writes, and has its own room in the
    /// queue.
    Operator,
    /// Part of a long import.
    Bulk,
}

/// Bounds of the queues and of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) device_queue: usize,
    pub(crate) operator_queue: usize,
    pub(crate) bulk_queue: usize,
    pub(crate) batch_jobs: usize,
    pub(crate) batch_bytes: usize,
}

/// Called when the file accepts no more writes, to end the process. It runs on the writer thread, after all callers
/// were answered.
pub type OnFatal = Arc<dyn Fn(&StoreError) + Send + Sync>;

/// The consuming end of the queue: writes until the queue is closed and empty, or the file accepts no more writes.
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

    /// Writes the waiting jobs as one batch; returns whether there were any.
    pub(crate) fn turn(&mut self) -> bool {
        let batch = self.queue.take();
        let any = !batch.is_empty();
        if any {
            self.write(batch);
        }
        any
    }

    /// Writes a batch. A job that fails is answered, and the others are repeated without it. After several failures in
    /// one batch, each remaining job gets its own transaction.
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
                // The failure has no single job to blame: each job is tried alone, and gets its own result.
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

/// The queue of waiting writes.
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
    /// How many batches of devices were written while bulk work waited.
    passed_over: u32,
    /// The writer sleeps until it is notified. A notification costs a system call, so it is sent only if this is set.
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

    /// Adds a job, or returns an error at once if the queue is full.
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

    /// Accepts no more jobs. Waiting jobs are still written.
    pub(crate) fn finish(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Accepts no more jobs, and returns the waiting ones, which will not be written.
    fn close(&self) -> Vec<Box<dyn Job<E>>> {
        let mut waiting = self.lock();
        waiting.closed = true;
        let mut left: Vec<_> = waiting.operator.drain(..).collect();
        left.extend(waiting.device.drain(..));
        left.extend(waiting.bulk.drain(..));
        left
    }

    /// The next batch. Waits until there is one, and until `not_before` while more device writes may still join.
    /// `None` once the queue is closed and empty.
    fn wait(&self, mut not_before: Option<Instant>) -> Option<Vec<Box<dyn Job<E>>>> {
        let mut waiting = self.lock();
        loop {
            let now = self.clock.instant();
            let early = not_before.map(|time| time.saturating_duration_since(now)).unwrap_or_default();
            if !early.is_zero() && waiting.may_grow(&self.bounds) {
                drop(waiting);
                std::thread::sleep(early);
                // Waited for once only, because the clock may stand still.
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

    /// Takes the next batch; empty when nothing waits.
    fn take(&self) -> Vec<Box<dyn Job<E>>> {
        self.lock().next(&self.bounds)
    }

    // No code that can panic runs under the lock, so a poisoned lock is still consistent.
    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Engine> Waiting<E> {
    /// Whether devices wait, and the batch has room for more of them.
    fn may_grow(&self, bounds: &Bounds) -> bool {
        let people_and_devices = self.operator.len() + self.device.len();
        !self.closed && people_and_devices > 0 && people_and_devices < bounds.batch_jobs
    }

    fn next(&mut self, bounds: &Bounds) -> Vec<Box<dyn Job<E>>> {
        let quiet = self.operator.is_empty() && self.device.is_empty();
        let bulk_is_due = quiet || self.passed_over >= TURNS_BEFORE_BULK;
        if !self.bulk.is_empty() && bulk_is_due {
            self.passed_over = 0;
            // Only bulk work waits, so nobody is delayed: several batches share one flush.
            let bytes = if quiet { QUIET_BULK_BYTES } else { 0 };
            return gather([&mut self.bulk], bounds.batch_jobs, bytes);
        }
        if !self.bulk.is_empty() {
            self.passed_over += 1;
        }
        gather([&mut self.operator, &mut self.device], bounds.batch_jobs, bounds.batch_bytes)
    }
}

/// The first jobs that fit within the bounds together; always at least one.
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

/// The minimum time between the starts of two commits while many devices register: long enough to put a dozen devices
/// into one commit (two flushes), short compared with a handshake over a real network.
const TURN: Duration = Duration::from_millis(5);
/// After this many failed jobs in one batch, each remaining job is written alone.
const FAULTS_IN_A_BATCH: usize = 8;
/// A batch of at least this many jobs delays the next batch.
const COMPANY: usize = 4;
/// A bulk job waits for at most this many commits of devices.
const TURNS_BEFORE_BULK: u32 = 3;
/// How many bytes of bulk work go into one transaction while no device waits: enough to make the flush cheap, few
/// enough to delay a device that arrives meanwhile by some tens of milliseconds only.
const QUIET_BULK_BYTES: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests;
