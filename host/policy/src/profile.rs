//! Shows where a policy spends its time: samples of its stack, taken at ticks of the engine while it decides.
//!
//! A decision takes microseconds and a tick comes each millisecond, so one call gives no sample at all. So the same
//! call is made repeatedly, each time in a fresh instance as always, and all samples go into one profile. The host's
//! work between calls is not in it: samples are taken only while the guest runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_domain::clock::Stopwatch;
use wasmtime::{GuestProfiler, Store, UpdateDeadline};

use super::call::{CallReport, Fault, Outcome, PlaceInput, Placement, SelectInput};
use super::failure::CallFailure;
use super::host_view::Catalogue;
use super::image::Image;
use super::link::CallState;
use super::run::{Surroundings, cpu_time, run_sampled};

/// The profile of one policy.
pub struct Profile {
    profiler: GuestProfiler,
    /// The number of calls that were made.
    pub calls: u64,
    /// The number of samples that were taken.
    pub samples: u64,
}

/// The call that is repeated.
#[derive(Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Question {
    Select(Box<SelectInput>),
    Place(Box<PlaceInput>),
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The policy did not answer.
    #[error(transparent)]
    Call(#[from] CallFailure),
    /// The engine cannot profile.
    #[error("the engine cannot profile the policy: {0}")]
    Engine(String),
}

/// Takes samples during one call.
#[derive(Clone)]
pub(super) struct Sampler(Arc<Mutex<Samples>>);

struct Samples {
    profiler: GuestProfiler,
    taken: u64,
    /// The thread's CPU time at the last sample.
    last: Duration,
}

impl Image {
    /// Repeats the call for about `span`, and samples the policy's stack.
    ///
    /// # Errors
    ///
    /// The first call without an answer ends the measurement.
    pub fn profile(
        &self,
        question: &Question,
        catalogue: &Arc<dyn Catalogue>,
        span: Duration,
    ) -> Result<Profile, ProfileError> {
        let name = self.revision.description.name.as_str();
        let component = self.linked.component().clone();
        let profiler = GuestProfiler::new_component(self.engine.wasm(), name, TICK, component, [])
            .map_err(|error| ProfileError::Engine(format!("{error:#}")))?;
        let samples = Samples { profiler, taken: 0, last: cpu_time() };
        let sampler = Sampler(Arc::new(Mutex::new(samples)));
        let (started, mut calls) = (Stopwatch::system(), 0);
        while started.elapsed() < span {
            match question {
                Question::Select(input) => drop(self.sampled_selection(input, catalogue, &sampler).result?),
                Question::Place(input) => drop(self.sampled_placement(input, catalogue, &sampler).result?),
            }
            calls += 1;
        }
        let samples = Arc::into_inner(sampler.0).ok_or_else(|| ProfileError::Engine("a call still runs".into()))?;
        let Samples { profiler, taken, .. } = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Profile { profiler, calls, samples: taken })
    }

    fn sampled_selection(
        &self,
        input: &SelectInput,
        catalogue: &Arc<dyn Catalogue>,
        sampler: &Sampler,
    ) -> CallReport<Outcome> {
        let budget = self.budgets.call.for_hubs(input.candidates.len());
        let surroundings = self.surroundings(&input.call, &budget, Arc::clone(catalogue));
        self.sampled(surroundings, sampler, |store, instance| self.linked.select_hub(store, instance, input))
    }

    fn sampled_placement(
        &self,
        input: &PlaceInput,
        catalogue: &Arc<dyn Catalogue>,
        sampler: &Sampler,
    ) -> CallReport<Placement> {
        let surroundings = self.surroundings(&input.call, &self.budgets.call, Arc::clone(catalogue));
        self.sampled(surroundings, sampler, |store, instance| self.linked.place(store, instance, input))
    }

    fn sampled<R>(
        &self,
        surroundings: Surroundings<'_>,
        sampler: &Sampler,
        ask: impl FnOnce(&mut Store<CallState>, &wasmtime::component::Instance) -> wasmtime::Result<Result<R, Fault>>,
    ) -> CallReport<R> {
        run_sampled(&*self.linked, surroundings, sampler, |store, instance| match self.prepare(store, instance)? {
            Ok(()) => ask(store, instance),
            Err(fault) => Ok(Err(fault)),
        })
    }
}

impl Profile {
    /// Writes the profile in the format of the Firefox profiler (processed profile format, JSON).
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    pub fn write(self, output: impl std::io::Write) -> Result<(), ProfileError> {
        self.profiler.finish(output).map_err(|error| ProfileError::Engine(format!("{error:#}")))
    }
}

impl Sampler {
    /// Takes a sample at each tick, instead of checking the deadline: the user of a profile can end it.
    pub(super) fn watch(&self, store: &mut Store<CallState>) {
        let sampler = self.clone();
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |store| {
            let mut samples = sampler.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = cpu_time();
            let spent = now.saturating_sub(samples.last);
            samples.last = now;
            samples.taken += 1;
            samples.profiler.sample(&store, spent);
            Ok(UpdateDeadline::Continue(1))
        });
    }
}

/// How often the engine ticks.
const TICK: Duration = Duration::from_millis(1);
