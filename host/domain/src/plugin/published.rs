//! A published plugin as it is kept: its revisions in the order in which they were live, and what the operator says of it.

use serde::{Deserialize, Serialize};

use super::card::PluginCard;
use super::rules::PluginRules;
use crate::clock::Timestamp;
use crate::names::{Digest, IdScope, PluginName};

/// A plugin's name and its revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct PublishedPlugin {
    pub name: PluginName,
    /// The revision that bindings without a digest use: SHA-256 of the component.
    pub live: Digest,
    /// Revisions that were live before, newest first.
    pub previous: Vec<Digest>,
    /// When the live revision was published, the first time.
    pub published_at: Timestamp,
    /// By whom: the id of a token.
    pub published_by: String,
    /// When the live revision was made live, if that was later: by going back to it, or by publishing it again.
    #[serde(default)]
    pub live_since: Option<Timestamp>,
    /// By whom: the id of a token.
    #[serde(default)]
    pub live_by: Option<String>,
    /// What the live revision says of its version.
    #[serde(default)]
    pub version: String,
    /// What was told of the revisions in `previous` while they were live, newest first.
    #[serde(default)]
    pub past: Vec<PastRevision>,
    /// What the operator says of the plugin. Stays when a revision is published.
    #[serde(default)]
    pub rules: PluginRules,
    /// What the live revision is, so that it need not be loaded to be listed; none of what was published before this was kept.
    #[serde(default)]
    pub card: Option<PluginCard>,
}

/// A component that no plugin names any more, kept for decisions and enrollments that do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct KeptComponent {
    /// Where it was published.
    pub scope: IdScope,
    /// The plugin that it was a revision of.
    pub plugin: PluginName,
    /// By whom: the id of a token. Empty when that is not known.
    pub publisher: String,
    pub bytes: u64,
}

/// How much may be published in an id scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishBounds {
    /// Plugins of the id scope.
    pub plugins: usize,
    /// Bytes of their revisions: those that are live, those that may become it again, and those that are kept for decisions
    /// and enrollments.
    pub bytes: u64,
    /// Bytes of the revisions that one token published.
    pub by_publisher: Option<u64>,
}

impl PublishBounds {
    /// For what comes with the program.
    pub const NONE: Self = Self { plugins: usize::MAX, bytes: u64::MAX, by_publisher: None };
}

/// A revision that was live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRevision {
    /// SHA-256 of the component.
    pub revision: Digest,
    /// When it was published, the first time.
    pub published_at: Timestamp,
    /// By whom: the id of a token.
    pub published_by: String,
    /// What it says of its version.
    pub version: String,
}

impl PublishedPlugin {
    /// A plugin that is published for the first time.
    pub fn first(name: PluginName, component: &[u8], now: Timestamp, by: &str) -> Self {
        Self {
            name,
            live: Digest::of(component),
            previous: Vec::new(),
            published_at: now,
            published_by: by.to_owned(),
            live_since: None,
            live_by: None,
            version: String::new(),
            past: Vec::new(),
            rules: PluginRules::default(),
            card: None,
        }
    }

    /// The revisions that it names, each with who published it.
    pub fn revisions(&self) -> impl Iterator<Item = (Digest, &str)> {
        let past = |digest: &Digest| self.past(*digest).map_or("", |past| past.published_by.as_str());
        let previous = self.previous.iter().map(move |digest| (*digest, past(digest)));
        std::iter::once((self.live, self.published_by.as_str())).chain(previous)
    }

    /// What became of the plugin before it got another live revision: that one's past, and its rules.
    #[must_use]
    pub fn after(mut self, before: Self, most: usize) -> Self {
        // Whose a revision is does not change when somebody goes back to it.
        if let Some(past) = before.past(self.live) {
            self.live_since = Some(std::mem::replace(&mut self.published_at, past.published_at));
            self.live_by = Some(std::mem::replace(&mut self.published_by, past.published_by.clone()));
        }
        let was = PastRevision {
            revision: before.live,
            published_at: before.published_at,
            published_by: before.published_by,
            version: before.version,
        };
        self.previous = std::iter::once(before.live).chain(before.previous).collect();
        self.past = std::iter::once(was).chain(before.past).collect();
        self.previous.retain(|revision| *revision != self.live);
        self.past.retain(|past| past.revision != self.live);
        self.previous.truncate(most);
        self.past.truncate(most);
        self.rules = before.rules;
        self
    }

    /// Lets go of the revision that was live longest ago.
    pub fn forget_oldest(&mut self) {
        if let Some(oldest) = self.previous.pop() {
            self.past.retain(|past| past.revision != oldest);
        }
    }

    /// What is known of a revision that was live.
    pub fn past(&self, revision: Digest) -> Option<&PastRevision> {
        self.past.iter().find(|past| past.revision == revision)
    }
}
