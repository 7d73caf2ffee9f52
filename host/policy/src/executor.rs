//! The threads that run policies.
//!
//! A policy is CPU-bound and written by somebody else, so it never runs on a thread that serves connections. As many
//! workers as there are cores take calls from a bounded queue, whose turns are shared fairly (`line`). The limit
//! applies to the number of calls that wait or run. A call counts until it has *ended*, not until its caller has gone:
//! so a client that disconnects and tries again cannot pile up work that nobody waits for. If there is no room left,
//! the result is [`HostFailure::QueueFull`] at once, and the caller tells its client when to come back.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use landfall_domain::clock::{Clock, Stopwatch};
use tokio::sync::oneshot;

pub(super) use self::line::Kind;
use self::line::{Begun, Joined, Line};
pub use self::line::{Payer, Payers};
use super::failure::HostFailure;
use super::run::cpu_time;

mod line;

/// A fixed number of worker threads behind a bounded queue.
pub(super) struct Executor {
    shared: Arc<Shared>,
    limit: usize,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    kind: Kind,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    line: Line<Job>,
    /// How many workers sleep until they are notified. Notifying costs a system call, so it is done only for these.
    asleep: usize,
    closed: bool,
}

struct Job {
    submitted: Stopwatch,
    run: Run,
}

/// The work of a visit. It gets its visit, or the reason why it cannot run.
type Run = Box<dyn FnOnce(Result<&Visit, HostFailure>) + Send>;

/// A visit that has ended, with its cost: in total, and for each payer.
struct Ended {
    begun: Begun,
    all: Duration,
    costs: Vec<(Payer, Duration)>,
}

/// One visit to a worker: the calls of one decision that run there without a break.
#[derive(Debug)]
pub struct Visit {
    /// How long the visit waited for a worker.
    pub waited: Duration,
    kind: Kind,
    began: Stopwatch,
    costs: RefCell<Vec<(Payer, Duration)>>,
}

impl Visit {
    fn begin(kind: Kind, waited: Duration, clock: &Arc<dyn Clock>) -> Self {
        Self { waited, kind, began: Stopwatch::start(clock), costs: RefCell::default() }
    }

    /// Makes a call that is charged to a plugin.
    pub fn paid_by<T>(&self, payer: Payer, call: impl FnOnce() -> T) -> T {
        let before = self.spent();
        let answer = call();
        self.costs.borrow_mut().push((payer, self.spent().saturating_sub(before)));
        answer
    }

    /// The cost of this thread so far, from some starting point.
    fn spent(&self) -> Duration {
        match self.kind {
            Kind::Decides => cpu_time(),
            Kind::Waits => self.began.elapsed(),
        }
    }
}

impl Executor {
    /// Starts `workers` threads. In addition to the calls that run, `queue` calls may wait.
    pub(super) fn start(kind: Kind, workers: usize, queue: usize, clock: &Arc<dyn Clock>) -> std::io::Result<Self> {
        let limit = workers.saturating_add(queue);
        let state = State { line: Line::new(kind, workers, limit), asleep: 0, closed: false };
        let clock = Arc::clone(clock);
        let shared = Arc::new(Shared { kind, clock, state: Mutex::new(state), wake: Condvar::new() });
        let mut executor = Self { shared, limit, workers: Vec::with_capacity(workers) };
        for number in 0..workers {
            let shared = Arc::clone(&executor.shared);
            let thread = thread::Builder::new().name(format!("policy-{number}")).stack_size(WORKER_STACK_BYTES);
            executor.workers.push(thread.spawn(move || shared.work())?);
        }
        Ok(executor)
    }

    /// Runs `calls` on a worker and charges them to `payers`. They run to their end even if the returned future is
    /// dropped.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        payers: Payers,
        calls: impl FnOnce(&Visit) -> R + Send + 'static,
    ) -> Result<R, HostFailure> {
        let (reply, answer) = oneshot::channel();
        let run = Box::new(move |visit: Result<&Visit, HostFailure>| {
            // If the caller has gone, nobody wants the answer; the work is done in either case.
            let _ = reply.send(visit.map(calls));
        });
        let full = || HostFailure::QueueFull { limit: self.limit };
        match self.shared.push(payers, Job { submitted: Stopwatch::start(&self.shared.clock), run })? {
            Joined::Waits => {}
            Joined::InPlaceOf(other) => (other.run)(Err(full())),
            Joined::Full(_) => return Err(full()),
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) if self.shared.lock().closed => Err(HostFailure::ShuttingDown),
            Err(_) => Err(HostFailure::Crashed),
        }
    }

    /// The number of calls that wait or run now.
    pub(super) fn in_flight(&self) -> usize {
        self.shared.lock().line.in_flight()
    }

    /// Accepts no more calls and drops those that wait. Calls that run end by themselves.
    pub(super) fn close(&self) {
        let waiting = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.line.clear()
        };
        self.shared.wake.notify_all();
        drop(waiting);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.close();
        for worker in self.workers.drain(..) {
            // The wait is limited by the deadlines of the calls that run. A worker cannot panic outside a call.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn push(&self, payers: Payers, job: Job) -> Result<Joined<Job>, HostFailure> {
        let mut state = self.lock();
        if state.closed {
            return Err(HostFailure::ShuttingDown);
        }
        let joined = state.line.join(payers, job);
        let asleep = state.asleep > 0;
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
        Ok(joined)
    }

    fn work(&self) {
        if self.kind == Kind::Waits {
            give_way();
        }
        let mut ended = None;
        while let Some((Job { submitted, run }, begun)) = self.next(ended.take()) {
            let visit = Visit::begin(self.kind, submitted.elapsed(), &self.clock);
            let before = visit.spent();
            // A panic here is a bug in the host. The caller notices it by the dropped reply, and the worker goes on.
            if catch_unwind(AssertUnwindSafe(|| run(Ok(&visit)))).is_err() {
                tracing::error!("a policy worker panicked; this is a bug in Landfall, please report it");
            }
            let all = visit.spent().saturating_sub(before);
            ended = Some(Ended { begun, all, costs: visit.costs.into_inner() });
        }
    }

    /// Settles the visit that has ended, and waits for the next one.
    fn next(&self, ended: Option<Ended>) -> Option<(Job, Begun)> {
        let mut state = self.lock();
        if let Some(Ended { begun, all, costs }) = ended {
            state.line.end(&begun, all, &costs);
        }
        loop {
            if state.closed {
                return None;
            }
            if let Some(begun) = state.line.begin(self.clock.instant()) {
                // Not only a newly queued visit can allow another to begin: the end of one may allow several. So one
                // more worker is woken.
                let more = state.asleep > 0 && state.line.waiting() > 0;
                drop(state);
                if more {
                    self.wake.notify_one();
                }
                return Some(begun);
            }
            state.asleep += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.asleep -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The queue is consistent at every point where a panic could occur.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lowers the priority of threads that mostly wait. There are many of them. Otherwise policies that may ask services
/// but burn CPU time instead would take the cores from all others.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, BEHIND) {
        tracing::debug!(%error, "the threads of policies that wait for services run like all others");
    }
}

/// The priority, of the kernel's 20 steps: such a thread gets about a tenth of a core when others want the cores.
const BEHIND: i32 = 10;
/// A guest's stack is on its worker's stack. The rest is for the host's functions on top of it.
const WORKER_STACK_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use landfall_domain::clock::SystemClock;

    use super::*;

    fn payers() -> Payers {
        Payers::new("s".parse().unwrap(), [Payer(1)])
    }

    fn executor(workers: usize, queue: usize) -> Executor {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Executor::start(Kind::Decides, workers, queue, &clock).unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
    }

    #[test]
    fn a_full_queue_is_an_error_of_its_own_and_room_comes_back() {
        let executor = Arc::new(executor(1, 1));
        runtime().block_on(async {
            let (release, wait) = mpsc::channel::<()>();
            let wait = Mutex::new(wait);
            let running = tokio::spawn({
                let executor = Arc::clone(&executor);
                async move { executor.run(payers(), move |_| wait.lock().unwrap().recv()).await }
            });
            let waiting = tokio::spawn({
                let executor = Arc::clone(&executor);
                async move { executor.run(payers(), |_| 2).await }
            });
            while executor.in_flight() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(payers(), |_| 3).await, Err(HostFailure::QueueFull { limit: 2 }));
            release.send(()).unwrap();
            assert!(running.await.unwrap().unwrap().is_ok());
            assert_eq!(waiting.await.unwrap(), Ok(2));
            while executor.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(payers(), |_| 4).await, Ok(4));
        });
    }

    #[test]
    fn a_caller_that_goes_away_keeps_its_place_until_its_call_ends() {
        let executor = executor(1, 0);
        let (release, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        runtime().block_on(async {
            let gone =
                tokio::time::timeout(Duration::ZERO, executor.run(payers(), move |_| wait.lock().unwrap().recv()));
            assert!(gone.await.is_err());
            assert_eq!(executor.run(payers(), |_| ()).await, Err(HostFailure::QueueFull { limit: 1 }));
            release.send(()).unwrap();
            while executor.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(executor.run(payers(), |_| ()).await, Ok(()));
        });
    }

    #[test]
    fn a_worker_outlives_a_panic() {
        let executor = executor(1, 1);
        runtime().block_on(async {
            assert_eq!(executor.run(payers(), |_| -> u8 { panic!("on purpose") }).await, Err(HostFailure::Crashed));
            assert_eq!(executor.run(payers(), |_| 1).await, Ok(1));
        });
    }

    #[test]
    fn a_closed_executor_says_so() {
        let executor = executor(1, 1);
        executor.close();
        assert_eq!(runtime().block_on(executor.run(payers(), |_| ())), Err(HostFailure::ShuttingDown));
    }
}
