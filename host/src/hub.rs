//! Linked hubs: where devices go.

pub mod record;
pub mod room;

pub use record::{Connector, Hub, HubLoad, HubState, Location};
pub use room::{Hubs, LinkedHub, Pending};
