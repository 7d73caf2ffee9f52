//! Linked hubs: where devices go.

pub mod record;

pub use record::{Connector, Hub, HubLoad, HubState, Location};
