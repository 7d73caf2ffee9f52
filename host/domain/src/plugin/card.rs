//! A description of a component: what it says about itself, and what its bytes show.

use serde::{Deserialize, Serialize};

/// The description of a revision: what it says about itself, and what was read from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginCard {
    /// What the plugin says about itself.
    pub description: Description,
    /// What the component can do.
    pub card: Card,
}

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Description {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema of its settings.
    pub settings_schema: Option<String>,
}

/// What a component can do, read from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The tier, which follows from its imports.
    pub tier: Tier,
    /// The version of the contract that it was built against.
    pub wit: WitVersion,
    /// The interfaces of the contract that it exports.
    pub worlds: Worlds,
    /// All imports, sorted. They are all the authority that the component has.
    pub imports: Vec<String>,
    /// The size of the component in bytes.
    pub size_bytes: u64,
}

/// A class of plugins, determined by their imports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Imports only the contract and WASI that is bound to the call: its decisions can be run again and give the same
    /// bytes.
    Pure,
    /// Also imports `wasi:http`, which the operator must grant: its decisions are run again with the recorded answers.
    Recorded,
}

/// Which parts of a decision a plugin makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Worlds {
    Selector,
    Grouper,
    Policy,
}

/// A version of the contract that this host supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum WitVersion {
    #[serde(rename = "0.1")]
    V0_1,
}

impl WitVersion {
    /// The versions that this host supports, newest first.
    pub const KNOWN: &[Self] = &[Self::V0_1];

    /// The major and minor number: plugins are built against these.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1",
        }
    }
}

impl Worlds {
    /// Whether the plugin chooses hubs.
    #[must_use]
    pub fn selects(self) -> bool {
        matches!(self, Self::Selector | Self::Policy)
    }

    /// Whether the plugin places devices in groups.
    #[must_use]
    pub fn places(self) -> bool {
        matches!(self, Self::Grouper | Self::Policy)
    }
}
