//! Runs one call in a fresh instance, under its budget, and reports on it whatever happens.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use super::budget::Budget;
use super::call::{CallReport, Fault, Usage};
use super::catalogue::{Catalogue, Transcript};
use super::engine::PolicyEngine;
use super::failure::{self, CallFailure};
use super::link::{CallState, Linked};
use super::log::{Log, PanicNote};
use super::profile::Sampler;
use crate::clock;

/// What a call is surrounded by.
pub(super) struct Surroundings<'a> {
    pub(super) engine: &'a PolicyEngine,
    pub(super) budget: &'a Budget,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) seed: u64,
    pub(super) catalogue: Arc<dyn Catalogue>,
}

/// Makes an instance, runs `body` on it, and drops it.
///
/// The deadline is CPU time of the worker, not time of day: on a loaded machine a thread may wait 25 ms for a core and
/// do nothing wrong. Epochs only know time of day, so when they say that the deadline has come, the worker's CPU time is
/// looked at, and what is left of it is granted in further ticks, up to a hard limit of [`WALL_FACTOR`] times the deadline.
pub(super) fn run<R>(
    linked: &dyn Linked,
    surroundings: Surroundings<'_>,
    body: impl FnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<Result<R, Fault>>,
) -> CallReport<R> {
    run_watched(linked, surroundings, None, body)
}

/// The same, while samples are taken of where the guest is. It has no deadline then.
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
    let Surroundings { engine, budget, now, seed, catalogue } = surroundings;
    let _in_flight = engine.ticker.enter();
    let started = clock::instant();
    let mut store = store(engine, budget, CallState::new(budget, now, seed, catalogue));
    if let Some(sampler) = sampler {
        sampler.watch(&mut store);
    }
    let mut instantiated = started;
    let result = linked.instantiate(&mut store).and_then(|instance| {
        instantiated = clock::instant();
        body(&mut store, &instance)
    });
    let ended = clock::instant();

    let Spent { mut usage, log, transcript, panic } = Spent::of(store, budget);
    let result = match result {
        Err(error) => Err(failure::of_error(&error, panic, budget)),
        // Calls into the host are paid for at the end: what they may cost is bounded by their number.
        Ok(_) if usage.fuel > budget.fuel => {
            Err(CallFailure::Broke(failure::Breakage::OutOfFuel { fuel: budget.fuel }))
        }
        Ok(Err(fault)) => Err(CallFailure::Fault(clipped(fault))),
        Ok(Ok(answer)) => Ok(answer),
    };
    let microseconds = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    usage.instantiate_us = microseconds(instantiated - started);
    usage.guest_us = microseconds(ended - instantiated);
    CallReport { result, usage, transcript, log }
}

/// What a store has spent, and what was said meanwhile.
pub(super) struct Spent {
    /// Without any times.
    pub(super) usage: Usage,
    pub(super) log: Log,
    pub(super) transcript: Transcript,
    pub(super) panic: Option<PanicNote>,
}

impl Spent {
    pub(super) fn of(store: Store<CallState>, budget: &Budget) -> Self {
        // A store that cannot say how much fuel is left does not exist: metering is on for the whole engine.
        let fuel = budget.fuel - store.get_fuel().unwrap_or_default().min(budget.fuel) + store.data().host_fuel();
        let peak_memory_bytes = store.data().meter.peak_memory_bytes();
        let (recorder, transcript) = store.into_data().into_parts();
        let (log, panic) = recorder.finish();
        Self { usage: Usage { fuel, peak_memory_bytes, ..Usage::default() }, log, transcript, panic }
    }
}

/// A store that is held to its budget.
pub(super) fn store(engine: &PolicyEngine, budget: &Budget, state: CallState) -> Store<CallState> {
    let mut store = Store::new(engine.wasm(), state);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(budget.host_call_bytes);
    hold_to_deadline(&mut store, budget.deadline_ms);
    // Metering is on for the whole engine, so this cannot fail; without fuel the guest would trap at once.
    let _ = store.set_fuel(budget.fuel);
    store
}

fn hold_to_deadline(store: &mut Store<CallState>, deadline_ms: u32) {
    let deadline = Duration::from_millis(deadline_ms.into());
    let started = cpu_time();
    let mut ticks_left = u64::from(deadline_ms) * (WALL_FACTOR - 1);
    // The first tick may be a partial one.
    store.set_epoch_deadline(u64::from(deadline_ms) + 1);
    store.epoch_deadline_callback(move |_| {
        let left = deadline.saturating_sub(cpu_time().saturating_sub(started));
        if left.is_zero() || ticks_left == 0 {
            return Ok(UpdateDeadline::Interrupt);
        }
        let grant = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1).min(ticks_left);
        ticks_left -= grant;
        Ok(UpdateDeadline::Continue(grant))
    });
}

/// CPU time of this thread so far.
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

/// Time of day that a call may take, as a multiple of its deadline in CPU time.
const WALL_FACTOR: u64 = 10;
/// Characters kept of what a fault says.
const MAX_FAULT_CHARS: usize = 1024;
