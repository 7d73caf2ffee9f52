//! A device of the demo: one connection, one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use landfall_attestation::x509::make::Issued;
use landfall_domain::clock::Stopwatch;
use landfall_domain::names::IdScope;
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::DemoError;
use crate::client::{self, Client};
use crate::folder::DataFolder;
use crate::server::Server;

/// A device that registers.
pub(super) struct Device {
    id: String,
    scope: IdScope,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

/// The answer that a device got.
pub(super) struct Told {
    /// Its registration id.
    pub(super) device: String,
    /// The HTTP status.
    pub(super) status: u16,
    pub(super) body: Value,
    /// The id under which the operator finds the decision.
    pub(super) tracking_id: String,
    /// The time from before the connection to after the answer.
    pub(super) took: Duration,
}

impl Device {
    /// All devices that a factory has made.
    pub(super) fn all(folder: &DataFolder, server: &Server, made: &[(String, Issued)]) -> Result<Vec<Self>, DemoError> {
        made.iter().map(|device| Self::one(folder, server, device)).collect()
    }

    /// One of these devices.
    pub(super) fn one(
        folder: &DataFolder,
        server: &Server,
        (id, issued): &(String, Issued),
    ) -> Result<Self, DemoError> {
        let tls =
            client::tls::client(&std::fs::read(folder.ca_certificate())?, Some(crate::tls::Identity::of(issued)))?;
        let scope = server.service.config().server.scope.clone();
        Ok(Self { id: id.clone(), scope, address: server.device_addr, tls })
    }

    /// Registers, and waits for the result in the same request.
    pub(super) async fn register(self) -> Result<Told, DemoError> {
        let Self { id, scope, address, tls } = self;
        let began = Stopwatch::system();
        let mut client = Client::connect(address, "localhost", tls).await?;
        let path = format!("/{scope}/registrations/{id}/register?api-version=2021-06-01");
        let headers = client::headers(&[("content-type", "application/json; charset=utf-8"), ("prefer", "wait=10")]);
        let body = json!({ "registrationId": id, "payload": { "firmware": "2.4.1" } });
        let answer = client.send(Method::PUT, &path, headers, body.to_string().into_bytes()).await?;
        let tracking_id = answer.header("x-ms-request-id").unwrap_or_default().to_owned();
        let body = serde_json::from_slice(&answer.bytes).unwrap_or_default();
        Ok(Told { device: id, status: answer.status.as_u16(), body, tracking_id, took: began.elapsed() })
    }
}
