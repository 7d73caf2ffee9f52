//! The server's side of the compiler's process: it starts the process, sends the component, waits up to the limit, and
//! reads how the process ended.

pub mod worker;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;

use super::{CompileError, CompileLimits};
use crate::engine::PolicyEngine;

/// Has `program` compile a component. The result is what `Component::serialize` returned in that process.
pub(super) fn compile(
    program: &Path,
    limits: CompileLimits,
    engine: &PolicyEngine,
    bytes: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let mut child = start(program, limits, engine)?;
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(CompileError::Process { detail: "it has no pipes".into() });
    };
    let (done, finished) = mpsc::channel();
    std::thread::scope(|threads| {
        // A process that ends early closes its end of the pipe. The caller is told why it ended, not that the pipe
        // broke.
        threads.spawn(move || input.write_all(bytes).ok());
        let reader = threads.spawn(move || {
            let read = all_of(output, MAX_CODE_BYTES);
            let _ = done.send(());
            read
        });
        let complaint = threads.spawn(move || all_of(errors, MAX_COMPLAINT_BYTES));
        let in_time = finished.recv_timeout(Duration::from_secs(limits.wall_seconds)).is_ok();
        if !in_time {
            let _ = child.kill();
        }
        let status = child.wait();
        let code = reader.join().unwrap_or_default();
        let complaint = String::from_utf8_lossy(&complaint.join().unwrap_or_default()).trim().to_owned();
        if !in_time {
            return Err(CompileError::Time { limit_seconds: limits.wall_seconds });
        }
        match status {
            Ok(status) => ended(status, code, complaint, limits),
            Err(error) => Err(CompileError::Process { detail: error.to_string() }),
        }
    })
}

fn start(program: &Path, limits: CompileLimits, engine: &PolicyEngine) -> Result<Child, CompileError> {
    let CompileLimits { cpu_seconds, wall_seconds, memory_bytes } = limits;
    let mut command = Command::new(program);
    command.arg(worker::COMMAND);
    command.args(["--cpu-seconds", &cpu_seconds.to_string(), "--wall-seconds", &wall_seconds.to_string()]);
    command.args(["--memory-bytes", &memory_bytes.to_string(), "--engine", &engine.fingerprint().to_string()]);
    if !engine.pooled() {
        command.arg("--on-demand");
    }
    command.env_clear().current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |error| CompileError::Process { detail: format!("{} cannot be started: {error}", program.display()) };
    command.spawn().map_err(failed)
}

fn ended(status: ExitStatus, code: Vec<u8>, complaint: String, limits: CompileLimits) -> Result<Vec<u8>, CompileError> {
    let memory = CompileError::Memory { limit_mib: limits.memory_bytes >> 20 };
    match (status.code().map(u8::try_from), status.signal()) {
        (Some(Ok(0)), _) if code.len() > MAX_CODE_BYTES => {
            let detail = format!("its machine code has more than {} MiB", MAX_CODE_BYTES >> 20);
            Err(CompileError::Refused { detail })
        }
        (Some(Ok(0)), _) => Ok(code),
        (Some(Ok(worker::REFUSED)), _) => Err(CompileError::Refused { detail: complaint }),
        (Some(Ok(worker::NO_MEMORY)), _) => Err(memory),
        // A Rust program that gets no memory ends in this way.
        (_, Some(signal)) if signal == Signal::ABORT.as_raw() => Err(memory),
        (_, Some(signal)) if signal == Signal::XCPU.as_raw() => {
            Err(CompileError::CpuTime { limit_seconds: limits.cpu_seconds })
        }
        _ => Err(CompileError::Process { detail: format!("{status}: {complaint}") }),
    }
}

/// Reads to the end, and keeps one byte more than `limit`, so that the caller can see that the limit was exceeded.
fn all_of(mut source: impl Read, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let _ = source.by_ref().take(most).read_to_end(&mut kept);
    let _ = std::io::copy(&mut source, &mut std::io::sink());
    kept
}

/// Maximum size of machine code in bytes. An interpreter has 40 MiB.
const MAX_CODE_BYTES: usize = 512 << 20;
/// Maximum size in bytes of the compiler's message when it refuses.
const MAX_COMPLAINT_BYTES: usize = 4 << 10;
