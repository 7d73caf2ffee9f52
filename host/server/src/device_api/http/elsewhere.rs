//! Requests for other interfaces, sent here by mistake.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use super::super::error::{DeviceError, Wrong};
use super::{begin, fail};
use crate::listener::ConnectionInfo;
use crate::provisioning::Provisioning;

/// Answers a path that is not served. A caller that looks for another interface is told so, and so is the operator in
/// the log, at a limited rate.
pub(super) async fn not_served(State(provisioning): State<Arc<Provisioning>>, request: Request) -> Response {
    let exchange = begin(&provisioning, &request);
    let Some(what) = elsewhere(request.uri().path()) else {
        return fail(&exchange, Wrong::because(DeviceError::NotFound, "nothing is served under this path"));
    };
    if let Some(unsaid) = provisioning.desk().may_log_not_served() {
        let peer = request.extensions().get::<Arc<ConnectionInfo>>().map(|connection| connection.peer_addr.to_string());
        let path: String = request.uri().path().chars().take(MOST_SAID).collect();
        tracing::warn!(peer, path, unsaid, "not served here: {what}");
    }
    fail(&exchange, DeviceError::NotServed(what))
}

/// The interface that a known but not served path belongs to.
fn elsewhere(path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        ["$iothub" | "$servicebus", "websocket", ..] => {
            Some("MQTT and AMQP are not served here, over WebSocket neither: the device has to use HTTPS")
        }
        ["enrollments" | "enrollmentGroups" | "registrations" | "attestations" | "certificates", ..] => Some(
            "The service API of DPS is not served here: enrollments are the management API's, /api/v1 on the other port",
        ),
        ["api", "v1", ..] => Some("The management API is not served here: it has a port of its own"),
        [.., "getDeviceUpdate" | "reportDeviceUpdateStatus"] => Some("Updates before provisioning are not served here"),
        _ => None,
    }
}

/// How much of a path is logged.
const MOST_SAID: usize = 120;
