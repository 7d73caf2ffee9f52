//! Landfall: zero-touch provisioning for IoT devices.
//!
//! The way one registration goes is told by [`provisioning`]; every other module does one step of it and knows
//! nothing of the others. `docs/architecture.md` has the map.

pub mod clock;
pub mod enrollment;
pub mod hub;
pub mod json;
pub mod ledger;
pub mod names;
pub mod policy;
pub mod registration;
pub mod registry;
pub mod store;
pub mod token;
