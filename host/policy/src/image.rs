//! From a component's bytes to an image that decides: a line of stages, each a type, each with its own error.
//!
//! | stage | refuses | error |
//! | --- | --- | --- |
//! | fetched | what is larger than a component may be, before it is read | [`FetchError`] |
//! | verified | what is not signed as the configuration demands | [`VerifyError`](super::trust::VerifyError) |
//! | parsed, classified | what is no component, has too much of something, imports what is not granted, is of no known world or version | [`ClassifyError`] |
//! | compiled | what the engine cannot compile, or not within its limits; through the cache | [`CompileError`] |
//! | linked | functions and types that differ from the WIT | [`LinkError`](super::LinkError) |
//! | trialled | what breaks when it is instantiated or describes itself; makes a [`Revision`] | [`LoadError`] |
//! | baked | settings that the plugin refuses, with JSON pointers; makes an [`Image`] | [`ConfigureError`] |
//! | live | a revision that does not fit an enrollment which follows its name | `TakeOverError` of the service |
//!
//! Everything that can be wrong with a plugin is found here, while an operator looks on, and not when a device waits.
//! The trial is not a formality: some differences of type only show when an instance is made.
//!
//! `configure` is run once and the result is baked: the memory that it leaves behind becomes the memory that every
//! call starts from. A policy can so parse a large table of rules at no cost to any decision. Where that is not
//! possible, it is run before each call instead, and the image says so ([`Configured`]).

pub(super) mod bake;
pub(super) mod classify;
pub(super) mod compile;
pub(super) mod configure;
pub(super) mod load;

use std::fmt;
use std::sync::Arc;

use landfall_domain::names::Digest;
use landfall_domain::plugin::card::PluginCard;
pub use landfall_domain::plugin::card::{Card, Description, Tier, WitVersion, Worlds};
use serde::{Deserialize, Serialize};

pub use self::classify::ClassifyError;
pub use self::compile::{CompileError, CompileLimits, Compiler, worker};
pub use self::configure::ConfigureError;
pub use self::load::{FetchError, Fetched, LoadError};
use super::budget::Budgets;
use super::engine::PolicyEngine;
use super::link::Linked;

/// A plugin's bytes, known to load: what settings are given to.
pub struct Revision {
    pub(super) digest: Digest,
    pub(super) bytes: Arc<[u8]>,
    pub(super) description: Description,
    pub(super) card: Card,
    pub(super) linked: Arc<dyn Linked>,
}

/// A revision with its settings, ready to decide. Never changes; shared by everyone who decides with it.
pub struct Image {
    pub(super) revision: Arc<Revision>,
    pub(super) settings: Arc<str>,
    pub(super) settings_digest: Digest,
    pub(super) configured: Configured,
    pub(super) linked: Arc<dyn Linked>,
    pub(super) budgets: Budgets,
    pub(super) engine: Arc<PolicyEngine>,
}

/// What is wrong with settings, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Problem {
    /// RFC 6901 pointer into the settings; empty for the whole document.
    pub pointer: String,
    pub message: String,
}

/// How an image comes by its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Configured {
    /// They are part of the memory that a call starts from.
    Baked,
    /// The plugin is configured before each call.
    EachCall {
        /// Why they could not be baked.
        because: String,
    },
}

impl Revision {
    /// SHA-256 of the component: the revision's name.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who the plugin says it is.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What it may do and what it is.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// What is kept of it, so that it need not be loaded to be listed.
    #[must_use]
    pub fn plugin_card(&self) -> PluginCard {
        PluginCard { description: self.description.clone(), card: self.card.clone() }
    }

    /// The component.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }
}

impl Image {
    /// The plugin.
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
