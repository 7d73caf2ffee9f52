//! What the operator says of a linked hub.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::HubName;

/// A linked hub, as the operator configured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LinkedHub)]
pub struct Hub {
    /// The hub's host name, which devices are told.
    #[schema(value_type = String)]
    pub name: HubName,
    /// Its share of devices under the `weighted` policy, 1 to 1000.
    pub weight: u32,
    /// How many devices the hub takes.
    pub capacity: u64,
    /// Where the hub is.
    pub location: Option<Location>,
    /// Labels for policies, such as `region`, sorted by key. The operator chooses them freely.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether the hub takes new devices.
    #[serde(default)]
    pub state: HubState,
    /// How the hub learns of a device.
    #[serde(default)]
    pub connector: Connector,
}

/// Degrees, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Location {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// Whether a hub takes new devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HubState {
    /// It does.
    #[default]
    Active,
    /// It keeps its devices and gets no new ones.
    Draining,
}

/// How a hub is told of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Connector {
    /// The hub needs not be told: it trusts the devices' credentials itself, and the device carries its first
    /// configuration in the answer to its registration.
    #[default]
    None,
}
