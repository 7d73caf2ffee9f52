//! Landfall: zero-touch provisioning for IoT devices.
//!
//! This crate is the server and the one binary: listeners, the API for devices, the management API, the command line,
//! and what is fetched from other servers. [`provisioning`] describes the steps of one registration. The parts below it
//! are crates of their own, which do not know this one: `landfall-domain`, `landfall-attestation`, `landfall-policy`,
//! `landfall-store`. `docs/architecture.md` has the map.
//!
//! ```
//! let config = landfall::config::Config::parse("[limits.device]\nmax_operations = 1000\n", "landfall.toml".as_ref());
//! assert!(config.is_err(), "a configuration names at least its id scope");
//! ```

pub mod admin_api;
pub mod catalogue;
pub mod certificate_issuing;
pub mod cli;
pub mod client;
pub mod config;
pub mod conflict;
pub mod counters;
pub mod device_api;
pub mod directory;
pub mod folder;
pub mod identity_providers;
pub mod init;
pub mod listener;
pub mod metrics;
mod network;
pub mod outbound;
pub mod provisioning;
pub mod record_import;
pub mod reseal;
pub mod sealing_key;
pub mod server;
pub mod service;
mod shares;
pub mod tasks;
pub mod telemetry;
pub mod tls;
mod troubles;
mod turns;
