//! Requests of a guest: creation, options, and sending.

use std::sync::Arc;

use http::HeaderMap;
use http::uri::{Authority, PathAndQuery};
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, ErrorCode, Method, Scheme};
use wasmtime_wasi_http::p2::{HttpError, HttpResult};

use super::super::CallState;
use super::answer::Future;
use super::body::Gathered;
use super::fields::Fields;

struct Outgoing {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: HeaderMap,
    body: Option<Gathered>,
}

#[derive(Clone, Copy, Default)]
struct Options {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
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

impl CallState {
    fn outgoing(&mut self, request: &Resource<types::OutgoingRequest>) -> wasmtime::Result<&mut Outgoing> {
        self.host_call()?;
        Ok(self.http.get(request)?)
    }

    fn options(&mut self, options: &Resource<types::RequestOptions>) -> wasmtime::Result<&mut Options> {
        self.host_call()?;
        Ok(self.http.get(options)?)
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

/// Options have no effect: the host's own limits are shorter than any that a guest would set, and act the same way in
/// a replay.
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
