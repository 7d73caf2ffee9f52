//! On what condition something is written or removed, and what came of it.

use landfall_domain::names::Digest;
use serde::Serialize;

use crate::{Conflict, InUse};

/// On what condition something is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Only if there is none yet.
    New,
    /// Only if there is one, and its entity tag is this one: that of an enrollment's
    /// [`Terms`](landfall_domain::enrollment::Terms), that of a [`Registration`](landfall_domain::registration::Registration),
    /// [`authority_tag`](crate::authority_tag), [`plugin_tag`](crate::plugin_tag), or [`entity_tag`] of anything else.
    Match(String),
    /// Only if there is one.
    Exists,
    /// Whatever is there.
    Any,
}

impl Precondition {
    /// Whether something may be written where a thing with this entity tag stands, or where none does.
    ///
    /// # Errors
    ///
    /// What came of the write that may not be.
    pub fn judge(&self, stands: Option<&str>) -> Result<PutOutcome, PutOutcome> {
        match (self, stands) {
            (Self::New | Self::Any, None) => Ok(PutOutcome::Created),
            (Self::New, Some(_)) => Err(PutOutcome::AlreadyThere),
            (Self::Match(_) | Self::Exists, None) => Err(PutOutcome::Missing),
            (Self::Match(tag), Some(stands)) if tag != stands => Err(PutOutcome::Changed),
            (Self::Match(_) | Self::Exists | Self::Any, Some(_)) => Ok(PutOutcome::Replaced),
        }
    }

    /// The condition on which something that was made over what stood there may be written: that this stands there
    /// still. Whatever is carried over from what stood (keys that were not said again, the date of its making) would
    /// otherwise undo what another change has made of it meanwhile.
    ///
    /// # Errors
    ///
    /// What came of the write that may not be.
    pub fn over(&self, stands: Option<&str>) -> Result<Self, PutOutcome> {
        self.judge(stands)?;
        Ok(stands.map_or(Self::New, |tag| Self::Match(tag.to_owned())))
    }

    /// The same for a removal: what came of it when the thing may not be removed.
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

/// The entity tag of a thing that carries none of its own (a hub, a certificate authority): changes with its content.
pub fn entity_tag<T: Serialize>(thing: &T) -> String {
    // What cannot be encoded cannot be stored either, so that the tag of nothing is never compared.
    let encoded = serde_json::to_vec(thing).unwrap_or_default();
    Digest::of(&encoded).to_string().chars().take(32).collect()
}

/// What came of a write under a precondition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum PutOutcome {
    /// It was not there before.
    Created,
    Replaced,
    /// It was to be new, and is there already.
    AlreadyThere,
    /// It was to be there, and is not.
    Missing,
    /// It is there with another entity tag.
    Changed,
    /// It does not go with what else stands.
    Conflict(Conflict),
}

impl PutOutcome {
    /// Whether another change came between the reading and the writing.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::AlreadyThere | Self::Missing | Self::Changed)
    }
}

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// It is gone.
    Deleted,
    /// It was not there.
    Missing,
    /// It is there with another entity tag.
    Changed,
    /// Something else still needs it.
    InUse(InUse),
}
