//! Limits of concurrent uploads: a total, and less for each token, so that one token cannot take all places.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::authorize::Caller;
use super::problem::Problem;
use crate::shares::{Share, Shares};

/// The limits of each kind of upload.
pub(super) struct Places {
    /// Imports of manufacturing records.
    pub(super) imports: Uploads,
    /// Uploads of plugin components, each held in memory until it is published.
    pub(super) publications: Uploads,
}

/// The limit of one kind of upload.
pub(super) struct Uploads {
    /// The kind of upload, for messages.
    what: &'static str,
    all: Arc<Semaphore>,
    /// The places in use by each token, by token id.
    of_tokens: Shares<String>,
}

/// A place of an upload; dropping it frees the place.
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_the_token: Share,
}

impl Uploads {
    /// A limit of `most` places in total, and half of them for each token.
    pub(super) fn new(what: &'static str, most: usize) -> Self {
        Self { what, all: Arc::new(Semaphore::new(most)), of_tokens: Shares::new(most.div_ceil(2)) }
    }

    /// Takes a place for a caller.
    ///
    /// # Errors
    ///
    /// All places are taken, or all that this token may take.
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
