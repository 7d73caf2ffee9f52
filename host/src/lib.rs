//! Landfall: zero-touch provisioning for IoT devices.
//!
//! The way one registration goes is told by [`provisioning`]; every other module does one step of it and knows
//! nothing of the others. `docs/architecture.md` has the map.

pub mod admin_api;
pub mod attestation;
pub mod catalogue;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod device_api;
pub mod directory;
pub mod enrollment;
pub mod folder;
pub mod hub;
pub mod init;
pub mod issuers;
pub mod issuing;
pub mod json;
pub mod ledger;
pub mod listener;
pub mod metrics;
pub mod names;
pub mod nearest;
pub mod outbound;
pub mod policy;
pub mod provisioning;
pub mod registration;
pub mod registry;
pub mod secret;
pub mod server;
pub mod service;
mod shares;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;
mod troubles;
mod turns;
pub mod workbench;
