//! Runs a program instead of a policy: the test binary that `cargo test --target wasm32-wasip2` builds.
//!
//! The engine, the Wasm features, the sealed WASI and the meters are the same as for a policy, so a unit test runs
//! under the same conditions as the policy. A program differs in two ways: it has arguments, and it starts from its
//! `main`. Its output is returned as lines.

use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use super::PolicyHost;
use super::budget::{Budget, Budgets};
use super::cache::Key;
use super::call::Usage;
use super::engine::{MAX_MEMORY_BYTES, PolicyEngine};
use super::failure::{self, CallFailure};
use super::host_view::EmptyCatalogue;
use super::image::compile::Owner;
use super::image::{CompileError, Fetched};
use super::link::{self, CallState, GuestExit, LinkError};
use super::log::Log;
use super::run::{Spent, store};

/// A program that can be run any number of times.
pub struct Program {
    engine: Arc<PolicyEngine>,
    pre: InstancePre<CallState>,
    main: ComponentExportIndex,
    budget: Budget,
}

/// How a run ended, and what the program printed.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// The output, line by line.
    pub log: Log,
    /// What the run used.
    pub usage: Usage,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The program ended by itself, with this exit code.
    Exit(u8),
    /// The program panicked, trapped, or exceeded its budget.
    Broke(CallFailure),
}

/// Why a program cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The program cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The program imports something that neither policies nor their tests get.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The program has no `main`.
    #[error("this is no program: it exports no wasi:cli/run; build it with `cargo test --target wasm32-wasip2`")]
    NoMain,
}

impl PolicyHost {
    /// Loads a program, from the cache if it was loaded before.
    ///
    /// # Errors
    ///
    /// A [`ProgramError`] for the stage that refused it.
    pub fn load_program(&self, fetched: &Fetched) -> Result<Program, ProgramError> {
        let key = Key::component(&self.engine, fetched.digest());
        let component =
            self.compiling.compile(&self.engine, &key, fetched.bytes(), Owner::Revision(fetched.digest()))?;
        let engine = self.engine.wasm();
        let exports: Vec<String> =
            component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect();
        let main = exports.iter().find(|name| name.starts_with("wasi:cli/run@0.2.")).and_then(|name| {
            let interface = component.get_export_index(None, name)?;
            component.get_export_index(Some(&interface), "run")
        });
        let main = main.ok_or(ProgramError::NoMain)?;
        let pre = link::link_program(&self.engine, &component)?;
        Ok(Program { engine: Arc::clone(&self.engine), pre, main, budget: budget() })
    }
}

impl Program {
    /// Runs the program in its own instance. The first argument is the program's name.
    #[must_use]
    pub fn run(&self, arguments: Vec<String>) -> Ran {
        let _in_flight = self.engine.ticker.enter();
        let state = CallState::new(&self.budget, 0, 0, Arc::new(EmptyCatalogue)).with_arguments(arguments);
        let mut store = store(&self.engine, &self.budget, false, state);
        let ended = self.pre.instantiate(&mut store).and_then(|instance| {
            let main = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut store, &self.main)?;
            main.call(&mut store, ())
        });
        let Spent { usage, log, panic, .. } = Spent::of(store, &self.budget);
        let ended = match ended {
            Ok((Ok(()),)) => Ended::Exit(0),
            Ok((Err(()),)) => Ended::Exit(1),
            Err(error) => match error.downcast_ref::<GuestExit>() {
                Some(exit) => Ended::Exit(exit.code()),
                None => Ended::Broke(failure::of_error(&error, panic, &self.budget)),
            },
        };
        Ran { ended, log, usage }
    }
}

/// What a test may use: as much as configuring a policy, and the most that a policy could be granted.
fn budget() -> Budget {
    Budget {
        memory_bytes: MAX_MEMORY_BYTES,
        log_bytes: 1 << 20,
        log_lines: 10_000,
        host_calls: 1_000_000,
        ..Budgets::default().for_init()
    }
}
