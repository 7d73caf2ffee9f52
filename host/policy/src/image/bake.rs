//! Runs `configure` once, and makes a component from the state that it leaves behind.
//!
//! The component is rewritten so that its memory and globals can be read from outside. Then it is instantiated, gets
//! its settings through an ordinary typed call, and is written out again with the state that it then has. The
//! rewriting is Wizer's. The instance is ours: it has the init budget and the same sealed imports as any call, and
//! runs at the moment 0 with the seed 0, so that the same settings always give the same image.
//!
//! A large component, that is, an interpreter, is not baked at all: each set of settings would need the whole
//! component to be compiled again, half a minute to save a millisecond (`PolicySettings::max_baked_bytes`). Reasons
//! that prevent baking are kept apart from mistakes in settings:
//! - components that change tables (most interpreters): memory alone does not hold their state;
//! - components that hold a stream or a timer after `configure`: the handle would point to nothing in a new instance;
//! - components that the rewriting does not understand. It asserts where it could return an error, so it is called
//!   with a guard; a panic there only means that the component is not baked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use landfall_domain::decision::call::CallReport;
use wasmtime::Store;
use wasmtime::component::{Instance, Lift, TypedFunc, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use super::compile::{Compiling, Owner};
use super::{Problem, Revision};
use crate::budget::Budgets;
use crate::engine::PolicyEngine;
use crate::failure::CallFailure;
use crate::host_view::EmptyCatalogue;
use crate::link::CallState;
use crate::log::Log;
use crate::run::{Surroundings, run};

/// The result of baking.
pub(super) enum Baked {
    /// A component that starts configured.
    Component(Vec<u8>),
    /// The plugin refuses the settings.
    Refused(Vec<Problem>),
    /// The plugin broke while it was being configured.
    Broke(CallFailure, Log),
    /// This plugin cannot be baked, for this reason.
    Impossible(String),
}

pub(super) fn bake(
    engine: &PolicyEngine,
    compiling: &Compiling,
    budgets: &Budgets,
    revision: &Revision,
    settings: &str,
) -> Baked {
    let guarded = catch_unwind(AssertUnwindSafe(|| try_bake(engine, compiling, budgets, revision, settings)));
    guarded.unwrap_or_else(|_| Baked::Impossible("the component cannot be rewritten".into()))
}

/// A plugin's problems with its settings, limited in number and length.
pub(super) fn clipped(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.truncate(MAX_PROBLEMS);
    let clip = |text: &mut String, most: usize| {
        if let Some((end, _)) = text.char_indices().nth(most) {
            text.truncate(end);
            text.push_str(" ...");
        }
    };
    for Problem { pointer, message } in &mut problems {
        clip(pointer, MAX_POINTER_CHARS);
        clip(message, MAX_MESSAGE_CHARS);
    }
    problems
}

fn try_bake(
    engine: &PolicyEngine,
    compiling: &Compiling,
    budgets: &Budgets,
    revision: &Revision,
    settings: &str,
) -> Baked {
    let wizer = Wizer::new();
    let (context, instrumented) = match wizer.instrument_component(&revision.bytes) {
        Ok(instrumented) => instrumented,
        Err(error) => return Baked::Impossible(format!("{error:#}")),
    };
    let linked = compiling
        .compile_once(engine, &instrumented, Owner::Revision(revision.digest))
        .map_err(|error| error.to_string())
        .and_then(|component| {
            crate::link::link(revision.card.wit, engine, &component).map_err(|error| error.to_string())
        });
    let linked = match linked {
        Ok(linked) => linked,
        Err(because) => return Baked::Impossible(because),
    };

    let mut budget = budgets.for_init();
    // The memory is copied out as a whole, in one call.
    budget.host_call_bytes = budget.host_call_bytes.max(budget.memory_bytes.saturating_mul(2));
    let surroundings =
        Surroundings { engine, budget: &budget, waits: false, now: 0, seed: 0, catalogue: Arc::new(EmptyCatalogue) };
    let CallReport { result, log, .. } = run(&*linked, surroundings, |store, instance| {
        if let Err(problems) = linked.configure(store, instance, settings)? {
            return Ok(Ok(Baked::Refused(clipped(problems))));
        }
        if store.data().holds_handles() {
            return Ok(Ok(Baked::Impossible("it holds a stream or a timer after `configure`".into())));
        }
        let mut snapshot = Snapshot { store, instance: *instance, error: None };
        let written = at_once(wizer.snapshot_component(&context, &mut snapshot));
        Ok(Ok(match (written, snapshot.error) {
            (Some(Ok(bytes)), None) => Baked::Component(bytes),
            (Some(Err(error)), _) | (_, Some(error)) => Baked::Impossible(format!("{error:#}")),
            (None, None) => Baked::Impossible("its state cannot be read at once".into()),
        }))
    });
    result.unwrap_or_else(|failure| Baked::Broke(failure, log))
}

/// Reads the state of an instance for Wizer. Wizer's interface has no errors, so the first error is kept, and the
/// result is not used.
struct Snapshot<'a> {
    store: &'a mut Store<CallState>,
    instance: Instance,
    error: Option<wasmtime::Error>,
}

impl Snapshot<'_> {
    fn function<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> wasmtime::Result<TypedFunc<(), (R,)>> {
        let missing = || wasmtime::Error::msg("the rewritten component lacks an accessor");
        let (_, interface) = self.instance.get_export(&mut *self.store, None, instance).ok_or_else(missing)?;
        let (_, function) =
            self.instance.get_export(&mut *self.store, Some(&interface), function).ok_or_else(missing)?;
        self.instance.get_typed_func(&mut *self.store, function)
    }

    fn read<R: Lift + 'static>(&mut self, instance: &str, function: &str) -> Option<R> {
        let value = self.function(instance, function).and_then(|function| function.call(&mut *self.store, ()));
        match value {
            Ok((value,)) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }
}

impl ComponentInstanceState for Snapshot<'_> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.read::<WasmList<u8>>(instance, func) {
            Some(list) => contents(list.as_le_slice(&*self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.read::<f32>(instance, func).unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.read::<f64>(instance, func).unwrap_or_default().to_bits()
    }
}

/// The value of a future that never has to wait.
fn at_once<R>(future: impl Future<Output = R>) -> Option<R> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Maximum number of problems with settings that are reported.
const MAX_PROBLEMS: usize = 100;
/// Maximum number of characters in the pointer of a problem.
const MAX_POINTER_CHARS: usize = 256;
/// Maximum number of characters in the message of a problem.
const MAX_MESSAGE_CHARS: usize = 1024;
