//! Uploads that are under way: so many in all, and fewer for each token, so that whoever holds one token leaves places to
//! the others.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorize::Caller;
use super::problem::Problem;
use crate::shares::{Share, Shares};

/// The places for each kind of upload.
pub(super) struct Places {
    /// Files of manufacturing records.
    pub(super) imports: Uploads,
    /// Components of plugins, each held in memory until it is published.
    pub(super) publications: Uploads,
}

/// The places for one kind of upload.
pub(super) struct Uploads {
    /// What is uploaded, for people.
    what: &'static str,
    all: Arc<Semaphore>,
    /// Those of each token, by its id.
    of_tokens: Shares<String>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_the_token: Share,
}

impl Uploads {
    /// So many places; a token has half of them at most.
    pub(super) fn new(what: &'static str, most: usize) -> Self {
        Self { what, all: Arc::new(Semaphore::new(most)), of_tokens: Shares::new(most.div_ceil(2)) }
    }

    /// A place for a caller.
    ///
    /// # Errors
    ///
    /// All places are taken, or all of this token.
    pub(super) fn begin(&self, caller: &Caller) -> Result<Place, Problem> {
        let beyond = |whose| {
            let why = format!("{whose} may have no more {} under way; try again when one has ended", self.what);
            Problem::new(429, why)
        };
        let of_the_token = self.of_tokens.try_take(caller.0.id.clone()).ok_or_else(|| beyond("this token"))?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| beyond("all tokens together"))?;
        Ok(Place { _of_all: of_all, _of_the_token: of_the_token })
    }
}

#[cfg(test)]
mod tests {
    use landfall_domain::api_token::{Role, TokenRecord};
    use landfall_domain::clock::Timestamp;
    use landfall_domain::names::Digest;

    use super::*;

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
        let uploads = Uploads::new("imports", 4);
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
