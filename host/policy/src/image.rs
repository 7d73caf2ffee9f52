//! From a component's bytes to an image that can decide: a sequence of stages, each with its own type and error.
//!
//! | stage | refuses | error |
//! | --- | --- | --- |
//! | fetched | a component that is larger than allowed, before it is read | [`FetchError`] |
//! | verified | a component that is not signed as the configuration demands | [`VerifyError`](super::trust::VerifyError) |
//! | parsed, classified | bytes that are not a component, that have too much of something, import what is not granted, or use an unknown world or version | [`ClassifyError`] |
//! | compiled | a component that the engine cannot compile, or not within the limits; through the cache | [`CompileError`] |
//! | linked | functions and types that differ from the WIT | [`LinkError`](super::LinkError) |
//! | trialled | a component that breaks when it is instantiated or describes itself; makes a [`Revision`] | [`LoadError`] |
//! | baked | settings that the plugin refuses, with JSON pointers; makes an [`Image`] | [`ConfigureError`] |
//! | live | a revision that does not fit an enrollment which follows its name | `TakeOverError` of the service |
//!
//! Everything that can be wrong with a plugin is found here, while an operator is watching, and not while a device
//! waits. The trial is necessary: some differences of type only show when an instance is created.
//!
//! `configure` is run once and the result is baked: the memory that it leaves behind becomes the memory from which
//! every call starts. So a policy can parse a large table of rules at no cost to any decision. Where that is not
//! possible, `configure` is run before each call instead, and the image says so ([`Configured`]).

pub(super) mod bake;
pub(super) mod classify;
pub(super) mod compile;
pub(super) mod configure;
pub(super) mod load;

use std::fmt;
use std::sync::Arc;

use landfall_domain::names::Digest;
use landfall_domain::plugin::card::PluginCard;
pub(crate) use landfall_domain::plugin::card::{Card, Description, Tier, Worlds};
use serde::{Deserialize, Serialize};

pub use self::classify::ClassifyError;
pub use self::compile::{CompileError, CompileLimits, Compiler, worker};
pub use self::configure::ConfigureError;
pub use self::load::{FetchError, Fetched, LoadError};
use super::budget::Budgets;
use super::engine::PolicyEngine;
use super::link::Linked;

/// A plugin's component that was loaded successfully, without settings.
pub struct Revision {
    pub(super) digest: Digest,
    pub(super) bytes: Arc<[u8]>,
    pub(super) description: Description,
    pub(super) card: Card,
    pub(super) linked: Arc<dyn Linked>,
}

/// A revision with its settings, ready to decide. It never changes, and all decisions that use it share it.
pub struct Image {
    pub(super) revision: Arc<Revision>,
    pub(super) settings: Arc<str>,
    pub(super) settings_digest: Digest,
    pub(super) configured: Configured,
    pub(super) linked: Arc<dyn Linked>,
    pub(super) budgets: Budgets,
    pub(super) engine: Arc<PolicyEngine>,
}

/// One mistake in settings, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Problem {
    /// RFC 6901 pointer into the settings; empty for the whole document.
    pub pointer: String,
    pub message: String,
}

/// How an image gets its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Configured {
    /// The settings are part of the memory from which a call starts.
    Baked,
    /// The plugin is configured before each call.
    EachCall {
        /// Why the settings could not be baked.
        because: String,
    },
}

impl Revision {
    /// SHA-256 of the component, which identifies the revision.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The plugin's description of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What the plugin can do, read from its bytes.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The description that is stored, so that listings need not load the plugin.
    #[must_use]
    pub fn plugin_card(&self) -> PluginCard {
        PluginCard { description: self.description.clone(), card: self.card.clone() }
    }

    /// The component's bytes.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl Image {
    /// The revision of the plugin.
    #[must_use]
    pub fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// The settings, as they were given.
    #[must_use]
    pub fn settings(&self) -> &str {
        &self.settings
    }

    /// SHA-256 of the settings' text.
    #[must_use]
    pub fn settings_digest(&self) -> Digest {
        self.settings_digest
    }

    /// Whether the settings are baked, and if not, why.
    #[must_use]
    pub fn configured(&self) -> &Configured {
        &self.configured
    }

    /// What a call may use.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision").field("digest", &self.digest).field("card", &self.card).finish_non_exhaustive()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut image = f.debug_struct("Image");
        image.field("revision", &self.revision.digest).field("settings", &self.settings_digest);
        image.field("configured", &self.configured).finish_non_exhaustive()
    }
}
