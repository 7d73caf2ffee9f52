//! Preconditions of writes and removals, and their outcomes.

use landfall_domain::names::Digest;
use serde::Serialize;

use crate::{Conflict, InUse};

/// The condition on which a resource is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Only if it does not exist yet.
    New,
    /// Only if it exists and has this entity tag: that of the [`Terms`](landfall_domain::enrollment::Terms) of an
    /// enrollment, that of a [`Registration`](landfall_domain::registration::Registration),
    /// [`authority_tag`](crate::authority_tag), [`plugin_tag`](crate::plugin_tag), or [`entity_tag`] of any other
    /// resource.
    Match(String),
    /// Only if it exists.
    Exists,
    /// Unconditionally.
    Any,
}

impl Precondition {
    /// Judges whether a write may replace a resource with this entity tag, or create it where none exists.
    ///
    /// # Errors
    ///
    /// The outcome of the refused write.
    pub fn judge(&self, stands: Option<&str>) -> Result<PutOutcome, PutOutcome> {
        match (self, stands) {
            (Self::New | Self::Any, None) => Ok(PutOutcome::Created),
            (Self::New, Some(_)) => Err(PutOutcome::AlreadyThere),
            (Self::Match(_) | Self::Exists, None) => Err(PutOutcome::Missing),
            (Self::Match(tag), Some(stands)) if tag != stands => Err(PutOutcome::Changed),
            (Self::Match(_) | Self::Exists | Self::Any, Some(_)) => Ok(PutOutcome::Replaced),
        }
    }

    /// Narrows this condition for a write that was derived from the stored resource: the stored resource must still be
    /// the one that was read. The write carries values over from it (keys that the request did not repeat, the
    /// creation date), and would otherwise undo a concurrent change of them.
    ///
    /// # Errors
    ///
    /// The outcome of the refused write.
    pub fn over(&self, stands: Option<&str>) -> Result<Self, PutOutcome> {
        self.judge(stands)?;
        Ok(stands.map_or(Self::New, |tag| Self::Match(tag.to_owned())))
    }

    /// Judges whether a resource with this entity tag may be removed.
    ///
    /// # Errors
    ///
    /// [`DeleteOutcome::Missing`] or [`DeleteOutcome::Changed`].
    pub fn judge_removal(&self, stands: Option<&str>) -> Result<(), DeleteOutcome> {
        match (self, stands) {
            (_, None) => Err(DeleteOutcome::Missing),
            (Self::New, Some(_)) => Err(DeleteOutcome::Changed),
            (Self::Match(tag), Some(stands)) if tag != stands => Err(DeleteOutcome::Changed),
            (Self::Match(_) | Self::Exists | Self::Any, Some(_)) => Ok(()),
        }
    }
}

/// The entity tag of a resource that carries none itself (a hub, a certificate authority). It changes with the
/// content.
pub fn entity_tag<T: Serialize>(thing: &T) -> String {
    // A value that cannot be encoded cannot be stored either, so the tag of the empty encoding is never compared.
    let encoded = serde_json::to_vec(thing).unwrap_or_default();
    Digest::of(&encoded).to_string().chars().take(32).collect()
}

/// The outcome of a write with a precondition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PutOutcome {
    /// It did not exist before.
    Created,
    Replaced,
    /// It had to be new, but exists.
    AlreadyThere,
    /// It had to exist, but does not.
    Missing,
    /// It exists with another entity tag.
    Changed,
    /// It contradicts other stored records.
    Conflict(Conflict),
}

impl PutOutcome {
    /// Whether another change came between the read and the write.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::AlreadyThere | Self::Missing | Self::Changed)
    }
}

/// The outcome of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It was removed.
    Deleted,
    /// It did not exist.
    Missing,
    /// It exists with another entity tag.
    Changed,
    /// Another resource still needs it.
    InUse(InUse),
}
