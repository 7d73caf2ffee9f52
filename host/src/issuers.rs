//! The keys of identity providers, as they publish them.
//!
//! An issuer's keys are found where it says (OpenID Connect Discovery 1.0, section 4): its configuration, whose issuer must
//! be the very one that was asked, names the address of its keys. Both are read over TLS, with limits, when a token of that
//! issuer first comes, and again now and then; a token that names an unknown key has them read again, though not more often
//! than twice a minute, whoever sends such tokens. Only issuers that an enrollment names are ever asked.
//!
//! A provider that is away is no reason to turn devices away: keys that were read once are used until they are
//! `limits.device.issuer_keys_hours` old, and the operator is told that they were not renewed: in the log, and in the metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::attestation::bearer::{BearerToken, IssuerKey, TokenRules};
use crate::clock;

mod fetch;

pub use fetch::FetchError;

/// Every issuer's keys.
pub struct Issuers {
    slots: Mutex<HashMap<Named, Arc<Slot>>>,
    /// How long keys are used that cannot be read again.
    fresh: Duration,
}

/// How it stands with an issuer.
#[derive(Clone, Debug)]
pub struct IssuerState {
    /// The issuer.
    pub issuer: String,
    /// How old its keys are; none when there are none.
    pub keys_age: Option<Duration>,
    /// Whether it did not answer the last time.
    pub in_trouble: bool,
}

/// An issuer, and whom it is trusted by: two enrollments may not share keys that one of them could have made up.
type Named = (String, Option<String>);

/// What is known of an issuer.
#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held by whoever asks the issuer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<(Instant, Arc<Vec<IssuerKey>>)>,
    asked: Option<Instant>,
    trouble: Option<String>,
}

impl Issuers {
    /// None was asked yet.
    pub fn new(fresh: Duration) -> Self {
        Self { slots: Mutex::default(), fresh }
    }

    /// How it stands with each that was ever asked.
    pub fn states(&self) -> Vec<IssuerState> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |((issuer, _), slot): (&Named, &Arc<Slot>)| {
            let known = slot.known();
            let keys_age = known.keys.as_ref().map(|(read, _)| read.elapsed());
            IssuerState { issuer: issuer.clone(), keys_age, in_trouble: known.trouble.is_some() }
        };
        slots.iter().map(state).collect()
    }

    /// The keys with which a token may be signed that is to satisfy these rules.
    ///
    /// # Errors
    ///
    /// Why there are none: the issuer was never reached, or not for too long.
    pub async fn keys(&self, rules: &TokenRules, token: &BearerToken) -> Result<Arc<Vec<IssuerKey>>, FetchError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry((rules.issuer.clone(), rules.ca_certificate.clone())).or_default())
        };
        // A token of a key that is known waits for nobody: old keys are renewed beside it, and an issuer that is away is no
        // affair of whoever has a good token.
        let known = slot.known();
        if !known.has_key_for(token, self.fresh) {
            if known.may_be_asked() {
                let (slot, rules, token, fresh) = (Arc::clone(&slot), rules.clone(), token.clone(), self.fresh);
                // Not in the request: it is asked for all, and whoever began it may hang up.
                let asking = tokio::spawn(async move {
                    let _asking = slot.asking.lock().await;
                    let known = slot.known();
                    if !known.has_key_for(&token, fresh) && known.may_be_asked() {
                        slot.ask(&rules, fresh).await;
                    }
                });
                drop(asking.await);
            } else {
                // While it is being asked for somebody else: whoever has waited has the answer.
                drop(slot.asking.lock().await);
            }
        } else if known.is_old() && known.may_be_asked() {
            let (slot, rules, fresh) = (Arc::clone(&slot), rules.clone(), self.fresh);
            tokio::spawn(async move {
                if let Ok(_asking) = slot.asking.try_lock() {
                    slot.ask(&rules, fresh).await;
                }
            });
        }
        let known = slot.known();
        match known.keys {
            Some((read, keys)) if read.elapsed() < self.fresh => Ok(keys),
            _ => Err(FetchError::Away(known.trouble.unwrap_or_else(|| "it was asked a moment ago".to_owned()))),
        }
    }
}

impl Slot {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the issuer's keys.
    async fn ask(&self, rules: &TokenRules, fresh: Duration) {
        let change =
            |change: &dyn Fn(&mut Known)| change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner));
        let began = clock::instant();
        change(&|known| known.asked = Some(began));
        let fetched = tokio::time::timeout(PATIENCE, fetch::keys(rules)).await;
        match fetched.unwrap_or_else(|_| Err(FetchError::TimedOut(PATIENCE.as_secs()))) {
            Ok(keys) => {
                if self.known().trouble.is_some() {
                    tracing::info!(issuer = rules.issuer, "the issuer of tokens answers again");
                }
                let keys = Arc::new(keys);
                change(&|known| (known.keys, known.trouble) = (Some((began, Arc::clone(&keys))), None));
            }
            Err(error) => {
                let left = self.known().keys.map(|(read, _)| fresh.saturating_sub(read.elapsed()).as_secs() / 60);
                tracing::warn!(
                    issuer = rules.issuer, %error, keys_good_for_minutes = left,
                    "the keys of an issuer of tokens cannot be read; those that were read before are used"
                );
                let trouble = error.to_string();
                change(&|known| known.trouble = Some(trouble.clone()));
            }
        }
    }
}

impl Known {
    /// Whether a key is known that is not too old, and that could have signed the token.
    fn has_key_for(&self, token: &BearerToken, fresh: Duration) -> bool {
        self.keys.as_ref().is_some_and(|(read, keys)| read.elapsed() < fresh && token.has_key_among(keys))
    }

    fn is_old(&self) -> bool {
        self.keys.as_ref().is_some_and(|(read, _)| read.elapsed() >= RENEWED)
    }

    fn may_be_asked(&self) -> bool {
        self.asked.is_none_or(|asked| asked.elapsed() >= PAUSE)
    }
}

/// After how long keys are read again.
const RENEWED: Duration = Duration::from_secs(3600);
/// How long an issuer is waited for, all its addresses together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two times that an issuer is asked.
const PAUSE: Duration = Duration::from_secs(30);
