//! Linked hubs: where devices go.

pub mod load;
pub mod record;
pub mod room;

pub use load::HubLoad;
pub use record::{Connector, Hub, HubState, Location};
pub use room::{Hubs, LinkedHub, Pending};
