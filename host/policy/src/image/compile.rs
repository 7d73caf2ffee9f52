//! Machine code for a component, from the cache or from the compiler.
//!
//! The compiler is the one part of the engine that promises nothing about the cost of a hostile input: a component of
//! a few kilobytes can keep it busy for hours or make it use all memory. It also checks no budget while it works. So a
//! server has components compiled in a separate process ([`Compiler::Child`]). The kernel limits this process in CPU
//! time, memory and wall-clock time, and gives it a low priority, so that devices do not wait for it. A component that
//! exceeds a limit is refused with the name of the limit, and the server goes on.
//!
//! | limit | held by | the component is refused with |
//! | --- | --- | --- |
//! | CPU time | `RLIMIT_CPU` | [`CompileError::CpuTime`] |
//! | memory | `RLIMIT_DATA` | [`CompileError::Memory`] |
//! | time | the server, which kills the process | [`CompileError::Time`] |
//! | compilers at once | a queue, one at a time for each token | nothing; it waits |
//!
//! The process limits the cost of compiling. It is not a trust boundary: what it returns is run. It is the same
//! program with the same engine, and it gets no configuration, no key and no file.

pub(crate) mod child;
mod turn;

use std::path::PathBuf;

use clap::Args;
use wasmtime::component::Component;

pub use self::child::worker;
pub(crate) use self::turn::Owner;
use self::turn::Turns;
use crate::cache::{Cache, Key};
use crate::engine::PolicyEngine;

/// Where components are compiled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, without any limit: for tools whose user brings the component.
    #[default]
    InProcess,
    /// In a separate process.
    Child {
        /// The program of the process. With the first argument [`worker::COMMAND`] it must call [`worker::compile`].
        program: PathBuf,
        /// The limits of the process.
        limits: CompileLimits,
    },
}

/// What compiling one component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct CompileLimits {
    /// Seconds of CPU time, all threads together. A Rust policy takes a fifth of one, an interpreter 40.
    #[arg(long)]
    pub cpu_seconds: u64,
    /// Seconds on the wall.
    #[arg(long)]
    pub wall_seconds: u64,
    /// Bytes of memory. An interpreter takes about 1 GiB.
    #[arg(long)]
    pub memory_bytes: u64,
}

/// Why a component could not be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CompileError {
    /// The compiler refuses the component.
    #[error("the component cannot be compiled: {detail}")]
    Refused {
        /// The compiler's message.
        detail: String,
    },
    /// Compiling takes too much CPU time.
    #[error(
        "compiling the component took more than {limit_seconds} s of CPU time and was ended; make its functions smaller, \
         or raise limits.policy.compile_cpu_seconds"
    )]
    CpuTime { limit_seconds: u64 },
    /// Compiling takes too much wall-clock time.
    #[error(
        "compiling the component took longer than {limit_seconds} s and was ended; the machine may be overloaded \
         (publish it again), or raise limits.policy.compile_wall_seconds"
    )]
    Time { limit_seconds: u64 },
    /// Compiling takes too much memory.
    #[error(
        "compiling the component took more than {limit_mib} MiB of memory and was ended; make its functions smaller, or \
         raise limits.policy.compile_memory_mib"
    )]
    Memory { limit_mib: u64 },
    /// The compiler's process failed for a reason that is not the component.
    #[error("the compiler's process failed: {detail}")]
    Process { detail: String },
}

/// Everything that is needed to compile components: the cache, the compiler and the queue for it.
pub(crate) struct Compiling {
    cache: Cache,
    compiler: Compiler,
    /// Components with more bytes are not compiled again for each of their settings.
    pub(crate) max_baked_bytes: usize,
    turns: Turns,
}

impl Compiling {
    pub(crate) fn new(cache: Cache, compiler: Compiler, max_baked_bytes: usize) -> Self {
        Self { cache, compiler, max_baked_bytes, turns: Turns::new(AT_ONCE) }
    }

    /// Takes machine code from the cache, or compiles and caches it. If the cache cannot be written, the result is
    /// slow but correct.
    pub(crate) fn compile(
        &self,
        engine: &PolicyEngine,
        key: &Key,
        bytes: &[u8],
        owner: Owner,
    ) -> Result<Component, CompileError> {
        if let Some(component) = self.cached(engine, key) {
            return Ok(component);
        }
        let code = self.code(engine, bytes, owner)?;
        if let Err(error) = self.cache.put(key, &code) {
            tracing::warn!(%key, %error, "a compiled policy cannot be cached; it will be compiled again at the next start");
        }
        component_of(engine, &code)
    }

    /// Compiles a component that is used only once.
    pub(crate) fn compile_once(
        &self,
        engine: &PolicyEngine,
        bytes: &[u8],
        owner: Owner,
    ) -> Result<Component, CompileError> {
        component_of(engine, &self.code(engine, bytes, owner)?)
    }

    /// Machine code from the cache, if it is there.
    pub(crate) fn cached(&self, engine: &PolicyEngine, key: &Key) -> Option<Component> {
        self.cache.get(engine, key)
    }

    fn code(&self, engine: &PolicyEngine, bytes: &[u8], owner: Owner) -> Result<Vec<u8>, CompileError> {
        match &self.compiler {
            Compiler::InProcess => in_process(engine, bytes),
            Compiler::Child { program, limits } => {
                let _turn = self.turns.take(owner);
                child::compile(program, *limits, engine, bytes)
            }
        }
    }
}

fn component_of(engine: &PolicyEngine, code: &[u8]) -> Result<Component, CompileError> {
    let unusable = |error| CompileError::Process { detail: format!("its code does not load: {error:#}") };
    Cache::fresh(engine, code).map_err(unusable)
}

fn in_process(engine: &PolicyEngine, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
    let refused = |error: wasmtime::Error| CompileError::Refused { detail: format!("{error:#}") };
    Component::from_binary(engine.wasm(), bytes).and_then(|component| component.serialize()).map_err(refused)
}

/// How many compilers run at once: one that uses its whole time must not block all others.
const AT_ONCE: usize = 2;
