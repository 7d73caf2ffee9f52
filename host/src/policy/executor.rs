//! The threads that run policies.
//!
//! A policy is CPU-bound and written by someone else, so it never runs on a thread that serves connections: as many
//! workers as cores take calls from a bounded queue. What bounds the whole is the permit: a call takes one when it is
//! submitted and gives it back when it has *ended*, not when its caller has gone. A client that disconnects and tries
//! again therefore cannot pile up work that nobody waits for. With no permit left the answer is [`HostFailure::QueueFull`]
//! at once, and the caller tells its client when to come back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::failure::HostFailure;
use crate::clock;

/// A fixed number of worker threads behind a bounded queue.
pub(super) struct Executor {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    limit: usize,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Workers that wait to be told of a job. Telling costs a system call, so only then.
    asleep: usize,
    closed: bool,
}

struct Job {
    run: Box<dyn FnOnce() + Send>,
    _permit: OwnedSemaphorePermit,
}

impl Executor {
    /// Starts `workers` threads; `queue` calls may wait beyond those that run.
    pub(super) fn start(workers: usize, queue: usize) -> std::io::Result<Self> {
        let limit = workers.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        let mut executor = Self {
            shared: Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new() }),
            permits: Arc::new(Semaphore::new(limit)),
            limit,
            workers: Vec::with_capacity(workers),
        };
        for number in 0..workers {
            let shared = Arc::clone(&executor.shared);
            let thread = thread::Builder::new().name(format!("policy-{number}")).stack_size(WORKER_STACK_BYTES);
            executor.workers.push(thread.spawn(move || shared.work())?);
        }
        Ok(executor)
    }

    /// Runs `call` on a worker. It is given the time that it waited. It runs to its end even when the returned future
    /// is dropped.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        call: impl FnOnce(Duration) -> R + Send + 'static,
    ) -> Result<R, HostFailure> {
        let permit = Arc::clone(&self.permits);
        let permit = permit.try_acquire_owned().map_err(|_| HostFailure::QueueFull { limit: self.limit })?;
        let (reply, answer) = oneshot::channel();
        let submitted = clock::instant();
        let run = Box::new(move || {
            // A caller that has gone does not want the answer; the work is done either way.
            let _ = reply.send(call(submitted.elapsed()));
        });
        self.shared.push(Job { run, _permit: permit })?;
        match answer.await {
            Ok(answer) => Ok(answer),
            Err(_) if self.shared.lock().closed => Err(HostFailure::ShuttingDown),
            Err(_) => Err(HostFailure::Crashed),
        }
    }

    /// Calls that wait or run now.
    pub(super) fn in_flight(&self) -> usize {
        self.limit - self.permits.available_permits().min(self.limit)
    }

    /// Takes no more calls and drops those that wait; those that run end by themselves.
    pub(super) fn close(&self) {
        let waiting = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.wake.notify_all();
        drop(waiting);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.close();
        for worker in self.workers.drain(..) {
            // Bounded by the deadline of the calls that run; a worker cannot panic outside a call.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn push(&self, job: Job) -> Result<(), HostFailure> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(HostFailure::ShuttingDown);
        }
        queue.jobs.push_back(job);
        let asleep = queue.asleep > 0;
        drop(queue);
        if asleep {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn work(&self) {
        while let Some(Job { run, _permit }) = self.next() {
            // A panic here is a bug of the host; its caller is told by the dropped reply, and the worker goes on.
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                tracing::error!("a policy worker panicked; this is a bug in Landfall, please report it");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue.asleep += 1;
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.asleep -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is a list and a flag, whole at every moment; a panic elsewhere cannot have left it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest's stack lies on its worker's; the rest is for the host's functions on top of it.
const WORKER_STACK_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
    }

    #[test]
    fn a_full_queue_is_an_error_of_its_own_and_room_comes_back() {
        let executor = Arc::new(Executor::start(1, 1).unwrap());
        runtime().block_on(async {
            let (release, wait) = mpsc::channel::<()>();
            let wait = Mutex::new(wait);
            let running = tokio::spawn({
                let executor = Arc::clone(&executor);
                async move { executor.run(move |_| wait.lock().unwrap().recv()).await }
            });
            let waiting = tokio::spawn({
                let executor = Arc::clone(&executor);
                async move { executor.run(|_| 2).await }
            });
            while executor.in_flight() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(|_| 3).await, Err(HostFailure::QueueFull { limit: 2 }));
            release.send(()).unwrap();
            assert!(running.await.unwrap().unwrap().is_ok());
            assert_eq!(waiting.await.unwrap(), Ok(2));
            while executor.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(|_| 4).await, Ok(4));
        });
    }

    #[test]
    fn a_caller_that_goes_away_keeps_its_place_until_its_call_ends() {
        let executor = Executor::start(1, 0).unwrap();
        let (release, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        runtime().block_on(async {
            let gone = tokio::time::timeout(Duration::ZERO, executor.run(move |_| wait.lock().unwrap().recv()));
            assert!(gone.await.is_err());
            assert_eq!(executor.run(|_| ()).await, Err(HostFailure::QueueFull { limit: 1 }));
            release.send(()).unwrap();
            while executor.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(|_| ()).await, Ok(()));
        });
    }

    #[test]
    fn a_worker_outlives_a_panic() {
        let executor = Executor::start(1, 1).unwrap();
        runtime().block_on(async {
            assert_eq!(executor.run(|_| -> u8 { panic!("on purpose") }).await, Err(HostFailure::Crashed));
            assert_eq!(executor.run(|_| 1).await, Ok(1));
        });
    }

    #[test]
    fn a_closed_executor_says_so() {
        let executor = Executor::start(1, 1).unwrap();
        executor.close();
        assert_eq!(runtime().block_on(executor.run(|_| ())), Err(HostFailure::ShuttingDown));
    }
}
