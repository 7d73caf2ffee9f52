//! `wasi:http` for policies of the tier `recorded`.
//!
//! The interfaces are designed for streams and concurrent requests. A policy needs neither: it asks, and needs the
//! whole answer before it can go on. So an exchange is one step here. The guest writes a body, which is collected.
//! When the guest asks for the answer, the request is sent and the whole answer is read, while the guest's thread
//! waits; from then on the answer is complete. No intermediate state is visible, so a guest sees the same sequence of
//! events in a call and in its replay, whatever the network does, and the clock of the call stands still meanwhile.
//!
//! All data that a guest makes the host hold (headers, bodies) counts against one limit, because each piece is small.
//! The server interfaces (`incoming-request`, `response-outparam`) have types here, but a policy cannot get values of
//! them.

mod answer;
mod body;
mod fields;
mod request;
mod serving;

use http::HeaderMap;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::p2::{IoError, StreamError, StreamResult};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, HeaderError as Bad};
use wasmtime_wasi_http::p2::{HeaderError, HttpError};

use self::answer::{Reading, Watched};
use self::body::{Gathered, Written, lock};
use super::CallState;
use crate::http::HttpBreach;

/// The `wasi:http` state of one call.
#[derive(Default)]
pub(super) struct HttpState {
    table: ResourceTable,
    held_bytes: usize,
    pub(super) sent: u32,
}

/// The guest made the host hold too much data, or used an invalid handle.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it made the host hold more than {limit} bytes of requests and answers")]
pub(crate) struct TooMuchHeld {
    limit: usize,
}

/// Defines `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    type Own = HasSelf<CallState>;
    let options = LinkOptions::default();
    outgoing_handler::add_to_linker::<_, Own>(linker, |s| s)?;
    types::add_to_linker::<_, Own>(linker, &(&options).into(), |s| s)
}

impl HttpState {
    /// Stores a value and returns a handle of the guest's type for it.
    fn push<T: Send + 'static, R: 'static>(&mut self, value: T) -> Result<Resource<R>, ResourceTableError> {
        Ok(Resource::new_own(self.table.push(value)?.rep()))
    }

    fn get<T: 'static, R: 'static>(&mut self, handle: &Resource<R>) -> Result<&mut T, ResourceTableError> {
        self.table.get_mut(&Resource::new_borrow(handle.rep()))
    }

    fn take<T: 'static, R: 'static>(&mut self, handle: &Resource<R>) -> Result<T, ResourceTableError> {
        self.table.delete(Resource::new_own(handle.rep()))
    }

    fn hold(&mut self, bytes: usize) -> Result<(), TooMuchHeld> {
        self.held_bytes = self.held_bytes.saturating_add(bytes.saturating_add(ENTRY_BYTES));
        if self.held_bytes > MAX_HELD_BYTES {
            return Err(TooMuchHeld { limit: MAX_HELD_BYTES });
        }
        Ok(())
    }

    fn hold_map(&mut self, map: &HeaderMap) -> Result<(), TooMuchHeld> {
        let bytes = map.iter().map(|(name, value)| name.as_str().len() + value.len() + ENTRY_BYTES);
        self.hold(bytes.sum())
    }

    /// Whether a handle belongs to HTTP. Small numbers are the standard streams and timers.
    pub(super) fn owns(rep: u32) -> bool {
        rep >= FIRST
    }

    fn stream<T: Send + 'static, R: 'static>(&mut self, value: T) -> wasmtime::Result<Resource<R>> {
        let rep = self.table.push(value)?.rep();
        Ok(Resource::new_own(rep.checked_add(FIRST).ok_or(ResourceTableError::Full)?))
    }

    fn streamed<T: 'static>(&mut self, rep: u32) -> Result<&mut T, ResourceTableError> {
        self.table.get_mut(&Resource::new_borrow(rep.saturating_sub(FIRST)))
    }

    pub(super) fn read(&mut self, rep: u32, len: u64) -> StreamResult<Vec<u8>> {
        let Reading(rest) = self.streamed(rep).map_err(trapped)?;
        if rest.is_empty() {
            return Err(StreamError::Closed);
        }
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
        Ok(rest.split_to(len).into())
    }

    pub(super) fn write(&mut self, rep: u32, bytes: &[u8]) -> StreamResult<()> {
        self.hold(bytes.len()).map_err(trapped)?;
        let body: &mut Gathered = self.streamed(rep).map_err(trapped)?;
        let mut body = lock(body);
        if body.state != Written::Open {
            return Err(StreamError::Closed);
        }
        body.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn close_input(&mut self, rep: u32) -> Result<(), ResourceTableError> {
        self.table.delete(Resource::<Reading>::new_own(rep.saturating_sub(FIRST))).map(drop)
    }

    pub(super) fn close_output(&mut self, rep: u32) -> Result<(), ResourceTableError> {
        self.table.delete(Resource::<Gathered>::new_own(rep.saturating_sub(FIRST))).map(drop)
    }

    pub(super) fn close_pollable(&mut self, rep: u32) -> Result<(), ResourceTableError> {
        self.table.delete(Resource::<Watched>::new_own(rep.saturating_sub(FIRST))).map(drop)
    }

    /// Whether an answer is available, which it is once its request is complete.
    pub(super) fn ready(&mut self, rep: u32) -> Result<bool, ResourceTableError> {
        let Watched(body) = self.streamed(rep)?;
        Ok(body.as_ref().is_none_or(|body| lock(body).state != Written::Open))
    }
}

impl CallState {
    fn dropped<T: 'static, R: 'static>(&mut self, handle: &Resource<R>) -> wasmtime::Result<()> {
        self.host_call()?;
        self.http.take::<T, R>(handle)?;
        Ok(())
    }
}

impl types::Host for CallState {
    fn convert_error_code(&mut self, error: HttpError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(&mut self, error: HeaderError) -> wasmtime::Result<Bad> {
        error.downcast()
    }

    /// No stream here ends in an error: an answer is complete, or there is none.
    fn http_error_code(&mut self, _: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        self.host_call()?;
        Ok(None)
    }
}

/// The error for a guest that waits for an answer before its request is complete: the wait would never end.
pub(super) fn unfinished() -> wasmtime::Error {
    HttpBreach::Unfinished.into()
}

fn trapped(error: impl Into<wasmtime::Error>) -> StreamError {
    StreamError::Trap(error.into())
}

/// The first handle of HTTP streams and pollables; smaller numbers are the standard streams and timers.
const FIRST: u32 = 16;
/// How much one piece counts in addition to its bytes.
const ENTRY_BYTES: usize = 64;
/// The limit of what one call may make the host hold in total.
const MAX_HELD_BYTES: usize = 4 << 20;
