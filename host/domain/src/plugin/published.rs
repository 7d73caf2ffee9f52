//! A published plugin as the store keeps it: its revisions in the order in which they were live, and the operator's
//! rules.

use serde::{Deserialize, Serialize};

use super::card::PluginCard;
use super::rules::PluginRules;
use crate::clock::Timestamp;
use crate::names::{Digest, IdScope, PluginName};

/// A plugin's name and its revisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PublishedPlugin {
    pub name: PluginName,
    /// The live revision, which bindings without a digest use: SHA-256 of the component.
    pub live: Digest,
    /// Revisions that were live before, newest first.
    pub previous: Vec<Digest>,
    /// When the live revision was first published.
    pub published_at: Timestamp,
    /// Who published the live revision: the id of a token.
    pub published_by: String,
    /// When the live revision was made live, if that was after its first publication: by going back to it, or by
    /// publishing it again.
    #[serde(default)]
    pub live_since: Option<Timestamp>,
    /// Who made it live: the id of a token.
    #[serde(default)]
    pub live_by: Option<String>,
    /// The version that the live revision states.
    #[serde(default)]
    pub version: String,
    /// What was known of the revisions in `previous` while they were live, newest first.
    #[serde(default)]
    pub past: Vec<PastRevision>,
    /// The operator's rules for the plugin. They stay when a new revision is published.
    #[serde(default)]
    pub rules: PluginRules,
    /// The description of the live revision, so that listings need not load it. `None` for plugins that an older
    /// version published.
    #[serde(default)]
    pub card: Option<PluginCard>,
}

/// A component that no plugin names any more. It is kept because decisions or enrollments name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeptComponent {
    /// The id scope in which it was published.
    pub scope: IdScope,
    /// The plugin that it was a revision of.
    pub plugin: PluginName,
    /// Who published it: the id of a token. Empty when that is not known.
    pub publisher: String,
    pub bytes: u64,
}

/// Limits on what may be published in an id scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishBounds {
    /// Maximum number of plugins in the id scope.
    pub plugins: usize,
    /// Maximum size of their revisions in bytes: live revisions, previous ones that can become live again, and
    /// components that are kept for decisions and enrollments.
    pub bytes: u64,
    /// Maximum size in bytes of the revisions that one token published.
    pub by_publisher: Option<u64>,
}

impl PublishBounds {
    /// No limits, for what comes with the program.
    pub const NONE: Self = Self { plugins: usize::MAX, bytes: u64::MAX, by_publisher: None };
}

/// A revision that was live before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRevision {
    /// SHA-256 of the component.
    pub revision: Digest,
    /// When it was first published.
    pub published_at: Timestamp,
    /// Who published it: the id of a token.
    pub published_by: String,
    /// The version that it states.
    pub version: String,
}

impl PublishedPlugin {
    /// A plugin that is being published for the first time.
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

    /// All revisions of the plugin, each with the token that published it.
    pub fn revisions(&self) -> impl Iterator<Item = (Digest, &str)> {
        let past = |digest: &Digest| self.past(*digest).map_or("", |past| past.published_by.as_str());
        let previous = self.previous.iter().map(move |digest| (*digest, past(digest)));
        std::iter::once((self.live, self.published_by.as_str())).chain(previous)
    }

    /// This plugin as the successor of `before`: the earlier live revision becomes a previous one, and the rules are
    /// taken over. At most `most` previous revisions are kept.
    #[must_use]
    pub fn after(mut self, before: Self, most: usize) -> Self {
        // Going back to a revision does not change who published it.
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

    /// Drops the revision that was live longest ago.
    pub fn forget_oldest(&mut self) {
        if let Some(oldest) = self.previous.pop() {
            self.past.retain(|past| past.revision != oldest);
        }
    }

    /// What is known of a revision that was live before.
    pub fn past(&self, revision: Digest) -> Option<&PastRevision> {
        self.past.iter().find(|past| past.revision == revision)
    }
}
