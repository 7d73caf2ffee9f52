//! Where a policy spends its time: samples of its stack, taken at ticks of the engine while it decides.
//!
//! A decision is over in microseconds and a tick comes each millisecond, so one call gives no sample at all. The same
//! call is made again and again, each in a fresh instance as always, and all samples go into one profile. What the host
//! does between calls is not in it: samples are only taken while the guest runs.

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

/// Samples of one policy.
pub struct Profile {
    profiler: GuestProfiler,
    /// Calls that were made.
    pub calls: u64,
    /// Samples that were taken.
    pub samples: u64,
}

/// What is asked again and again.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names say it")]
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
    /// CPU time of the thread at the last sample.
    last: Duration,
}

impl Image {
    /// Asks the same for about `span`, and takes samples of where the policy is.
    ///
    /// # Errors
    ///
    /// The first call that has no answer ends it.
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
    /// Writes it as the Firefox profiler reads it (processed profile format, JSON).
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(self, output: impl std::io::Write) -> Result<(), ProfileError> {
        self.profiler.finish(output).map_err(|error| ProfileError::Engine(format!("{error:#}")))
    }
}

impl Sampler {
    /// Takes a sample at each tick, in place of watching the deadline: who profiles is there to end it.
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
