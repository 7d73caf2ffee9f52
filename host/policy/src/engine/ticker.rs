//! The thread that signals to guests that a millisecond has passed.
//!
//! It is a thread of the operating system and not a task: the async runtime is late when the machine is loaded, and a
//! burst of late ticks would end policies that did nothing wrong. This thread sleeps one millisecond after each tick
//! and never makes up for missed ones, so a deadline can only come late.
//!
//! It parks when no call has been in progress for a while, so that an idle host uses no CPU. A call announces itself
//! with one atomic addition; only the first call after a pause pays for waking the thread.
//!
//! It holds the engine weakly, so it ends when the engine is dropped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// Advances the engine's epoch once a millisecond while any call is in progress.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    parked: AtomicBool,
    stopped: AtomicBool,
}

/// Keeps the ticker awake as long as it exists.
pub(crate) struct InFlight<'a>(&'a Shared);

impl Ticker {
    pub(super) fn start(engine: EngineWeak) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let handle = thread::Builder::new().name("policy-ticker".into()).spawn(move || tick(&engine, &theirs))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Announces a call.
    pub(crate) fn enter(&self) -> InFlight<'_> {
        self.shared.in_flight.fetch_add(1, SeqCst);
        if self.shared.parked.swap(false, SeqCst) {
            self.thread.unpark();
        }
        InFlight(&self.shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread cannot panic. If it did, nothing could be done about it here.
            let _ = handle.join();
        }
    }
}

fn tick(engine: &EngineWeak, shared: &Shared) {
    let mut idle = 0;
    while !shared.stopped.load(SeqCst) {
        let Some(engine) = engine.upgrade() else {
            return;
        };
        engine.increment_epoch();
        drop(engine);
        idle = if shared.in_flight.load(SeqCst) == 0 { idle + 1 } else { 0 };
        if idle > LINGER_TICKS {
            park(shared);
            idle = 0;
        }
        thread::sleep(TICK);
    }
}

fn park(shared: &Shared) {
    // First set `parked`, then check once more: a call that arrives in between either sees `parked` and wakes this
    // thread, or is seen here.
    shared.parked.store(true, SeqCst);
    if shared.in_flight.load(SeqCst) > 0 {
        shared.parked.store(false, SeqCst);
    }
    while shared.parked.load(SeqCst) && !shared.stopped.load(SeqCst) {
        thread::park();
    }
}

/// The length of a tick. Deadlines are counted in ticks.
const TICK: Duration = Duration::from_millis(1);
/// How many ticks without a call pass before the thread parks.
const LINGER_TICKS: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::Engine;

    #[test]
    fn the_ticker_parks_at_rest_and_wakes_for_a_call() {
        let engine = Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        while !ticker.shared.parked.load(SeqCst) {
            thread::sleep(TICK);
        }
        let in_flight = ticker.enter();
        assert!(!ticker.shared.parked.load(SeqCst));
        drop(in_flight);
        while !ticker.shared.parked.load(SeqCst) {
            thread::sleep(TICK);
        }
    }

    #[test]
    fn a_dropped_engine_ends_its_ticker() {
        let engine = Engine::default();
        let ticker = Ticker::start(engine.weak()).unwrap();
        let in_flight = ticker.enter();
        drop(engine);
        while ticker.handle.as_ref().is_some_and(|handle| !handle.is_finished()) {
            thread::sleep(TICK);
        }
        drop(in_flight);
    }
}
