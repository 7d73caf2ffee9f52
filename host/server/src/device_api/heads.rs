//! What is answered to bytes that are no HTTP request: an error like every other, with a tracking id.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

use super::call::{Asked, Call};
use super::error::DeviceError;
use crate::listener::{BadHead, BadHeads};
use crate::provisioning::Provisioning;

/// Answers bad heads as this API does.
pub struct Heads(Arc<Provisioning>);

impl Heads {
    /// With the service whose operators are told.
    pub fn new(service: Arc<Provisioning>) -> Self {
        Self(service)
    }
}

impl BadHeads for Heads {
    fn answer(&self, status: StatusCode, peer: SocketAddr) -> BadHead {
        let call = Call::begin(&self.0, Asked::from_peer(peer));
        let bytes = call.head_and_body(DeviceError::BadHead(status));
        let tracking_id = call.tracking_id();
        let explain = Box::new(move |why: &str| {
            let detail = format!("what came is not the head of an HTTP/1.1 request: {why}");
            call.keep(status, &detail);
        });
        BadHead { tracking_id, bytes, explain }
    }
}
