//! What a component is, as it says itself and as its bytes say.

use serde::{Deserialize, Serialize};

/// What a revision is: what it says of itself, and what was read from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginCard {
    /// Who it says it is.
    pub description: Description,
    /// What it may do.
    pub card: Card,
}

/// Who a plugin says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Description {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    pub version: String,
    pub summary: String,
    /// JSON Schema of its settings.
    pub settings_schema: Option<String>,
}

/// What a component may do and what it is, read from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// What its imports amount to.
    pub tier: Tier,
    /// The version of the contract that it was built against.
    pub wit: WitVersion,
    /// What it exports of the contract.
    pub worlds: Worlds,
    /// Everything that it imports, sorted. This is its authority.
    pub imports: Vec<String>,
    /// Size of the component.
    pub size_bytes: u64,
}

/// What a plugin's imports amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The contract's own imports and WASI that is bound to the call: its decisions can be run again to the byte.
    Pure,
    /// `wasi:http` as well, which the operator must grant: its decisions are run again from what was answered.
    Recorded,
}

/// Which halves of a decision a plugin makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Worlds {
    Selector,
    Grouper,
    Policy,
}

/// A version of the contract that this host speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum WitVersion {
    #[serde(rename = "0.1")]
    V0_1,
}

impl WitVersion {
    /// The versions that this host speaks, newest first.
    pub const KNOWN: &[Self] = &[Self::V0_1];

    /// The major and minor number, as plugins are built against it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1",
        }
    }
}

impl Worlds {
    /// Whether it chooses hubs.
    #[must_use]
    pub fn selects(self) -> bool {
        matches!(self, Self::Selector | Self::Policy)
    }

    /// Whether it places devices.
    #[must_use]
    pub fn places(self) -> bool {
        matches!(self, Self::Grouper | Self::Policy)
    }
}
