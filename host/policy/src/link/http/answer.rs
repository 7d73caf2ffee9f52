//! The answer: the request is sent when the guest first asks for the answer, which is complete from then on.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode};

use super::super::CallState;
use super::body::{Gathered, Written, lock};
use crate::http::{HttpAnswer, HttpFailure, HttpResponse};

pub(super) enum Future {
    /// The request is not sent yet.
    Waiting(Box<http::request::Parts>, Option<Gathered>),
    Answered(Result<HttpResponse, ErrorCode>),
    Taken,
}

struct Incoming {
    status: u16,
    headers: HeaderMap,
    body: Option<Bytes>,
}

struct IncomingBody(Option<Bytes>);

/// The rest of an answer's body.
pub(super) struct Reading(pub(super) Bytes);

struct Trailers {
    taken: bool,
}

/// A pollable of an answer, and the request body that it waits for.
pub(super) struct Watched(pub(super) Option<Gathered>);

impl CallState {
    /// Sends the request of the guest, unless it was sent already.
    fn answer(&mut self, future: &Resource<types::FutureIncomingResponse>) -> wasmtime::Result<bool> {
        let waiting: &mut Future = self.http.get(future)?;
        let Future::Waiting(_, body) = &*waiting else { return Ok(true) };
        let state = body.as_ref().map_or(Written::Finished, |body| lock(body).state);
        if state == Written::Open {
            return Ok(false);
        }
        let Future::Waiting(parts, body) = std::mem::replace(waiting, Future::Taken) else { return Ok(true) };
        let answered = if state == Written::Abandoned {
            Err(ErrorCode::HttpProtocolError)
        } else {
            let bytes = body.map(|body| std::mem::take(&mut lock(&body).bytes)).unwrap_or_default();
            self.sent(http::Request::from_parts(*parts, bytes.into()))?
        };
        *self.http.get(future)? = Future::Answered(answered);
        Ok(true)
    }

    fn sent(&mut self, request: http::Request<Bytes>) -> wasmtime::Result<Result<HttpResponse, ErrorCode>> {
        Ok(match self.exchange(&request)? {
            HttpAnswer::Response(response) => Ok(response),
            HttpAnswer::Breach(breach) => return Err(breach.into()),
            HttpAnswer::Failed { failure, detail } => Err(match failure {
                HttpFailure::Dns => {
                    ErrorCode::DnsError(types::DnsErrorPayload { rcode: Some(detail), info_code: None })
                }
                HttpFailure::Connect => ErrorCode::ConnectionRefused,
                HttpFailure::Tls => ErrorCode::TlsCertificateError,
                HttpFailure::Protocol => ErrorCode::HttpProtocolError,
            }),
        })
    }
}

impl types::HostFutureIncomingResponse for CallState {
    fn subscribe(
        &mut self,
        future: Resource<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.host_call()?;
        let body = match self.http.get(&future)? {
            Future::Waiting(_, body) => body.clone(),
            Future::Answered(_) | Future::Taken => None,
        };
        let pollable = self.http.stream(Watched(body))?;
        self.wasi.opened_elsewhere();
        Ok(pollable)
    }

    fn get(
        &mut self,
        future: Resource<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<types::IncomingResponse>, ErrorCode>, ()>>> {
        self.host_call()?;
        if !self.answer(&future)? {
            return Ok(None);
        }
        let answered: &mut Future = self.http.get(&future)?;
        let Future::Answered(answer) = std::mem::replace(answered, Future::Taken) else { return Ok(Some(Err(()))) };
        Ok(Some(Ok(match answer {
            Ok(HttpResponse { status, headers, body }) => {
                let mut map = HeaderMap::new();
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
                        map.append(name, value);
                    }
                }
                Ok(self.http.push(Incoming { status, headers: map, body: Some(body.bytes()) })?)
            }
            Err(code) => Err(code),
        })))
    }

    fn drop(&mut self, future: Resource<types::FutureIncomingResponse>) -> wasmtime::Result<()> {
        self.dropped::<Future, _>(&future)
    }
}

impl types::HostIncomingResponse for CallState {
    fn status(&mut self, response: Resource<types::IncomingResponse>) -> wasmtime::Result<u16> {
        self.host_call()?;
        let response: &mut Incoming = self.http.get(&response)?;
        Ok(response.status)
    }

    fn headers(&mut self, response: Resource<types::IncomingResponse>) -> wasmtime::Result<Resource<types::Fields>> {
        self.host_call()?;
        let response: &mut Incoming = self.http.get(&response)?;
        let map = response.headers.clone();
        self.fields(map, true)
    }

    fn consume(
        &mut self,
        response: Resource<types::IncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<types::IncomingBody>, ()>> {
        self.host_call()?;
        let response: &mut Incoming = self.http.get(&response)?;
        Ok(match response.body.take() {
            Some(body) => Ok(self.http.push(IncomingBody(Some(body)))?),
            None => Err(()),
        })
    }

    fn drop(&mut self, response: Resource<types::IncomingResponse>) -> wasmtime::Result<()> {
        self.dropped::<Incoming, _>(&response)
    }
}

impl types::HostIncomingBody for CallState {
    fn stream(
        &mut self,
        body: Resource<types::IncomingBody>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        self.host_call()?;
        let IncomingBody(body) = self.http.get(&body)?;
        let Some(bytes) = body.take() else { return Ok(Err(())) };
        let stream = self.http.stream(Reading(bytes))?;
        self.wasi.opened_elsewhere();
        Ok(Ok(stream))
    }

    fn finish(&mut self, body: Resource<types::IncomingBody>) -> wasmtime::Result<Resource<types::FutureTrailers>> {
        self.dropped::<IncomingBody, _>(&body)?;
        Ok(self.http.push(Trailers { taken: false })?)
    }

    fn drop(&mut self, body: Resource<types::IncomingBody>) -> wasmtime::Result<()> {
        self.dropped::<IncomingBody, _>(&body)
    }
}

impl types::HostFutureTrailers for CallState {
    fn subscribe(&mut self, _: Resource<types::FutureTrailers>) -> wasmtime::Result<Resource<DynPollable>> {
        self.host_call()?;
        let pollable = self.http.stream(Watched(None))?;
        self.wasi.opened_elsewhere();
        Ok(pollable)
    }

    fn get(
        &mut self,
        trailers: Resource<types::FutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Resource<types::Fields>>, ErrorCode>, ()>>> {
        self.host_call()?;
        let trailers: &mut Trailers = self.http.get(&trailers)?;
        Ok(Some(if std::mem::replace(&mut trailers.taken, true) { Err(()) } else { Ok(Ok(None)) }))
    }

    fn drop(&mut self, trailers: Resource<types::FutureTrailers>) -> wasmtime::Result<()> {
        self.dropped::<Trailers, _>(&trailers)
    }
}
