//! What authors of policies work with, without any server: `landfall plugin check`, `inspect`, `run`, `test`, `bench`,
//! `profile` and `fuzz`.
//!
//! Everything here loads and runs plugins through [`crate`], as the server does: the same engine settings, the
//! same budgets, the same verdict gate, the same cache. What passes here behaves so in production, and what a plugin
//! costs here in fuel it costs there, to the unit. There is no mock of the host, and no second way to run a plugin.
//!
//! - [`vector`]: golden vectors, the inputs and expected answers that a policy is tested with, in any language;
//! - [`trial`]: runs a vector and says what differs;
//! - [`service`]: what services answer to policies that ask some;
//! - [`compare`](mod@compare): what another revision answers;
//! - [`generate`] and [`fuzz`]: devices and hubs that nobody would have thought of, and what must hold for all of them;
//! - [`shrink`]: makes a call smaller as long as it stays a finding;
//! - [`crate::profile`]: where a policy spends its time.

pub mod compare;
pub mod expectation;
pub mod fuzz;
pub mod generate;
pub mod harness;
pub mod scaffold;
pub mod sentences;
pub mod service;
pub mod shrink;
pub mod trial;
pub mod vector;

use std::path::PathBuf;

use crate::{PolicyHost, PolicySettings, StartError};

/// Where authors' tools keep compiled components: `landfall` in the user's cache folder (XDG Base Directory
/// Specification), shared by all of them, so that a test costs milliseconds from the second time on.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir).join("landfall").join("policies")
}

/// The settings of a policy host for one author at a terminal: the server's own, with a worker for each call.
#[must_use]
pub fn settings() -> PolicySettings {
    PolicySettings { workers: 1, ..PolicySettings::new(cache_folder()) }
}

/// A policy host for an author.
///
/// # Errors
///
/// As [`PolicyHost::start`].
pub fn open() -> Result<PolicyHost, StartError> {
    PolicyHost::start(settings())
}
