//! Linked hubs: where devices go.

mod record;

pub use record::{Connector, Hub, HubState, Location};
