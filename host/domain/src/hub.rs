//! Linked hubs, to which devices are assigned.

mod load;
mod record;

pub use load::HubLoad;
pub use record::{Connector, Hub, HubState, Location};
