//! Linked hubs, to which devices are assigned.

mod record;

pub use record::{Connector, Hub, HubState, Location};
