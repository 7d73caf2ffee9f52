//! Answers to bytes that are not a valid HTTP request: an error like every other, with a tracking id.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::super::error::DeviceError;
use super::super::exchange::Exchange;
use super::origin::HttpOrigin;
use super::respond;
use crate::listener::{BadHead, BadHeads};
use crate::provisioning::Provisioning;

/// Answers invalid request heads in the format of this API.
pub struct Heads(Arc<Provisioning>);

impl Heads {
    /// Records the answers for the operators of this service.
    pub fn new(service: Arc<Provisioning>) -> Self {
        Self(service)
    }
}

impl BadHeads for Heads {
    fn answer(&self, status: StatusCode, peer: SocketAddr) -> BadHead {
        let exchange = Exchange::begin(&self.0, HttpOrigin::from_peer(peer));
        let answer = exchange.error(of_head(status));
        let body = answer.body.clone();
        let response = respond(&self.0, answer);
        let bytes = head_and_body(response.status(), response.headers(), &body);
        let tracking_id = exchange.tracking_id();
        let explain = Box::new(move |why: &str| {
            let detail = format!("what came is not the head of an HTTP/1.1 request: {why}");
            exchange.keep(status.as_u16(), &detail);
        });
        BadHead { tracking_id, bytes, explain }
    }
}

/// The error for an invalid request head; the status says what is invalid.
fn of_head(status: StatusCode) -> DeviceError {
    let message = match status {
        StatusCode::URI_TOO_LONG => "The path is too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "The head of the request is too large",
        _ => "This is not an HTTP/1.1 request",
    };
    DeviceError::NotSpoken { status: status.as_u16(), message }
}

/// A complete answer as bytes, for a peer that may not be an HTTP client; the connection is closed after it.
fn head_and_body(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).bytes());
    bytes.extend(body);
    bytes
}
