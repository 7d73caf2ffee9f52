//! Server types of the interface. They must exist for the interface to be complete, but a policy cannot get a value of
//! them.

use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};

use super::super::CallState;

/// A server type of which a policy cannot get a value.
#[derive(Debug, thiserror::Error)]
#[error("a policy serves no requests")]
struct NoServer;

impl types::HostIncomingRequest for CallState {
    fn method(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<Method> {
        Err(NoServer.into())
    }

    fn path_with_query(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<Option<String>> {
        Err(NoServer.into())
    }

    fn scheme(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Err(NoServer.into())
    }

    fn authority(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<Option<String>> {
        Err(NoServer.into())
    }

    fn headers(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<Resource<types::Fields>> {
        Err(NoServer.into())
    }

    fn consume(
        &mut self,
        _: Resource<types::IncomingRequest>,
    ) -> wasmtime::Result<Result<Resource<types::IncomingBody>, ()>> {
        Err(NoServer.into())
    }

    fn drop(&mut self, _: Resource<types::IncomingRequest>) -> wasmtime::Result<()> {
        Err(NoServer.into())
    }
}

/// A guest can create one, but cannot use it.
impl types::HostOutgoingResponse for CallState {
    fn new(&mut self, _: Resource<types::Fields>) -> wasmtime::Result<Resource<types::OutgoingResponse>> {
        Err(NoServer.into())
    }

    fn status_code(&mut self, _: Resource<types::OutgoingResponse>) -> wasmtime::Result<u16> {
        Err(NoServer.into())
    }

    fn set_status_code(&mut self, _: Resource<types::OutgoingResponse>, _: u16) -> wasmtime::Result<Result<(), ()>> {
        Err(NoServer.into())
    }

    fn headers(&mut self, _: Resource<types::OutgoingResponse>) -> wasmtime::Result<Resource<types::Fields>> {
        Err(NoServer.into())
    }

    fn body(
        &mut self,
        _: Resource<types::OutgoingResponse>,
    ) -> wasmtime::Result<Result<Resource<types::OutgoingBody>, ()>> {
        Err(NoServer.into())
    }

    fn drop(&mut self, _: Resource<types::OutgoingResponse>) -> wasmtime::Result<()> {
        Err(NoServer.into())
    }
}

impl types::HostResponseOutparam for CallState {
    fn set(
        &mut self,
        _: Resource<types::ResponseOutparam>,
        _: Result<Resource<types::OutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        Err(NoServer.into())
    }

    fn send_informational(
        &mut self,
        _: Resource<types::ResponseOutparam>,
        _: u16,
        _: Resource<types::Fields>,
    ) -> HttpResult<()> {
        Err(HttpError::trap(NoServer))
    }

    fn drop(&mut self, _: Resource<types::ResponseOutparam>) -> wasmtime::Result<()> {
        Err(NoServer.into())
    }
}
