//! How the answers of one revision differ from those of another, on golden vectors.
//!
//! The expectation of a vector says whether a revision is right. The answers of the previous revision show what will
//! change for the fleet. Both are needed, because an expectation compares only what is written in it.

use std::sync::Arc;

use serde_json::Value;

use super::trial::{Trial, Tried};
use super::vector::Vector;
use crate::PolicyHost;
use crate::image::Revision;

/// The comparison of a new revision with the previous one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The number of vectors.
    pub vectors: usize,
    /// The vectors with different answers. `None` if there is no previous revision.
    pub changed: Option<Vec<Changed>>,
    /// The names of the vectors whose expectation the new revision does not meet.
    pub unmet: Vec<String>,
}

/// A vector to which the two revisions give different answers.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Changed {
    pub name: String,
    /// The answer of the previous revision.
    pub before: Value,
    /// The answer of the new revision.
    pub now: Value,
}

/// Runs the vectors on a new revision, and on the previous one if there is one. Blocks.
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
