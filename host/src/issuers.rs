//! The keys of identity providers, as they publish them.
//!
//! An issuer's keys are found where it says (OpenID Connect Discovery 1.0, section 4): its configuration, whose issuer must
//! be the very one that was asked, names the address of its keys. Both are read over TLS, with limits, when a token of that
//! issuer first comes, and again now and then; a token that names an unknown key has them read again, though not more often
//! than twice a minute, whoever sends such tokens. Only issuers that an enrollment names are ever asked.
//!
//! A provider that is away is no reason to turn devices away: keys that were read once are used until they are
//! [`FRESH`] old, and the operator is told that they were not renewed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::attestation::bearer::{BearerToken, IssuerKey, TokenRules};
use crate::clock;

mod fetch;

pub use fetch::FetchError;

/// Every issuer's keys.
#[derive(Default)]
pub struct Issuers(Mutex<HashMap<Named, Arc<Slot>>>);

/// An issuer, and whom it is trusted by: two enrollments may not share keys that one of them could have made up.
type Named = (String, Option<String>);

type Slot = tokio::sync::Mutex<Known>;

/// What is known of an issuer.
#[derive(Default)]
struct Known {
    keys: Option<(Instant, Arc<Vec<IssuerKey>>)>,
    asked: Option<Instant>,
    trouble: Option<String>,
}

impl Issuers {
    /// The keys with which a token may be signed that is to satisfy these rules.
    ///
    /// # Errors
    ///
    /// Why there are none: the issuer was never reached, or not for too long.
    pub async fn keys(&self, rules: &TokenRules, token: &BearerToken) -> Result<Arc<Vec<IssuerKey>>, FetchError> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((rules.issuer.clone(), rules.ca_certificate.clone())).or_default())
        };
        // Whoever comes while they are read waits for that, and does not ask again.
        let mut known = slot.lock().await;
        let now = clock::instant();
        let age = |at: Instant| now.saturating_duration_since(at);
        let current = known.keys.as_ref().is_some_and(|(read, keys)| age(*read) < RENEWED && token.has_key_among(keys));
        let may_ask = known.asked.is_none_or(|asked| age(asked) >= PAUSE);
        if !current && may_ask {
            known.asked = Some(now);
            match fetch::keys(rules).await {
                Ok(keys) => {
                    if known.trouble.take().is_some() {
                        tracing::info!(issuer = rules.issuer, "the issuer of tokens answers again");
                    }
                    known.keys = Some((now, Arc::new(keys)));
                }
                Err(error) => {
                    let left = known.keys.as_ref().map(|(read, _)| FRESH.saturating_sub(age(*read)).as_secs() / 60);
                    tracing::warn!(
                        issuer = rules.issuer, %error, keys_good_for_minutes = left,
                        "the keys of an issuer of tokens cannot be read; those that were read before are used"
                    );
                    known.trouble = Some(error.to_string());
                }
            }
        }
        match &known.keys {
            Some((read, keys)) if age(*read) < FRESH => Ok(Arc::clone(keys)),
            _ => Err(FetchError::Away(known.trouble.clone().unwrap_or_else(|| "it was asked a moment ago".to_owned()))),
        }
    }
}

/// After how long keys are read again.
const RENEWED: Duration = Duration::from_secs(3600);
/// How long keys are used when they cannot be.
pub const FRESH: Duration = Duration::from_secs(24 * 3600);
/// Between two times that an issuer is asked.
const PAUSE: Duration = Duration::from_secs(30);
