//! Sends one request of a policy through the shared client ([`landfall_net`]), and converts the outcome into a
//! recorded answer.
//!
//! No connection is kept for the next request: the times of one device would then depend on the calls of another, and
//! a server that has disconnected would fail the wrong call. TLS sessions are resumed. The caller bounds the waiting
//! time.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use landfall_net::client::{Answer, ClientError, ClientLimits};
use landfall_net::outside::{Outside, OutsideError, Reach};
use landfall_net::tls::{self, RootsError};
use rustls::ClientConfig;
use rustls::client::Resumption;

use super::exchange::{self, HttpAnswer, HttpBody, HttpBreach, HttpFailure, HttpResponse};
use super::{Allowed, HttpError, millis};

pub(super) struct Client {
    tls: Arc<ClientConfig>,
}

impl Client {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, HttpError> {
        let roots = match ca_file {
            Some(path) => tls::roots_of_file(path).map_err(|error| HttpError::CaFile {
                path: path.to_owned(),
                reason: match error {
                    RootsError::Empty => "there is no certificate in it".to_owned(),
                    other => other.to_string(),
                },
            })?,
            None => tls::roots_of_platform().map_err(|error| HttpError::Roots(error.to_string()))?,
        };
        let mut tls = tls::config(roots, None).map_err(|error| HttpError::Roots(error.to_string()))?;
        tls.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self { tls: Arc::new(tls) })
    }

    pub(super) async fn send(&self, request: &Request<Bytes>, allowed: Allowed) -> HttpAnswer {
        let outside = Outside {
            tls: Some(Arc::clone(&self.tls)),
            reach: if allowed.private { Reach::Anywhere } else { Reach::Public },
            limits: ClientLimits {
                connect: allowed.wait,
                silence: allowed.wait,
                head_bytes: allowed.header_bytes,
                answer_bytes: allowed.bytes_in,
            },
        };
        match outside.exchange(request.clone()).await {
            Ok(Answer { status, headers, bytes }) => HttpAnswer::Response(HttpResponse {
                status: status.as_u16(),
                headers: exchange::kept(&headers),
                body: HttpBody::of(&bytes),
            }),
            Err(OutsideError::Private { host, address }) => {
                HttpAnswer::Breach(HttpBreach::PrivateAddress { host, address: address.to_string() })
            }
            Err(OutsideError::Name { host, source }) => failed(HttpFailure::Dns, format!("{host}: {source}")),
            Err(OutsideError::NoAddress { host }) => failed(HttpFailure::Dns, format!("{host} has no address")),
            Err(OutsideError::NoHost) => failed(HttpFailure::Dns, "the address has no host"),
            Err(OutsideError::Client(error)) => without_answer(error, allowed),
        }
    }
}

fn without_answer(error: ClientError, allowed: Allowed) -> HttpAnswer {
    if error.is_head_too_large() {
        return HttpAnswer::Breach(HttpBreach::Headers { limit: allowed.header_bytes });
    }
    match error {
        ClientError::Connect { address, source } => failed(HttpFailure::Connect, format!("{address}: {source}")),
        ClientError::Tls { source, .. } => failed(HttpFailure::Tls, source),
        error @ ClientError::ServerName(_) => failed(HttpFailure::Tls, error),
        ClientError::TimedOut { .. } => HttpAnswer::Breach(HttpBreach::Time { limit_ms: millis(allowed.wait_limit) }),
        ClientError::TooLarge(_) => HttpAnswer::Breach(HttpBreach::BytesIn { limit: allowed.bytes_in_limit }),
        ClientError::Broken(error) => failed(HttpFailure::Protocol, error),
        ClientError::Body(error) => failed(HttpFailure::Protocol, error),
        error @ (ClientError::Request(_) | ClientError::Json { .. }) => failed(HttpFailure::Protocol, error),
    }
}

fn failed(failure: HttpFailure, detail: impl ToString) -> HttpAnswer {
    HttpAnswer::Failed { failure, detail: detail.to_string() }
}

/// The maximum number of TLS sessions that are kept for resumption.
const SESSIONS: usize = 256;
