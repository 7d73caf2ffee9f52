//! The compiler's process: reads a component from standard input and writes machine code to standard output.
//!
//! It sets its own limits before it reads a byte. Its engine has the same settings as the server's. The fingerprint is
//! compared to make sure, because code for another engine would not load in the server.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use landfall_domain::names::Digest;
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use wasmtime::component::Component;

use crate::engine::PolicyEngine;
use crate::image::compile::CompileLimits;

/// The command that leads to [`compile`].
pub const COMMAND: &str = "compile-component";

/// What the process is told.
#[derive(Debug, Clone, Args)]
pub struct Order {
    #[command(flatten)]
    limits: CompileLimits,
    /// The fingerprint of the engine that the code is for.
    #[arg(long)]
    engine: Digest,
    /// That engine makes its instances from nothing.
    #[arg(long)]
    on_demand: bool,
}

/// The program file of this process, even if the file has been replaced since, where the system can name it.
#[must_use]
pub fn this_program() -> Option<PathBuf> {
    let linux = Path::new("/proc/self/exe");
    if linux.exists() { Some(linux.to_owned()) } else { std::env::current_exe().ok() }
}

/// Why compiling failed.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Ended {
    why: String,
    /// The exit code of the process.
    pub exit_code: u8,
}

/// Compiles the component: the whole work of this process.
///
/// # Errors
///
/// The component was not compiled. The server reads the exit code.
pub fn compile(order: &Order) -> Result<(), Ended> {
    let failed = |what: &str, why: &dyn std::fmt::Display| Ended { exit_code: FAILED, why: format!("{what}: {why}") };
    confine(order.limits).map_err(|error| failed("it cannot take its limits", &error))?;
    let engine = PolicyEngine::for_compiling(order.on_demand).map_err(|error| failed("no engine", &error))?;
    if PolicyEngine::fingerprint_of(&engine) != order.engine {
        return Err(failed("another engine", &"the program was replaced while the server runs; start the server anew"));
    }
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).map_err(|error| failed("no component", &error))?;
    let code = Component::from_binary(&engine, &component).and_then(|component| component.serialize());
    let code = code.map_err(|error| Ended { exit_code: end_of(&error), why: format!("{error:#}") })?;
    let mut output = std::io::stdout().lock();
    output.write_all(&code).and_then(|()| output.flush()).map_err(|error| failed("nobody takes the code", &error))
}

/// Limits the resources of this process, and lowers its priority.
fn confine(limits: CompileLimits) -> rustix::io::Result<()> {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // This limits writable memory, not address space: the allocator reserves far more address space than it uses.
    limit(Resource::Data, limits.memory_bytes)?;
    setrlimit(
        Resource::Cpu,
        Rlimit { current: Some(limits.cpu_seconds), maximum: Some(limits.cpu_seconds.saturating_add(1)) },
    )?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICENESS).map(drop)
}

fn end_of(error: &wasmtime::Error) -> u8 {
    let no_memory = error.chain().any(|cause| {
        let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        kind == Some(std::io::ErrorKind::OutOfMemory)
            || cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
    });
    if no_memory { NO_MEMORY } else { REFUSED }
}

/// Exit codes: the compiler refuses the component; there was not enough memory; anything else.
pub(super) const REFUSED: u8 = 3;
pub(super) const NO_MEMORY: u8 = 4;
const FAILED: u8 = 5;

/// Half of the possible steps: serving devices has priority.
const NICENESS: i32 = 10;
