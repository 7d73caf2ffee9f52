//! How the answers of one revision differ from another's, on golden vectors.
//!
//! What a vector expects says whether a revision is right; what the revision before answered says what will change for the
//! fleet. Both matter, and they are not the same: a vector compares only what is written in it.

use std::sync::Arc;

use serde_json::Value;

use super::trial::{Trial, Tried};
use super::vector::Vector;
use crate::PolicyHost;
use crate::image::Revision;

/// What another revision answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// How many vectors there are.
    pub vectors: usize,
    /// Those that are answered differently; nothing when there was no revision before.
    pub changed: Option<Vec<Changed>>,
    /// The names of those whose expectation the new revision does not meet.
    pub unmet: Vec<String>,
}

/// A vector that is answered differently.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Changed {
    pub name: String,
    /// What the one before answers.
    pub before: Value,
    /// What the new one answers.
    pub now: Value,
}

/// Runs the vectors on a new revision and on the one before it, when there is one. Blocks.
#[must_use]
pub fn compare(host: &PolicyHost, before: Option<Arc<Revision>>, now: Arc<Revision>, vectors: &[Vector]) -> Comparison {
    let changed = before.is_some().then(Vec::new);
    let mut comparison = Comparison { vectors: vectors.len(), changed, unmet: Vec::new() };
    let mut before = before.map(|revision| Trial::new(host, revision));
    let mut now = Trial::new(host, now);
    for vector in vectors {
        let tried = now.run(vector);
        if !tried.passed() {
            comparison.unmet.push(vector.name.clone());
        }
        let (Some(before), Some(changed)) = (&mut before, &mut comparison.changed) else { continue };
        let Tried { answer: was, .. } = before.run(vector);
        if was != tried.answer {
            changed.push(Changed { name: vector.name.clone(), before: was, now: tried.answer });
        }
    }
    comparison
}
