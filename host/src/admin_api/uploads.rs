//! Uploads that are under way: so many in all, and fewer for each token, so that whoever holds one token leaves places to
//! the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::authorize::Caller;
use super::problem::Problem;

/// The places for each kind of upload.
pub(super) struct Places {
    /// Files of manufacturing records.
    pub(super) imports: Arc<Uploads>,
    /// Components of plugins, each held in memory until it is published.
    pub(super) publications: Arc<Uploads>,
}

/// The places for one kind of upload.
pub(super) struct Uploads {
    /// What is uploaded, for people.
    what: &'static str,
    most: usize,
    most_of_a_token: usize,
    /// How many each token has under way, by the token's id.
    under_way: Mutex<HashMap<String, usize>>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    uploads: Arc<Uploads>,
    token: String,
}

impl Uploads {
    /// So many places; a token has half of them at most.
    pub(super) fn new(what: &'static str, most: usize) -> Self {
        Self { what, most, most_of_a_token: most.div_ceil(2), under_way: Mutex::default() }
    }

    /// A place for a caller.
    ///
    /// # Errors
    ///
    /// All places are taken, or all of this token.
    pub(super) fn begin(self: &Arc<Self>, caller: &Caller) -> Result<Place, Problem> {
        let token = caller.0.id.clone();
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let whose = if under_way.values().sum::<usize>() >= self.most {
            "all tokens together"
        } else if under_way.get(&token).is_some_and(|own| *own >= self.most_of_a_token) {
            "this token"
        } else {
            *under_way.entry(token.clone()).or_default() += 1;
            return Ok(Place { uploads: Arc::clone(self), token });
        };
        let why = format!("{whose} may have no more {} under way; try again when one has ended", self.what);
        Err(Problem::new(429, why))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut under_way = self.uploads.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = under_way.get_mut(&self.token) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                under_way.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::names::Digest;
    use crate::token::{Role, TokenRecord};

    fn caller(id: &str) -> Caller {
        Caller(Arc::new(TokenRecord {
            id: id.to_owned(),
            secret_sha256: Digest::of(b"t"),
            note: String::new(),
            role: Role::Operator,
            scope: None,
            created_at: Timestamp::default(),
            expires_at: None,
            plugins: Vec::new(),
            plugins_mib: None,
        }))
    }

    #[test]
    fn a_token_has_half_of_the_places_and_gives_them_back() {
        let uploads = Arc::new(Uploads::new("imports", 4));
        let (first, second) = (uploads.begin(&caller("a")).ok(), uploads.begin(&caller("a")).ok());
        assert!(first.is_some() && second.is_some());
        assert!(uploads.begin(&caller("a")).is_err(), "the third of one token");
        let others: Vec<_> = ["b", "c"].iter().map(|id| uploads.begin(&caller(id)).ok()).collect();
        assert!(others.iter().all(Option::is_some));
        assert!(uploads.begin(&caller("d")).is_err(), "the fifth of all");
        drop(first);
        assert!(uploads.begin(&caller("d")).is_ok());
    }
}
