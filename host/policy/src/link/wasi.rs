//! WASI for pure policies: what standard libraries require, and no access to anything outside.
//!
//! A policy imports WASI because its toolchain does so, not because it needs a system. So every interface is bound to
//! the call: the wall clock stands at `call.now`, random numbers come from `call.seed`, the environment and the
//! arguments are empty, there are no directories, standard input is closed, and output becomes log lines. A replay of
//! the call reads the same bytes.
//!
//! The engine's own implementation of WASI is not used: its timers sleep on the host's thread, where neither fuel nor
//! epochs interrupt them, so a policy could block a worker for any time. Here nothing ever waits. A timer is ready at
//! once and advances the monotonic clock to its deadline, which also makes `sleep` deterministic. It is cheaper, too:
//! streams and timers are numbers and not objects, and a call that does not use WASI has no cost for it.
//!
//! Only the file system is taken from the engine; all its functions need a descriptor, which a policy cannot get.
//! Sockets are not linked at all. The streams and pollables of HTTP pass through here and are handled by
//! [`super::http`].

use std::fmt;

use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::sync::{cli, clocks, filesystem, io, random};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

use super::http::{self, HttpState};
use super::{CallState, GuestExit};
use crate::log::LogSource;

/// The WASI state of one call.
pub(super) struct SealedWasi {
    wall_ms: u64,
    monotonic_ns: u64,
    random: SplitMix64,
    seed: u64,
    handles: i64,
    /// Arguments; only a program has any.
    pub(super) arguments: Vec<String>,
    filesystem: Option<Box<(WasiFilesystemCtx, ResourceTable)>>,
}

impl SealedWasi {
    pub(super) fn new(now_ms: u64, seed: u64) -> Self {
        let random = SplitMix64(seed);
        let (handles, arguments) = (0, Vec::new());
        Self { wall_ms: now_ms, monotonic_ns: 0, random, seed, handles, arguments, filesystem: None }
    }

    pub(super) fn holds_handles(&self) -> bool {
        self.handles != 0
    }

    /// Counts an open stream or pollable of HTTP, which is closed here like any other.
    pub(super) fn opened_elsewhere(&mut self) {
        self.handles += 1;
    }

    fn filesystem(&mut self) -> WasiFilesystemCtxView<'_> {
        let (ctx, table) = &mut **self.filesystem.get_or_insert_with(Box::default);
        WasiFilesystemCtxView { ctx, table }
    }

    fn sleep_until(&mut self, instant_ns: u64) {
        self.monotonic_ns = self.monotonic_ns.max(instant_ns);
    }
}

/// Defines the interfaces that the tier `pure` grants.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    type Sealed = HasSelf<CallState>;
    cli::environment::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::exit::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::stdin::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::stdout::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::stderr::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::terminal_input::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::terminal_output::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::terminal_stdin::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::terminal_stdout::add_to_linker::<_, Sealed>(linker, |s| s)?;
    cli::terminal_stderr::add_to_linker::<_, Sealed>(linker, |s| s)?;
    clocks::wall_clock::add_to_linker::<_, Sealed>(linker, |s| s)?;
    clocks::monotonic_clock::add_to_linker::<_, Sealed>(linker, |s| s)?;
    random::random::add_to_linker::<_, Sealed>(linker, |s| s)?;
    random::insecure::add_to_linker::<_, Sealed>(linker, |s| s)?;
    random::insecure_seed::add_to_linker::<_, Sealed>(linker, |s| s)?;
    io::error::add_to_linker::<_, Sealed>(linker, |s| s)?;
    io::poll::add_to_linker::<_, Sealed>(linker, |s| s)?;
    io::streams::add_to_linker::<_, Sealed>(linker, |s| s)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, |s| s.wasi.filesystem())?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, |s| s.wasi.filesystem())
}

impl CallState {
    fn opened<T: 'static>(&mut self, rep: u32) -> wasmtime::Result<Resource<T>> {
        self.host_call()?;
        self.wasi.handles += 1;
        Ok(Resource::new_own(rep))
    }

    fn closed(&mut self) -> wasmtime::Result<()> {
        self.host_call()?;
        self.wasi.handles -= 1;
        Ok(())
    }

    fn printed(&mut self, stream: &Resource<DynOutputStream>, bytes: &[u8]) -> StreamResult<()> {
        self.host_call().map_err(trapped)?;
        if HttpState::owns(stream.rep()) {
            return self.http.write(stream.rep(), bytes);
        }
        let source = if stream.rep() == STDERR { LogSource::Stderr } else { LogSource::Stdout };
        self.recorder.write(source, bytes);
        Ok(())
    }

    fn is_ready(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<bool> {
        if HttpState::owns(pollable.rep()) { Ok(self.http.ready(pollable.rep())?) } else { Ok(true) }
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.host_call()?;
        let len = usize::try_from(len).ok().filter(|len| *len <= MAX_RANDOM_BYTES).ok_or(TooMuchRandom { len })?;
        let words = len.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.wasi.random.next().to_le_bytes()).collect();
        bytes.truncate(len);
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        self.host_call()?;
        Ok(self.wasi.random.next())
    }
}

impl cli::environment::Host for CallState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.host_call()?;
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.host_call()?;
        Ok(self.wasi.arguments.clone())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.host_call()?;
        Ok(None)
    }
}

impl cli::exit::Host for CallState {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(GuestExit { code: status.is_err().into() }.into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(GuestExit { code }.into())
    }
}

impl cli::stdin::Host for CallState {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<DynInputStream>> {
        self.opened(STDIN)
    }
}

impl cli::stdout::Host for CallState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.opened(STDOUT)
    }
}

impl cli::stderr::Host for CallState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        self.opened(STDERR)
    }
}

impl cli::terminal_input::Host for CallState {}

impl cli::terminal_input::HostTerminalInput for CallState {
    fn drop(&mut self, _: Resource<cli::terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        self.closed()
    }
}

impl cli::terminal_output::Host for CallState {}

impl cli::terminal_output::HostTerminalOutput for CallState {
    fn drop(&mut self, _: Resource<cli::terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        self.closed()
    }
}

impl cli::terminal_stdin::Host for CallState {
    fn get_terminal_stdin(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_input::TerminalInput>>> {
        self.host_call()?;
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for CallState {
    fn get_terminal_stdout(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        self.host_call()?;
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for CallState {
    fn get_terminal_stderr(&mut self) -> wasmtime::Result<Option<Resource<cli::terminal_output::TerminalOutput>>> {
        self.host_call()?;
        Ok(None)
    }
}

impl clocks::wall_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        self.host_call()?;
        let (seconds, ms) = (self.wasi.wall_ms / 1000, self.wasi.wall_ms % 1000);
        let nanoseconds = u32::try_from(ms * NANOS_PER_MILLI)?;
        Ok(clocks::wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<clocks::wall_clock::Datetime> {
        self.host_call()?;
        Ok(clocks::wall_clock::Datetime { seconds: 0, nanoseconds: u32::try_from(NANOS_PER_MILLI)? })
    }
}

impl clocks::monotonic_clock::Host for CallState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.host_call()?;
        Ok(self.wasi.monotonic_ns)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.host_call()?;
        Ok(NANOS_PER_MILLI)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.sleep_until(when);
        self.opened(POLLABLE)
    }

    fn subscribe_duration(&mut self, span: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.wasi.sleep_until(self.wasi.monotonic_ns.saturating_add(span));
        self.opened(POLLABLE)
    }
}

impl random::random::Host for CallState {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl random::insecure::Host for CallState {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl random::insecure_seed::Host for CallState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        self.host_call()?;
        let mut seed = SplitMix64(!self.wasi.seed);
        Ok((seed.next(), seed.next()))
    }
}

impl io::error::Host for CallState {}

impl io::error::HostError for CallState {
    fn to_debug_string(&mut self, _: Resource<IoError>) -> wasmtime::Result<String> {
        self.host_call()?;
        Ok(String::new())
    }

    fn drop(&mut self, _: Resource<IoError>) -> wasmtime::Result<()> {
        self.closed()
    }
}

impl io::poll::Host for CallState {
    /// Everything is always ready, except an answer whose request is not complete yet.
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.host_call()?;
        let mut ready = Vec::with_capacity(pollables.len());
        for (number, pollable) in (0..).zip(&pollables) {
            if self.is_ready(pollable)? {
                ready.push(number);
            }
        }
        if ready.is_empty() { Err(http::unfinished()) } else { Ok(ready) }
    }
}

impl io::poll::HostPollable for CallState {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        self.host_call()?;
        self.is_ready(&pollable)
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.host_call()?;
        if self.is_ready(&pollable)? { Ok(()) } else { Err(http::unfinished()) }
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        if HttpState::owns(pollable.rep()) {
            self.http.close_pollable(pollable.rep())?;
        }
        self.closed()
    }
}

impl io::streams::Host for CallState {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<io::streams::StreamError> {
        match error {
            StreamError::Trap(error) => Err(error),
            // Nothing here fails halfway: a stream is either open or closed.
            StreamError::Closed | StreamError::LastOperationFailed(_) => Ok(io::streams::StreamError::Closed),
        }
    }
}

impl io::streams::HostInputStream for CallState {
    fn read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        self.host_call().map_err(trapped)?;
        if HttpState::owns(stream.rep()) {
            return self.http.read(stream.rep(), len.min(MAX_READ_BYTES));
        }
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>> {
        io::streams::HostInputStream::read(self, stream, len)
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        let skipped = io::streams::HostInputStream::read(self, stream, len)?;
        u64::try_from(skipped.len()).map_err(trapped)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64> {
        io::streams::HostInputStream::skip(self, stream, len)
    }

    fn subscribe(&mut self, _: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.opened(POLLABLE)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        if HttpState::owns(stream.rep()) {
            self.http.close_input(stream.rep())?;
        }
        self.closed()
    }
}

impl io::streams::HostOutputStream for CallState {
    fn check_write(&mut self, _: Resource<DynOutputStream>) -> StreamResult<u64> {
        self.host_call().map_err(trapped)?;
        Ok(MAX_WRITE_BYTES)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.printed(&stream, &bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.printed(&stream, &bytes)
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.printed(&stream, &[])
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        self.printed(&stream, &[])
    }

    fn subscribe(&mut self, _: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        self.opened(POLLABLE)
    }

    /// Zeroes are of no use in a log, so they are not written to it; a body gets them.
    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        let len = if HttpState::owns(stream.rep()) { len.min(MAX_WRITE_BYTES) } else { 0 };
        let zeroes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.printed(&stream, &zeroes)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()> {
        io::streams::HostOutputStream::write_zeroes(self, stream, len)
    }

    fn splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        input: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        let bytes = io::streams::HostInputStream::read(self, input, len)?;
        self.printed(&stream, &bytes)?;
        u64::try_from(bytes.len()).map_err(trapped)
    }

    fn blocking_splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        input: Resource<DynInputStream>,
        len: u64,
    ) -> StreamResult<u64> {
        io::streams::HostOutputStream::splice(self, stream, input, len)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        if HttpState::owns(stream.rep()) {
            self.http.close_output(stream.rep())?;
        }
        self.closed()
    }
}

fn trapped(error: impl Into<wasmtime::Error>) -> StreamError {
    StreamError::Trap(error.into())
}

/// The guest asked for too many random bytes at once.
#[derive(Debug)]
struct TooMuchRandom {
    len: u64,
}

impl fmt::Display for TooMuchRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it asked for {} random bytes at once; at most {MAX_RANDOM_BYTES} are given", self.len)
    }
}

impl std::error::Error for TooMuchRandom {}

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and the same on every platform. It is not a source of secrets: a
/// policy creates none, and a replay must get the same random numbers.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The handles of streams and timers are these numbers; they have no objects.
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const POLLABLE: u32 = 3;
/// How many bytes an output stream accepts at once.
const MAX_WRITE_BYTES: u64 = 64 << 10;
/// How many bytes an input stream returns at once.
const MAX_READ_BYTES: u64 = 64 << 10;
/// How many random bytes are returned at once.
const MAX_RANDOM_BYTES: usize = 64 << 10;
const NANOS_PER_MILLI: u64 = 1_000_000;

#[cfg(test)]
mod tests;
