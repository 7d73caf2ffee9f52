//! Linked hubs: where devices go.

mod load;
mod record;

pub use load::HubLoad;
pub use record::{Connector, Hub, HubState, Location};
