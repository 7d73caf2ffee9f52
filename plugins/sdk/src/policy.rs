//! What an author implements.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Call, Device, Fault, Hub, Outcome, Placement, Problem};

/// A policy: its settings, and how it is made from them.
///
/// A policy that is nothing but its settings derives this:
///
/// ```
/// use landfall_plugin::Policy;
///
/// #[derive(Policy, serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Nearest {
///     /// Hubs farther away than this, in kilometres, are not taken.
///     limit_km: f64,
/// }
/// ```
pub trait Policy: Sized + 'static {
    /// What the operator writes. Its JSON Schema, with the doc comments of its fields as descriptions, is published by
    /// the plugin. `#[serde(deny_unknown_fields)]` turns misspelt keys into errors.
    type Settings: DeserializeOwned + JsonSchema + 'static;

    /// Makes the policy. Called once when settings are given; what it returns is stored with the plugin, and every
    /// decision starts from it. Prepare here whatever takes long: it costs a decision nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings beyond their type, each with its place. All at once, if possible: the operator
    /// sees the whole list.
    fn configure(settings: Self::Settings) -> Result<Self, Vec<Problem>>;
}

/// Chooses hubs. Exported as `selector` or `policy`.
pub trait SelectHub: Policy {
    /// Chooses among the candidates: hubs that are active, allowed by the enrollment and have room. There is at
    /// least one.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the policy could not do its work. The device waits, and the operator is told. To turn a device
    /// away is a decision: [`Outcome::Reject`].
    fn select_hub(&self, call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault>;
}

/// Places devices in the solution. Exported as `grouper` or `policy`.
pub trait Place: Policy {
    /// Places a device whose hub is chosen.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the policy could not do its work. Having no opinion is not a fault: [`Placement::none`].
    fn place(&self, call: &Call, device: &Device, hub: &Hub) -> Result<Placement, Fault>;
}

/// For a policy that takes no settings.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}
