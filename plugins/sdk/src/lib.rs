//! Write a Landfall policy plugin in Rust: implement a trait, name it in one macro.
//!
//! ```
//! use landfall_plugin::{Call, Choice, Device, Fault, Hub, Outcome, Policy, Reason, SelectHub};
//!
//! /// Keeps a device on a hub of its own region.
//! #[derive(Policy, serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Regional {
//!     /// The fact that names the region.
//!     fact: String,
//! }
//!
//! impl SelectHub for Regional {
//!     fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
//!         let region = device.require_fact(&self.fact)?;
//!         let near = candidates.iter().filter(|hub| hub.label("region").as_deref() == Some(region));
//!         Ok(match Choice::in_order(near) {
//!             Some(choice) => choice.because("same-region", format!("the device is in {region}")).into(),
//!             None => Outcome::Abstain(Reason::new("no-hub-in-region", format!("no hub in {region} has room"))),
//!         })
//!     }
//! }
//!
//! landfall_plugin::export!(Regional: selector, name = "regional", summary = "Keeps devices in their region");
//!
//! # use landfall_plugin::testing::{self, Catalogue, hub};
//! # let policy: Regional = testing::configure(serde_json::json!({"fact": "region"})).unwrap();
//! # let catalogue = Catalogue::new().hub(hub("a").label("region", "us")).hub(hub("b").label("region", "eu"));
//! # let device = testing::device("pump-1").fact("region", "eu").build();
//! # let run = catalogue.run(|hubs| policy.select_hub(&testing::call(), &device, hubs));
//! # assert!(matches!(run.answer, Ok(Outcome::Assign(Choice { hub: 1, .. }))));
//! ```
//!
//! In `Cargo.toml`, `crate-type = ["cdylib", "rlib"]`: the first is the component, the second is what tests use.
//! `cargo build --release --target wasm32-wasip2` builds it, a plain `cargo test` tests it; see [`testing`].
//!
//! # What a policy has
//!
//! Its settings, the arguments of the call, and what it asks the host through [`Hub::label`], [`group_count`] and the
//! log macros. Nothing else: no network, no files, no state that outlives the call. The clock and the random numbers of
//! the standard library work and answer what the call says ([`Call`]), so that a decision can be made again later and
//! comes out the same.
//!
//! # When things go wrong
//!
//! Three ways are kept apart. The policy says no ([`Outcome::Reject`], [`Outcome::Defer`], [`Outcome::Abstain`]): that
//! is a decision. The policy cannot say ([`Fault`]): the device waits, the operator is told. The policy panics: the
//! device waits, and the operator is told the message, the file and the line. Never does a broken policy turn a
//! device away for good.

extern crate self as landfall_plugin;

#[doc(hidden)]
#[path = "export.rs"]
pub mod __export;
mod answer;
#[doc(hidden)]
pub mod bindings;
mod catalog;
mod device;
#[cfg(feature = "http")]
pub mod http;
mod hub;
pub mod log;
mod policy;
mod random;
pub mod rendezvous;
mod settings;
#[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
pub mod testing;

pub use bindings::base::exports::landfall::policy::control::Problem;
pub use bindings::base::landfall::policy::types::{
    Attestation, Call, Device, EnrollmentKind, Fault, Hub, HubHandle, Label, Location, Prior, Reason,
};
pub use bindings::placement::exports::landfall::policy::grouping::Placement;
pub use bindings::selection::exports::landfall::policy::hub_selection::{Choice, Deferral, Outcome};
pub use catalog::group_count;
pub use policy::{NoSettings, Place, Policy, SelectHub};
pub use random::{Random, fraction, stable_hash};
pub use settings::Pointer;

/// Implements [`Policy`](trait@Policy) for a type that is its own settings.
pub use landfall_plugin_macros::Policy;
/// Makes the crate a plugin: `export!(Type: world)`.
///
/// The world is `selector` (the type is [`SelectHub`]), `grouper` ([`Place`]) or `policy` (both). The plugin's name,
/// version and summary are the package's name, version and description; `name = "..."` and `summary = "..."`, after
/// commas, say otherwise. Once in a crate.
///
/// Off WebAssembly it checks that the type keeps the promise, and exports nothing.
pub use landfall_plugin_macros::export;
