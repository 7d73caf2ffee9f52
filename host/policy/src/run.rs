//! Runs one call in a fresh instance, under its budget, and reports on it in every case.

use std::sync::Arc;
use std::time::Duration;

use landfall_domain::clock::Stopwatch;
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use super::budget::Budget;
use super::call::{CallReport, Fault, Usage};
use super::engine::PolicyEngine;
use super::failure::{self, CallFailure};
use super::host_view::{Catalogue, Transcript};
use super::link::{CallState, Linked};
use super::log::{Log, PanicNote};
use super::profile::Sampler;

/// The environment of a call.
pub(super) struct Surroundings<'a> {
    pub(super) engine: &'a PolicyEngine,
    pub(super) budget: &'a Budget,
    /// Whether the call may wait for a service.
    pub(super) waits: bool,
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) now: u64,
    pub(super) seed: u64,
    pub(super) catalogue: Arc<dyn Catalogue>,
}

/// Creates an instance, runs `body` on it, and drops it.
///
/// The deadline is CPU time of the worker, not wall-clock time: on a loaded machine a thread may wait 25 ms for a core
/// without doing anything wrong. Epochs measure only wall-clock time. So when they signal the deadline, the worker's
/// CPU time is read, and the rest of it is granted as further ticks, up to a hard limit of [`WALL_FACTOR`] times the
/// deadline. Threads of calls that may wait for a service have a lower priority than all others, so their limit is
/// wider.
pub(super) fn run<R>(
    linked: &dyn Linked,
    surroundings: Surroundings<'_>,
    body: impl FnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<Result<R, Fault>>,
) -> CallReport<R> {
    run_watched(linked, surroundings, None, body)
}

/// Like [`run`], with samples of the guest's stack. There is no deadline then.
pub(super) fn run_sampled<R>(
    linked: &dyn Linked,
    surroundings: Surroundings<'_>,
    sampler: &Sampler,
    body: impl FnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<Result<R, Fault>>,
) -> CallReport<R> {
    run_watched(linked, surroundings, Some(sampler), body)
}

fn run_watched<R>(
    linked: &dyn Linked,
    surroundings: Surroundings<'_>,
    sampler: Option<&Sampler>,
    body: impl FnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<Result<R, Fault>>,
) -> CallReport<R> {
    let Surroundings { engine, budget, waits, now, seed, catalogue } = surroundings;
    let _in_flight = engine.ticker.enter();
    let stopwatch = Stopwatch::start(engine.clock());
    let mut store = store(engine, budget, waits, CallState::new(budget, now, seed, catalogue));
    if let Some(sampler) = sampler {
        sampler.watch(&mut store);
    }
    let mut instantiated = Duration::ZERO;
    let result = linked.instantiate(&mut store).and_then(|instance| {
        instantiated = stopwatch.elapsed();
        body(&mut store, &instance)
    });
    let ended = stopwatch.elapsed();

    let Spent { mut usage, log, transcript, panic } = Spent::of(store, budget);
    let result = match result {
        Err(error) => Err(failure::of_error(&error, panic, budget)),
        // Calls into the host are charged at the end: their number limits what they may cost.
        Ok(_) if usage.fuel > budget.fuel => {
            Err(CallFailure::Broke(failure::Breakage::OutOfFuel { fuel: budget.fuel }))
        }
        Ok(Err(fault)) => Err(CallFailure::Fault(clipped(fault))),
        Ok(Ok(answer)) => Ok(answer),
    };
    let microseconds = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    usage.instantiate_us = microseconds(instantiated);
    usage.guest_us = microseconds(ended.saturating_sub(instantiated));
    CallReport { result, usage, transcript, log }
}

/// What a store has used, and what the guest logged.
pub(super) struct Spent {
    /// The usage, without times.
    pub(super) usage: Usage,
    pub(super) log: Log,
    pub(super) transcript: Transcript,
    pub(super) panic: Option<PanicNote>,
}

impl Spent {
    pub(super) fn of(store: Store<CallState>, budget: &Budget) -> Self {
        // Every store knows its remaining fuel, because fuel metering is on for the whole engine.
        let fuel = budget.fuel - store.get_fuel().unwrap_or_default().min(budget.fuel) + store.data().host_fuel();
        let peak_memory_bytes = store.data().meter.peak_memory_bytes();
        let (recorder, transcript) = store.into_data().into_parts();
        let (log, panic) = recorder.finish();
        Self { usage: Usage { fuel, peak_memory_bytes, ..Usage::default() }, log, transcript, panic }
    }
}

/// A store that enforces its budget.
pub(super) fn store(engine: &PolicyEngine, budget: &Budget, waits: bool, state: CallState) -> Store<CallState> {
    let mut store = Store::new(engine.wasm(), state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(budget.host_call_bytes);
    hold_to_deadline(&mut store, Deadline::new(budget.deadline_ms, waits));
    // Fuel metering is on for the whole engine, so this cannot fail. Without fuel, the guest would trap at once.
    let _ = store.set_fuel(budget.fuel);
    store
}

/// How long a call may go on.
struct Deadline {
    cpu: Duration,
    /// Further ticks after the deadline itself.
    ticks_left: u64,
}

impl Deadline {
    fn new(millis: u32, waits: bool) -> Self {
        let factor = if waits { WALL_FACTOR_BEHIND } else { WALL_FACTOR };
        Self { cpu: Duration::from_millis(millis.into()), ticks_left: u64::from(millis) * (factor - 1) }
    }

    /// The ticks to grant to a call that has spent this much CPU time. `None` if the call must end.
    fn grant(&mut self, spent: Duration) -> Option<u64> {
        let left = self.cpu.saturating_sub(spent);
        if left.is_zero() || self.ticks_left == 0 {
            return None;
        }
        let grant = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1).min(self.ticks_left);
        self.ticks_left -= grant;
        Some(grant)
    }
}

fn hold_to_deadline(store: &mut Store<CallState>, mut deadline: Deadline) {
    let started = cpu_time();
    // The first tick may be a partial one.
    store.set_epoch_deadline(u64::try_from(deadline.cpu.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
    store.epoch_deadline_callback(move |_| {
        Ok(match deadline.grant(cpu_time().saturating_sub(started)) {
            Some(ticks) => UpdateDeadline::Continue(ticks),
            None => UpdateDeadline::Interrupt,
        })
    });
}

/// The CPU time of this thread so far.
pub(super) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

fn clipped(fault: Fault) -> Fault {
    let clip = |text: String| match text.char_indices().nth(MAX_FAULT_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    };
    match fault {
        Fault::Unsupported(text) => Fault::Unsupported(clip(text)),
        Fault::BadInput(text) => Fault::BadInput(clip(text)),
        Fault::Internal(text) => Fault::Internal(clip(text)),
    }
}

/// The wall-clock time that a call may take, as a multiple of its deadline in CPU time.
const WALL_FACTOR: u64 = 10;
/// The same for threads with a lower priority: beside busy threads, they get a tenth of a core or less.
const WALL_FACTOR_BEHIND: u64 = 100;
/// Maximum number of characters of a fault's message.
const MAX_FAULT_CHARS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The CPU time, in milliseconds, after which a call ends that gets one out of `one_of` ticks.
    fn ends_after(waits: bool, one_of: u64) -> u64 {
        let mut deadline = Deadline::new(20, waits);
        let mut ticks = 20;
        while let Some(more) = deadline.grant(Duration::from_millis(ticks / one_of)) {
            ticks += more;
        }
        ticks / one_of
    }

    #[test]
    fn a_call_that_may_wait_has_its_deadline_of_cpu_time_beside_busy_neighbours() {
        assert_eq!([ends_after(false, 1), ends_after(true, 1)], [20, 20]);
        assert_eq!([ends_after(false, 5), ends_after(true, 5)], [20, 20]);
        assert_eq!([ends_after(false, 40), ends_after(true, 40)], [5, 20]);
        assert_eq!(ends_after(true, 1000), 2, "there is an end");
    }
}
