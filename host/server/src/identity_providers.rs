//! The keys of identity providers, as they publish them.
//!
//! An issuer's keys are found where it says (OpenID Connect Discovery 1.0, section 4): its configuration, whose issuer must
//! be the very one that was asked, names the address of its keys. Both are read over TLS, with limits, when a token of that
//! issuer first comes, and again now and then; a token that names an unknown key has them read again, though not more often
//! than twice a minute, whoever sends such tokens: its device is told to come back when that time is over, for the key may be
//! a new one. Only issuers that an enrollment names are ever asked.
//!
//! A provider that is away is no reason to turn devices away: keys that were read once are kept in the store and used until they
//! are `limits.device.issuer_keys_hours` old, and the operator is told that they were not renewed: in the log, and in the
//! metrics.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use landfall_attestation::bearer::NamedIssuer as Named;
use landfall_attestation::bearer::{BearerToken, IssuerKey, KeptKeys, SignedToken, TokenRules};
use landfall_domain::clock::{Ambient, Stopwatch, Timestamp};
use landfall_store::Store;

mod fetch;

pub use fetch::FetchError;

/// Every issuer's keys.
pub struct IdentityProviders {
    slots: Mutex<HashMap<Named, Arc<Slot>>>,
    /// How long keys are used that cannot be read again.
    fresh: Duration,
    store: Arc<dyn Store>,
    ambient: Ambient,
}

/// How it stands with an issuer.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IssuerState {
    pub issuer: String,
    /// How old its keys are; none when there are none.
    pub keys_age: Option<Duration>,
    /// Whether it did not answer the last time.
    pub in_trouble: bool,
}

/// What is known of an issuer.
#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held by whoever asks the issuer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Option<Keys>,
    asked: Option<Instant>,
    trouble: Option<String>,
}

/// What an issuer has published.
#[derive(Clone)]
struct Keys {
    /// How long they are known here, and how old they were then.
    known: Stopwatch,
    before: Duration,
    all: Arc<Vec<IssuerKey>>,
}

impl Keys {
    fn age(&self) -> Duration {
        self.known.elapsed().saturating_add(self.before)
    }
}

impl IdentityProviders {
    /// None was asked yet.
    pub fn new(fresh: Duration, store: Arc<dyn Store>, ambient: Ambient) -> Self {
        Self { slots: Mutex::default(), fresh, store, ambient }
    }

    /// Takes up what was read before a restart.
    pub fn take_up(&self, kept: Vec<KeptKeys>) {
        let (now, known) = (self.ambient.now(), Stopwatch::start(&self.ambient.clock));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in kept {
            let keys = Keys { known: known.clone(), before: now.since(kept.read_at), all: Arc::new(kept.keys()) };
            let slot = Slot { known: Mutex::new(Known { keys: Some(keys), ..Known::default() }), ..Slot::default() };
            slots.insert((kept.issuer, kept.ca_certificate, kept.public_hosts_only), Arc::new(slot));
        }
    }

    /// Forgets those that no enrollment names.
    pub fn retain(&self, named: &HashSet<Named>) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|slot, _| named.contains(slot));
    }

    /// How it stands with each that was ever asked; at worst, where enrollments trust an issuer by different authorities.
    pub fn states(&self) -> Vec<IssuerState> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = BTreeMap::new();
        for ((issuer, ..), slot) in slots.iter() {
            let known = slot.known();
            let (keys_age, in_trouble) = (known.keys.as_ref().map(Keys::age), known.trouble.is_some());
            let state = IssuerState { issuer: issuer.clone(), keys_age, in_trouble };
            let worst = states.entry(issuer.clone()).or_insert_with(|| state.clone());
            worst.keys_age = worst.keys_age.max(state.keys_age);
            worst.in_trouble |= state.in_trouble;
        }
        states.into_values().collect()
    }

    /// The token, if a key of its issuer has signed it that is to satisfy these rules.
    ///
    /// # Errors
    ///
    /// Why that cannot be said: the issuer was never reached, or not for too long; or no key that is known fits, and the
    /// issuer may not be asked for newer ones yet.
    pub async fn signed<'a>(
        &self,
        rules: &TokenRules,
        token: &'a BearerToken,
    ) -> Result<Option<SignedToken<'a>>, FetchError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(named(rules)).or_default())
        };
        // A token of a key that is known waits for nobody: an issuer that is away is no affair of whoever has a good token.
        let (came, known) = (self.ambient.instant(), slot.known());
        if let Some(settled) = known.settles(token, self.fresh) {
            return Ok(settled);
        }
        if known.may_be_asked(PAUSE, self.ambient.instant()) {
            let (asker, slot, rules, token) = (self.asker(), Arc::clone(&slot), rules.clone(), token.clone());
            // Not in the request: it is asked for all, and whoever began it may hang up.
            let asking = tokio::spawn(async move {
                let _asking = slot.asking.lock().await;
                let known = slot.known();
                if known.settles(&token, asker.fresh).is_none() && known.may_be_asked(PAUSE, asker.ambient.instant()) {
                    asker.ask(&slot, &rules).await;
                }
            });
            drop(asking.await);
        } else {
            // While it is being asked for somebody else: whoever has waited has the answer.
            drop(slot.asking.lock().await);
        }
        let known = slot.known();
        if let Some(settled) = known.settles(token, self.fresh) {
            return Ok(settled);
        }
        if known.keys.as_ref().is_none_or(|keys| keys.age() >= self.fresh) {
            return Err(FetchError::Away(known.trouble.unwrap_or_else(|| "it was asked a moment ago".to_owned())));
        }
        // Only what the issuer has said since this token came is its last word: before, it may have had no such key yet.
        match known.asked {
            Some(asked) if asked >= came && known.trouble.is_none() => Ok(None),
            asked => {
                let left = PAUSE.saturating_sub(
                    asked.map_or(Duration::ZERO, |asked| self.ambient.instant().saturating_duration_since(asked)),
                );
                Err(FetchError::NotYet { seconds: left.as_secs().saturating_add(1) })
            }
        }
    }

    /// Reads the keys of an issuer again, if they are old; those that were never read wait for a token.
    pub fn renew(&self, rules: &TokenRules) -> Option<impl Future<Output = ()> + Send + 'static> {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(&named(rules)).cloned();
        let slot = slot.filter(|slot| {
            let known = slot.known();
            known.is_old() && known.may_be_asked(RETRY, self.ambient.instant())
        })?;
        let (asker, rules) = (self.asker(), rules.clone());
        Some(async move {
            if let Ok(_asking) = slot.asking.try_lock() {
                asker.ask(&slot, &rules).await;
            }
        })
    }

    fn asker(&self) -> Asker {
        Asker { fresh: self.fresh, store: Arc::clone(&self.store), ambient: self.ambient.clone() }
    }
}

/// Under which name keys are known that are to satisfy these rules.
pub fn named(rules: &TokenRules) -> Named {
    (rules.issuer.clone(), rules.ca_certificate.clone(), rules.public_hosts_only)
}

/// One who asks an issuer, whoever waits for it.
struct Asker {
    fresh: Duration,
    store: Arc<dyn Store>,
    ambient: Ambient,
}

impl Asker {
    /// Reads the issuer's keys.
    async fn ask(&self, slot: &Slot, rules: &TokenRules) {
        let change =
            |change: &dyn Fn(&mut Known)| change(&mut slot.known.lock().unwrap_or_else(PoisonError::into_inner));
        let (began, known) = (self.ambient.instant(), Stopwatch::start(&self.ambient.clock));
        change(&|known| known.asked = Some(began));
        let fetched = tokio::time::timeout(PATIENCE, fetch::keys(rules)).await;
        match fetched.unwrap_or_else(|_| Err(FetchError::TimedOut(PATIENCE.as_secs()))) {
            Ok(published) => {
                if slot.known().trouble.is_some() {
                    tracing::info!(issuer = rules.issuer, "the issuer of tokens answers again");
                }
                let kept = KeptKeys::new(named(rules), &published, self.ambient.now());
                let keys = Keys { known, before: Duration::ZERO, all: Arc::new(kept.keys()) };
                change(&|known| (known.keys, known.trouble) = (Some(keys.clone()), None));
                let oldest = Timestamp::from_millis(kept.read_at.as_millis().saturating_sub(millis(self.fresh)));
                if let Err(error) = self.store.keep_issuer_keys(kept, oldest).await {
                    tracing::warn!(issuer = rules.issuer, %error, "the keys of an issuer are not kept for a restart");
                }
            }
            Err(error) => {
                let left = slot.known().keys.map(|keys| self.fresh.saturating_sub(keys.age()).as_secs() / 60);
                tracing::warn!(
                    issuer = rules.issuer, %error, keys_good_for_minutes = left,
                    "the keys of an issuer of tokens cannot be read; those that were read before are used"
                );
                // Refusals are read by who operates one id scope. The log, above, says where names lead.
                let trouble = error.for_scope(rules.public_hosts_only);
                change(&|known| known.trouble = Some(trouble.clone()));
            }
        }
    }
}

impl Slot {
    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Known {
    /// What the keys that are known say of a token: signed, or not. Nothing when another key could have signed it.
    fn settles<'a>(&self, token: &'a BearerToken, fresh: Duration) -> Option<Option<SignedToken<'a>>> {
        let keys = self.keys.as_ref().filter(|keys| keys.age() < fresh)?;
        match token.signed_by(&keys.all) {
            Some(signed) => Some(Some(signed)),
            None if token.names_one_of(&keys.all) => Some(None),
            None => None,
        }
    }

    fn is_old(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.age() >= RENEWED)
    }

    fn may_be_asked(&self, pause: Duration, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= pause)
    }
}

/// After how long keys are read again.
const RENEWED: Duration = Duration::from_secs(3600);
/// How long an issuer is waited for, all its addresses together.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two times that an issuer is asked for a token's key.
const PAUSE: Duration = Duration::from_secs(30);
/// Between two times that it is asked for nobody.
const RETRY: Duration = Duration::from_secs(300);
