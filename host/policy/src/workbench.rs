//! Tools for authors of policies, which need no server: `landfall plugin check`, `inspect`, `run`, `test`, `bench`,
//! `profile` and `fuzz`.
//!
//! Everything here loads and runs plugins through [`crate`], as the server does: with the same engine settings,
//! budgets, verdict gate and cache. So a plugin that passes here behaves the same in production, and its fuel is the
//! same, to the unit. There is no mock of the host, and no second way to run a plugin.
//!
//! - [`vector`]: golden vectors, the inputs and expected answers with which a policy is tested, in any language;
//! - [`trial`]: runs a vector and reports what differs;
//! - [`service`]: the answers of services for policies that ask some;
//! - [`compare`](mod@compare): the answers of another revision;
//! - [`generate`] and [`fuzz`]: generated devices and hubs that nobody would think of, and properties that must hold
//!   for all of them;
//! - [`shrink`]: makes a call smaller as long as it still shows the fault;
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
/// Specification). All tools share it, so that a test takes milliseconds from the second time on.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir).join("landfall").join("policies")
}

/// The settings of a policy host for one author at a terminal: those of the server, but with one worker.
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
