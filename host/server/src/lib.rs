//! Landfall: zero-touch provisioning for IoT devices.
//!
//! The way one registration goes is told by [`provisioning`]; every other module does one step of it and knows
//! nothing of the others. `docs/architecture.md` has the map.

pub mod admin_api;
pub mod answered;
pub mod catalogue;
pub mod cli;
pub mod client;
pub mod config;
pub mod device_api;
pub mod directory;
pub mod folder;
pub mod init;
pub mod issuers;
pub mod issuing;
pub mod listener;
pub mod metrics;
pub mod outbound;
pub mod provisioning;
pub mod record_import;
pub mod reseal;
pub mod sealing_key;
pub mod server;
pub mod service;
mod shares;
pub mod telemetry;
pub mod tls;
mod troubles;
mod turns;
