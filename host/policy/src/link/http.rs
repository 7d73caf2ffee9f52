//! `wasi:http` for policies of the tier `recorded`.
//!
//! The interfaces are made for streams and for many requests at once. A policy has neither: it asks, and it needs all of
//! the answer before it can go on. So an exchange is one step here. The guest writes a body, which is gathered; when it
//! looks at the answer, the request is sent and all of the answer is read, while its thread waits; from then on everything
//! is there. Nothing is ever half ready, so a guest sees the same sequence of events in a call and in its replay,
//! whatever the network did, and the clock of the call stands still meanwhile.
//!
//! What a guest makes the host hold (headers, bodies) counts against one sum, because each piece by itself is small.
//! Servers' interfaces (`incoming-request`, `response-outparam`) have types here and no way to come by a value.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, HeaderError as Bad, Method, Scheme};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult, HttpError, HttpResult};

use super::CallState;
use crate::http::{HttpAnswer, HttpBreach, HttpFailure, HttpResponse};

/// What one call holds of `wasi:http`.
#[derive(Default)]
pub(super) struct HttpState {
    table: ResourceTable,
    held_bytes: usize,
    pub(super) sent: u32,
}

/// Headers or trailers.
#[derive(Clone, Default)]
struct Fields {
    map: HeaderMap,
    fixed: bool,
}

struct Outgoing {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: HeaderMap,
    body: Option<Gathered>,
}

/// A body that the guest writes.
type Gathered = Arc<Mutex<Body>>;

#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    state: Written,
    taken: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Written {
    #[default]
    Open,
    Finished,
    /// The guest dropped it, so the request is not to be sent.
    Abandoned,
}

enum Future {
    /// Not sent yet.
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
struct Reading(Bytes);
struct Trailers {
    taken: bool,
}
#[derive(Clone, Copy, Default)]
struct Options {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

/// The guest made the host hold too much, or used a handle that it does not have.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it made the host hold more than {limit} bytes of requests and answers")]
pub(crate) struct TooMuchHeld {
    limit: usize,
}

/// Types of a server, of which a policy can have no value.
#[derive(Debug, thiserror::Error)]
#[error("a policy serves no requests")]
struct NoServer;

/// Defines `wasi:http/types` and `wasi:http/outgoing-handler`.
pub(super) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    type Own = HasSelf<CallState>;
    let options = LinkOptions::default();
    outgoing_handler::add_to_linker::<_, Own>(linker, |s| s)?;
    types::add_to_linker::<_, Own>(linker, &(&options).into(), |s| s)
}

impl HttpState {
    /// Holds a value under a handle of the guest's type for it.
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

    /// Whether a stream or a pollable is one of these. Small numbers are those of the standard streams and of timers.
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

    /// An answer can be had when its request is whole.
    pub(super) fn ready(&mut self, rep: u32) -> Result<bool, ResourceTableError> {
        let Watched(body) = self.streamed(rep)?;
        Ok(body.as_ref().is_none_or(|body| lock(body).state != Written::Open))
    }
}

/// A pollable of an answer: the body that it waits for.
struct Watched(Option<Gathered>);

impl CallState {
    /// Sends what the guest has asked, unless it was sent before.
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

    fn fields(&mut self, map: HeaderMap, fixed: bool) -> wasmtime::Result<Resource<types::Fields>> {
        self.http.hold_map(&map)?;
        Ok(self.http.push(Fields { map, fixed })?)
    }

    fn change(&mut self, fields: &Resource<types::Fields>) -> HeaderResult<&mut HeaderMap> {
        let fields: &mut Fields = self.http.get(fields)?;
        if fields.fixed { Err(Bad::Immutable.into()) } else { Ok(&mut fields.map) }
    }

    fn outgoing(&mut self, request: &Resource<types::OutgoingRequest>) -> wasmtime::Result<&mut Outgoing> {
        self.host_call()?;
        Ok(self.http.get(request)?)
    }

    fn options(&mut self, options: &Resource<types::RequestOptions>) -> wasmtime::Result<&mut Options> {
        self.host_call()?;
        Ok(self.http.get(options)?)
    }

    fn dropped<T: 'static, R: 'static>(&mut self, handle: &Resource<R>) -> wasmtime::Result<()> {
        self.host_call()?;
        self.http.take::<T, R>(handle)?;
        Ok(())
    }
}

impl outgoing_handler::Host for CallState {
    fn handle(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        _: Option<Resource<types::RequestOptions>>,
    ) -> HttpResult<Resource<types::FutureIncomingResponse>> {
        self.host_call().map_err(HttpError::trap)?;
        let Outgoing { method, scheme, authority, path, headers, body } = self.http.take(&request)?;
        let method = match method_of(&method) {
            Some(method) if method != http::Method::CONNECT => method,
            _ => return Err(ErrorCode::HttpRequestMethodInvalid.into()),
        };
        let scheme = match &scheme {
            Some(Scheme::Http) => "http",
            Some(Scheme::Https) | None => "https",
            Some(Scheme::Other(other)) => other.as_str(),
        };
        let uri = http::Uri::builder().scheme(scheme).authority(authority.unwrap_or_default());
        let uri = uri.path_and_query(path.as_deref().unwrap_or("/")).build();
        let mut request = http::Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        *request.headers_mut() = headers;
        let (parts, ()) = request.into_parts();
        Ok(self.http.push(Future::Waiting(Box::new(parts), body))?)
    }
}

impl types::Host for CallState {
    fn convert_error_code(&mut self, error: HttpError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn convert_header_error(&mut self, error: HeaderError) -> wasmtime::Result<Bad> {
        error.downcast()
    }

    /// No stream here ends in an error: an answer is whole, or there is none.
    fn http_error_code(&mut self, _: Resource<IoError>) -> wasmtime::Result<Option<ErrorCode>> {
        self.host_call()?;
        Ok(None)
    }
}

impl types::HostFields for CallState {
    fn new(&mut self) -> wasmtime::Result<Resource<types::Fields>> {
        self.host_call()?;
        self.fields(HeaderMap::new(), false)
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<types::Fields>> {
        self.host_call().map_err(HeaderError::trap)?;
        let mut map = HeaderMap::new();
        for (name, value) in entries {
            let value = HeaderValue::try_from(value)?;
            map.try_append(named(&name)?, value).map_err(HeaderError::trap)?;
        }
        self.fields(map, false).map_err(HeaderError::trap)
    }

    fn get(&mut self, fields: Resource<types::Fields>, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => fields.map.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect(),
            Err(_) => Vec::new(),
        })
    }

    fn has(&mut self, fields: Resource<types::Fields>, name: String) -> wasmtime::Result<bool> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| fields.map.contains_key(name)))
    }

    fn set(&mut self, fields: Resource<types::Fields>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        let bytes = values.iter().map(|value| value.len() + ENTRY_BYTES).sum();
        self.http.hold(bytes).map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        let name = named(&name)?;
        let values = values.into_iter().map(HeaderValue::try_from).collect::<Result<Vec<_>, _>>()?;
        map.remove(&name);
        for value in values {
            map.try_append(name.clone(), value).map_err(HeaderError::trap)?;
        }
        Ok(())
    }

    fn delete(&mut self, fields: Resource<types::Fields>, name: String) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        map.remove(named(&name)?);
        Ok(())
    }

    fn append(&mut self, fields: Resource<types::Fields>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.host_call().map_err(HeaderError::trap)?;
        self.http.hold(name.len() + value.len()).map_err(HeaderError::trap)?;
        let map = self.change(&fields)?;
        let value = HeaderValue::try_from(value)?;
        map.try_append(named(&name)?, value).map_err(HeaderError::trap)?;
        Ok(())
    }

    fn entries(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        Ok(fields.map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect())
    }

    fn clone(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<Resource<types::Fields>> {
        self.host_call()?;
        let fields: &mut Fields = self.http.get(&fields)?;
        let map = fields.map.clone();
        self.fields(map, false)
    }

    fn drop(&mut self, fields: Resource<types::Fields>) -> wasmtime::Result<()> {
        self.dropped::<Fields, _>(&fields)
    }
}

impl types::HostOutgoingRequest for CallState {
    fn new(&mut self, headers: Resource<types::Fields>) -> wasmtime::Result<Resource<types::OutgoingRequest>> {
        self.host_call()?;
        let Fields { map, .. } = self.http.take(&headers)?;
        let request =
            Outgoing { method: Method::Get, scheme: None, authority: None, path: None, headers: map, body: None };
        Ok(self.http.push(request)?)
    }

    fn body(
        &mut self,
        request: Resource<types::OutgoingRequest>,
    ) -> wasmtime::Result<Result<Resource<types::OutgoingBody>, ()>> {
        let request = self.outgoing(&request)?;
        if request.body.is_some() {
            return Ok(Err(()));
        }
        let body = Gathered::default();
        request.body = Some(Arc::clone(&body));
        Ok(Ok(self.http.push(body)?))
    }

    fn method(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<Method> {
        Ok(self.outgoing(&request)?.method.clone())
    }

    fn set_method(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        method: Method,
    ) -> wasmtime::Result<Result<(), ()>> {
        if method_of(&method).is_none() {
            return Ok(Err(()));
        }
        self.outgoing(&request)?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.outgoing(&request)?.path.clone())
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        path: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if path.as_deref().is_some_and(|path| path.parse::<PathAndQuery>().is_err()) {
            return Ok(Err(()));
        }
        self.http.hold(path.as_deref().map_or(0, str::len))?;
        self.outgoing(&request)?.path = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.outgoing(&request)?.scheme.clone())
    }

    fn set_scheme(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        scheme: Option<Scheme>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if matches!(&scheme, Some(Scheme::Other(other)) if other.parse::<http::uri::Scheme>().is_err()) {
            return Ok(Err(()));
        }
        self.outgoing(&request)?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<Option<String>> {
        Ok(self.outgoing(&request)?.authority.clone())
    }

    fn set_authority(
        &mut self,
        request: Resource<types::OutgoingRequest>,
        authority: Option<String>,
    ) -> wasmtime::Result<Result<(), ()>> {
        if authority.as_deref().is_some_and(|authority| authority.parse::<Authority>().is_err()) {
            return Ok(Err(()));
        }
        self.outgoing(&request)?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<Resource<types::Fields>> {
        let map = self.outgoing(&request)?.headers.clone();
        self.fields(map, true)
    }

    fn drop(&mut self, request: Resource<types::OutgoingRequest>) -> wasmtime::Result<()> {
        self.dropped::<Outgoing, _>(&request)
    }
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

    /// Trailers are not sent: no service reads them from a client.
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

/// The host's own limits are shorter than any that a guest would set, and end the same way in a replay.
impl types::HostRequestOptions for CallState {
    fn new(&mut self) -> wasmtime::Result<Resource<types::RequestOptions>> {
        self.host_call()?;
        Ok(self.http.push(Options::default())?)
    }

    fn connect_timeout(&mut self, options: Resource<types::RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(&options)?.connect)
    }

    fn set_connect_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.options(&options)?.connect = time;
        Ok(Ok(()))
    }

    fn first_byte_timeout(&mut self, options: Resource<types::RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(&options)?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.options(&options)?.first_byte = time;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(&mut self, options: Resource<types::RequestOptions>) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(&options)?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        options: Resource<types::RequestOptions>,
        time: Option<u64>,
    ) -> wasmtime::Result<Result<(), ()>> {
        self.options(&options)?.between_bytes = time;
        Ok(Ok(()))
    }

    fn drop(&mut self, options: Resource<types::RequestOptions>) -> wasmtime::Result<()> {
        self.dropped::<Options, _>(&options)
    }
}

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

/// A guest can make one and do nothing with it.
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

/// Waiting for an answer while its request is not whole never ends.
pub(super) fn unfinished() -> wasmtime::Error {
    HttpBreach::Unfinished.into()
}

fn named(name: &str) -> HeaderResult<HeaderName> {
    let name = HeaderName::from_bytes(name.as_bytes())?;
    // Content-Length follows from the body; the others are the connection's.
    if name == http::header::CONTENT_LENGTH || !wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(&name) {
        Ok(name)
    } else {
        Err(Bad::Forbidden.into())
    }
}

fn method_of(method: &Method) -> Option<http::Method> {
    Some(match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Delete => http::Method::DELETE,
        Method::Connect => http::Method::CONNECT,
        Method::Options => http::Method::OPTIONS,
        Method::Trace => http::Method::TRACE,
        Method::Patch => http::Method::PATCH,
        Method::Other(other) => http::Method::from_bytes(other.as_bytes()).ok()?,
    })
}

fn lock(body: &Gathered) -> std::sync::MutexGuard<'_, Body> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trapped(error: impl Into<wasmtime::Error>) -> StreamError {
    StreamError::Trap(error.into())
}

/// Streams and pollables from here on are these; smaller numbers are the standard streams and timers.
const FIRST: u32 = 16;
/// What one piece counts beside its bytes.
const ENTRY_BYTES: usize = 64;
/// What one call may make the host hold in all.
const MAX_HELD_BYTES: usize = 4 << 20;
