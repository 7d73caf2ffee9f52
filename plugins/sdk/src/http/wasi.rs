//! `wasi:http`, as far as a policy needs it. What nothing here calls is not imported.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all)]

use self::bindings::wasi::http::outgoing_handler;
use self::bindings::wasi::http::types::{Fields, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme};
use self::bindings::wasi::io::streams::StreamError;
use super::{Error, Request, Response};

mod bindings {
    wit_bindgen::generate!({
        path: "wit/http",
        world: "landfall:sdk-http/http",
        disable_run_ctors_once_workaround: true,
        generate_all,
    });
}

pub(super) fn send(request: &Request) -> Result<Response, Error> {
    let wrong = |what: &str| Error::Request(format!("{what} of the request to {} is not acceptable", request.url));
    let rest = request.url.strip_prefix("https://").ok_or_else(|| wrong("the scheme"))?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes().get(at) == Some(&b'/') => (&rest[..at], rest[at..].to_owned()),
        Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
        None => (rest, "/".to_owned()),
    };
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let outgoing = OutgoingRequest::new(Fields::from_list(&headers).map_err(|_| wrong("a header"))?);
    outgoing.set_method(&method(&request.method)).map_err(|()| wrong("the method"))?;
    outgoing.set_scheme(Some(&Scheme::Https)).map_err(|()| wrong("the scheme"))?;
    outgoing.set_authority(Some(authority)).map_err(|()| wrong("the host"))?;
    outgoing.set_path_with_query(Some(&path)).map_err(|()| wrong("the path"))?;
    let body = outgoing.body().map_err(|()| wrong("the body"))?;

    let network = |what: &str| Error::Network(format!("{}: {what}", request.url));
    let future = outgoing_handler::handle(outgoing, None).map_err(|code| network(&format!("{code:?}")))?;
    let stream = body.write().map_err(|()| wrong("the body"))?;
    // The specification takes 4 KiB at once.
    for part in request.body.chunks(4096) {
        stream.blocking_write_and_flush(part).map_err(|_| network("the body was not taken"))?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| network(&format!("{code:?}")))?;

    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(network(&format!("{code:?}"))),
        Some(Err(())) | None => return Err(network("no answer")),
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let incoming = response.consume().map_err(|()| network("the answer has no body"))?;
    Ok(Response {
        status: response.status(),
        headers,
        body: read(&incoming).ok_or_else(|| network("the answer broke off"))?,
    })
}

fn read(body: &IncomingBody) -> Option<Vec<u8>> {
    let stream = body.stream().ok()?;
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(part) => all.extend_from_slice(&part),
            Err(StreamError::Closed) => return Some(all),
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "HEAD" => Method::Head,
        other => Method::Other(other.to_owned()),
    }
}
