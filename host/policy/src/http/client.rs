//! Sends one request on a connection of its own and reads all of its answer.
//!
//! A connection is not kept for the next request: which device's call opened it would then show in another's times, and
//! a server that has gone would fail the wrong call. Whoever waits here is bounded by the caller.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::exchange::{self, HttpAnswer, HttpBody, HttpBreach, HttpFailure, HttpResponse};
use super::origin::{HTTPS, bare};
use super::{Allowed, HttpError};

pub(super) struct Client {
    tls: TlsConnector,
}

impl Client {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, HttpError> {
        let roots = match ca_file {
            Some(path) => roots_of_file(path)?,
            None => roots_of_platform()?,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError::Roots(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    pub(super) async fn send(&self, request: &Request<Bytes>, allowed: Allowed) -> HttpAnswer {
        match self.exchange(request, allowed).await {
            Ok(response) => HttpAnswer::Response(response),
            Err(answer) => answer,
        }
    }

    async fn exchange(&self, request: &Request<Bytes>, allowed: Allowed) -> Result<HttpResponse, HttpAnswer> {
        let host = request.uri().host().unwrap_or_default();
        let stream = connect(host, request.uri().port_u16().unwrap_or(HTTPS), allowed.private).await?;
        let name = ServerName::try_from(bare(host).to_owned()).map_err(|error| failed(HttpFailure::Tls, error))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| failed(HttpFailure::Tls, error))?;

        let mut client = http1::Builder::new();
        client.max_buf_size(allowed.header_bytes).max_headers(MAX_HEADERS);
        let broke = |error: hyper::Error| {
            if error.is_parse_too_large() {
                return HttpAnswer::Breach(HttpBreach::Headers { limit: allowed.header_bytes });
            }
            failed(HttpFailure::Protocol, error)
        };
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broke)?;
        let sent = sender.send_request(on_the_wire(request).map_err(|error| failed(HttpFailure::Protocol, error))?);
        let answered = async {
            let response = sent.await.map_err(broke)?;
            let (status, headers) = (response.status().as_u16(), exchange::kept(response.headers()));
            let mut body = response.into_body();
            let mut read = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
                if read.len().saturating_add(data.len()) > allowed.bytes_in {
                    return Err(HttpAnswer::Breach(HttpBreach::BytesIn { limit: allowed.bytes_in_limit }));
                }
                read.extend_from_slice(&data);
            }
            Ok(HttpResponse { status, headers, body: HttpBody::of(&read) })
        };
        // Both in one task, so that nothing of an exchange outlives it.
        let (mut connection, mut answered) = (std::pin::pin!(connection), std::pin::pin!(answered));
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            _ = &mut connection => answered.await,
        }
    }
}

/// Resolves a name and connects to the first of its addresses that may be connected to and answers.
async fn connect(host: &str, port: u16, private: bool) -> Result<TcpStream, HttpAnswer> {
    let addresses: Vec<SocketAddr> = match bare(host).parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let found = tokio::net::lookup_host((host, port)).await;
            found.map_err(|error| failed(HttpFailure::Dns, format!("{host}: {error}")))?.collect()
        }
    };
    let mut last = failed(HttpFailure::Dns, format!("{host} has no address"));
    let mut refused = None;
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        if !private && !is_public(address.ip()) {
            refused = Some(address.ip());
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = failed(HttpFailure::Connect, format!("{address}: {error}")),
        }
    }
    match refused {
        Some(address) => {
            Err(HttpAnswer::Breach(HttpBreach::PrivateAddress { host: host.to_owned(), address: address.to_string() }))
        }
        None => Err(last),
    }
}

/// The request as HTTP/1.1 has it: the path alone, and the host in a header.
fn on_the_wire(request: &Request<Bytes>) -> Result<Request<Full<Bytes>>, http::Error> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut wire =
        Request::builder().method(request.method()).uri(Uri::from(path)).body(Full::new(request.body().clone()))?;
    let host = request.uri().authority().map_or("", |authority| authority.as_str());
    wire.headers_mut().insert(HOST, HeaderValue::from_str(host)?);
    for (name, value) in request.headers() {
        wire.headers_mut().append(name, value.clone());
    }
    Ok(wire)
}

fn failed(failure: HttpFailure, detail: impl ToString) -> HttpAnswer {
    HttpAnswer::Failed { failure, detail: detail.to_string() }
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, HttpError> {
    let wrong = |reason: String| HttpError::CaFile { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is no certificate in it".into())) } else { Ok(roots) }
}

/// One certificate that cannot be read is no reason to have none.
fn roots_of_platform() -> Result<RootCertStore, HttpError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(HttpError::Roots(why));
    }
    Ok(roots)
}

/// Header lines of an answer.
const MAX_HEADERS: usize = 100;
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;
