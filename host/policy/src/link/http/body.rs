//! The body of a request, which is collected while the guest writes it.

use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::Resource;
use wasmtime_wasi::p2::DynOutputStream;
use wasmtime_wasi_http::p2::bindings::http::types;
use wasmtime_wasi_http::p2::{HttpError, HttpResult};

use super::super::CallState;
use super::fields::Fields;

/// A body that the guest writes.
pub(super) type Gathered = Arc<Mutex<Body>>;

#[derive(Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) state: Written,
    taken: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Written {
    #[default]
    Open,
    Finished,
    /// The guest dropped the body, so the request must not be sent.
    Abandoned,
}

impl types::HostOutgoingBody for CallState {
    fn write(
        &mut self,
        body: Resource<types::OutgoingBody>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        self.host_call()?;
        let body: &mut Gathered = self.http.get(&body)?;
        if std::mem::replace(&mut lock(body).taken, true) {
            return Ok(Err(()));
        }
        let body = Arc::clone(body);
        let stream = self.http.stream(body)?;
        self.wasi.opened_elsewhere();
        Ok(Ok(stream))
    }

    /// Trailers are not sent: services do not read them from a client.
    fn finish(
        &mut self,
        body: Resource<types::OutgoingBody>,
        trailers: Option<Resource<types::Fields>>,
    ) -> HttpResult<()> {
        self.host_call().map_err(HttpError::trap)?;
        if let Some(trailers) = trailers {
            self.http.take::<Fields, _>(&trailers)?;
        }
        let body: Gathered = self.http.take(&body)?;
        lock(&body).state = Written::Finished;
        Ok(())
    }

    fn drop(&mut self, body: Resource<types::OutgoingBody>) -> wasmtime::Result<()> {
        self.host_call()?;
        let body: Gathered = self.http.take(&body)?;
        lock(&body).state = Written::Abandoned;
        Ok(())
    }
}

pub(super) fn lock(body: &Gathered) -> std::sync::MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}
